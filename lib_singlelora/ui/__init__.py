"""The page, on gradio: the same code in the WebUI (3.41) and standalone (6)."""
