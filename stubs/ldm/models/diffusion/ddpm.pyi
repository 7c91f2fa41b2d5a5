from ldm.models.autoencoder import AutoencoderKL
from ldm.modules.diffusionmodules.openaimodel import UNetModel
from torch import Tensor, nn

class DiffusionWrapper(nn.Module):
    diffusion_model: UNetModel

class LatentDiffusion(nn.Module):
    model: DiffusionWrapper
    first_stage_model: AutoencoderKL
    parameterization: str  # "eps" or "v"
    scale_factor: float
    alphas_cumprod: Tensor
