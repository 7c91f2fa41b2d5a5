"""The data set as the user sees and edits it between stages: mask, captions, regularization set."""
