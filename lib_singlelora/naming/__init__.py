"""Names of blocks, modules and presets; needs no torch."""
