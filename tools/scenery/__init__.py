"""Figures in scenery whose outline and proportions are known, for tools/accuracy/masks.py."""
