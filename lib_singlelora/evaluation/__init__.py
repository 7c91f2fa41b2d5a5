"""Sheets, and figures about pictures."""
