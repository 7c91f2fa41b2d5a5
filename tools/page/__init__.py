"""How fast the page is."""
