"""Files of any kind: written whole or not at all, locked, downloaded, read with care.

The ground floor.
"""
