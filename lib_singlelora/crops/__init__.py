"""The geometry of crops: framings, close-ups, buckets, coverage.  Needs no torch."""
