"""Adapters from the two ports to real programs."""
