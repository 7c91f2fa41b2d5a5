"""Taggers: the tags of a picture."""
