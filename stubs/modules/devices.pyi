from contextlib import AbstractContextManager

import torch

device: torch.device
dtype: torch.dtype
dtype_unet: torch.dtype
dtype_inference: torch.dtype
fp8: bool

class NansException(Exception): ...

def autocast(disable: bool = False) -> AbstractContextManager[object]: ...
def cuda_no_autocast(device_id: int | None = None) -> bool: ...
def torch_gc() -> None: ...
