"""From one picture of a character to a LoRA that draws it."""

__version__ = "0.1.0"
