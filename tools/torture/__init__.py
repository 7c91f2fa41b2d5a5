"""Attacks on the product by machines: kills, generated inputs, long running, many clients (python
-m tools.torture).
"""
