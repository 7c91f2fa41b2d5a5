"""The laboratory: what makes a LoRA from one picture better, measured."""
