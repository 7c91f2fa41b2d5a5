"""LoRA mathematics, the trainable network, files and their metadata."""
