"""The narrow Stable Diffusion 1: modules whose state dicts carry the original LDM names."""

from __future__ import annotations

from .sizes import NATIVE, SCALE, TEXT, UNET, VAE, alphas_cumprod
from .text import new_text_encoder, text_config
from .unet import UNet
from .vae import Autoencoder

__all__ = [
    "NATIVE",
    "SCALE",
    "TEXT",
    "UNET",
    "VAE",
    "Autoencoder",
    "UNet",
    "alphas_cumprod",
    "new_text_encoder",
    "text_config",
]
