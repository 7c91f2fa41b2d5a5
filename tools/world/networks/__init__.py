"""The embedded world's networks and their training."""
