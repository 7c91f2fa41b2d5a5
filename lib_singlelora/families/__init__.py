"""Model families: what differs between Stable Diffusion 1, 2, SDXL and the next."""
