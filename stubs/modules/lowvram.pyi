from torch import nn

module_in_gpu: nn.Module | None

def send_everything_to_cpu() -> None: ...
