"""The host without a WebUI, on diffusers."""
