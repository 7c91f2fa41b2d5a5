"""Makers of pictures and pages in docs/."""
