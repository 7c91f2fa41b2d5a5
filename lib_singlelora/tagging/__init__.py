"""Taggers: what is to be seen in a picture."""
