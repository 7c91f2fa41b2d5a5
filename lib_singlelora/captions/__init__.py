"""Captions, prompts and wildcards as text.  Needs neither numpy nor torch."""
