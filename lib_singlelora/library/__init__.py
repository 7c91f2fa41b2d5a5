"""The LoRA files of a workspace: its epochs, choosing, deriving and publishing them."""
