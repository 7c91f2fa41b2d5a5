from PIL import Image

class Upscaler:
    def upscale(
        self, img: Image.Image, scale: float, selected_model: str | None = None
    ) -> Image.Image: ...

class UpscalerData:
    name: str
    data_path: str | None  # a file, an address to fetch it from, or None for one without a model
    scaler: Upscaler
