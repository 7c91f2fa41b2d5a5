"""Makers of the pictures in docs/."""
