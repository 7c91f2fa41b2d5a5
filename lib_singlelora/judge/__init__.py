"""A workspace's sheet, judged: which epoch, strength and preset to take, and how sure that is."""
