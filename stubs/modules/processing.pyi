from typing import Any

from PIL import Image

class StableDiffusionProcessing:
    prompt: str
    comments: dict[str, int]
    override_settings: dict[str, Any]

    def comment(self, text: str) -> None: ...
    def close(self) -> None: ...

class StableDiffusionProcessingTxt2Img(StableDiffusionProcessing):
    def __init__(
        self,
        *,
        prompt: str | list[str] = "",
        negative_prompt: str | list[str] = "",
        seed: int | list[int] = -1,
        sampler_name: str | None = None,
        scheduler: str | None = None,
        batch_size: int = 1,
        n_iter: int = 1,
        steps: int = 50,
        cfg_scale: float = 7.0,
        width: int = 512,
        height: int = 512,
        do_not_save_samples: bool = False,
        do_not_save_grid: bool = False,
        override_settings: dict[str, Any] | None = None,
    ) -> None: ...

class StableDiffusionProcessingImg2Img(StableDiffusionProcessing):
    def __init__(
        self,
        *,
        prompt: str | list[str] = "",
        negative_prompt: str | list[str] = "",
        seed: int | list[int] = -1,
        sampler_name: str | None = None,
        scheduler: str | None = None,
        batch_size: int = 1,
        n_iter: int = 1,
        steps: int = 50,
        cfg_scale: float = 7.0,
        width: int = 512,
        height: int = 512,
        do_not_save_samples: bool = False,
        do_not_save_grid: bool = False,
        override_settings: dict[str, Any] | None = None,
        init_images: list[Image.Image] | None = None,
        resize_mode: int = 0,
        denoising_strength: float = 0.75,
        mask: Image.Image | None = None,
        mask_blur: int | None = None,
        inpainting_fill: int = 0,
        inpaint_full_res: bool = True,
    ) -> None: ...

need_global_unload: bool  # Forge's

class Processed:
    images: list[Image.Image]
    infotexts: list[str]

def process_images(p: StableDiffusionProcessing) -> Processed: ...
