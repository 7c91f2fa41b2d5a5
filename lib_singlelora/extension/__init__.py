"""The tab inside a WebUI, and what else is registered there."""
