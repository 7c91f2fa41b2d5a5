from torch import Tensor, nn

class AutoencoderKL(nn.Module):  # sgm's too, but for `encode`
    encoder: nn.Module
    quant_conv: nn.Module
    def decode(self, z: Tensor) -> Tensor: ...
