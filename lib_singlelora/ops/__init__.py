"""Operations on tensors and layers that are faster, or need less memory, than PyTorch's own.

They know no LoRA and no settings.
"""
