"""The folder of one character, and what the stages have left in it."""
