"""The data set: views, buckets, captions, folders, wildcards.  Needs no torch."""
