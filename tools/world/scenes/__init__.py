"""The embedded world's drawings: random characters whose every trait is known."""
