from torch import Tensor, nn

class DeepDanbooruModel(nn.Module):  # of modules.deepbooru_model
    tags: list[str]

    def __call__(self, x: Tensor) -> Tensor: ...

class DeepDanbooru:
    model: DeepDanbooruModel  # None before `start`

    def start(self) -> None: ...
    def stop(self) -> None: ...

model: DeepDanbooru
