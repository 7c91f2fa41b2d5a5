"""The checkpoint and the tagger that come with the program, and where they lie."""
