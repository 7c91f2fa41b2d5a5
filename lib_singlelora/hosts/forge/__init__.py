"""Forge, reForge and what is made from them as a host: their checkpoint lent for training."""
