"""Operations on tensors and layers: faster, or with less memory, than PyTorch's own.

Know no LoRA and no settings.
"""
