"""What the user looks at and edits between stages: mask, captions, regularization set."""
