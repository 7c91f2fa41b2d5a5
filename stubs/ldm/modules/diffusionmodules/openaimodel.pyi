from torch import Tensor, nn

class UNetModel(nn.Module):
    input_blocks: nn.ModuleList
    middle_block: nn.Sequential
    output_blocks: nn.ModuleList
    model_channels: int
    channel_mult: tuple[int, ...]

    def __call__(self, x: Tensor, timesteps: Tensor, context: Tensor) -> Tensor: ...
