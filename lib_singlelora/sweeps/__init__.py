"""Many settings, many characters, many machines: units of work in one storage, done by workers."""
