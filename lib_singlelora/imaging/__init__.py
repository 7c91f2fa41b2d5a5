"""Pictures: reading, enlarging, telling the character from the background."""
