"""How often a stage is right: its results against drawings whose truth is known."""
