"""Foreground masks by a matting model of the user's: an ONNX file as rembg uses them.

The contract: input NCHW float32 of RGB, output one plane of the same size.  Families differ in how
the picture is normalised and fitted into the square.
Source: danielgatis/rembg, rembg/sessions (u2net.py, dis_anime.py, birefnet_general.py); SkyTNT's
    anime-seg (isnetis.onnx) with its demonstration.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import ImageModelError, PictureError
from .boxes import PixelBox
from .mask_refinement import refine
from .onnx_model import first_line, open_model

Array = NDArray[np.float32]
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
USUAL_SIDE = 1024  # for a model that takes any side


@dataclass(frozen=True)
class Family:
    """How a picture is fed to the model.

    mean, std: by which RGB from 0 to 1 is normalised.
    letterbox: True for whole on a black square, else stretched to the square.
    """

    name: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    letterbox: bool = False


U2NET = Family("U2-Net", IMAGENET_MEAN, IMAGENET_STD)
ISNET = Family("IS-Net", IMAGENET_MEAN, (1.0, 1.0, 1.0))
ANIME_SEG = Family("anime-seg", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), True)
BIREFNET = Family("BiRefNet", IMAGENET_MEAN, IMAGENET_STD)


def family_of(path: Path, input_name: str, side: int) -> Family:
    """The model's family.

    It shows by SkyTNT's name of the input, by BiRefNet in the file's name, else by the side: 1024
    is IS-Net, 320 U2-Net.
    """
    if input_name == "img":
        return ANIME_SEG
    if "birefnet" in path.stem.lower():
        return BIREFNET
    return ISNET if side == 1024 else U2NET


class MattingModel:
    """A matting model from its file.

    Raises: ImageModelError, for a file that is missing, broken or of another shape;
        MissingPackageError, without onnxruntime.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._session = open_model(path, "a matting model", "prepare.matting_model")
        self._input, self.side = self._read_input()
        self.family = family_of(path, self._input, self.side)

    def mask(self, image: Image.Image) -> Image.Image:
        """The mask (L, as large as the picture; 255 is the character), refined along its edges.

        Raises: ImageModelError; PictureError, if the model finds no character.
        """
        pixels, box = to_input(image, self.side, self.family)
        try:
            out = np.asarray(self._session.run(None, {self._input: pixels})[0], dtype=np.float32)
        except Exception as error:
            raise ImageModelError(
                f"{self.path.name}: the model failed on the picture ({first_line(error)}); get the"
                " file again"
            ) from error
        plane = self._plane(out)[box[1] : box[3], box[0] : box[2]]
        mask = Image.fromarray(np.rint(plane * 255).astype(np.uint8)).resize(
            image.size, Image.Resampling.BICUBIC
        )
        return refine(mask, image, max(image.size) / self.side)

    def _plane(self, out: Array) -> Array:
        """The mask, (side, side), stretched so that it reaches from 0 to 1.

        Raises: ImageModelError, for another output; PictureError, for one without a character.
        """
        if (
            out.ndim not in (3, 4)
            or out.shape[-2:] != (self.side, self.side)
            or not np.isfinite(out).all()
        ):
            raise ImageModelError(
                f"{self.path.name}: found an output of shape {list(out.shape)}, expected one plane"
                f" of {self.side}x{self.side} numbers; choose a matting model as rembg uses them"
            )
        plane: Array = out.reshape(-1, self.side, self.side)[0]
        if plane.min() < -0.05 or plane.max() > 1.05:  # BiRefNet gives logits
            plane = (1 / (1 + np.exp(-np.clip(plane, -40, 40)))).astype(np.float32)
        low = float(plane.min())
        high = float(plane.max())
        if high < 0.3 or high - low < 0.1:
            raise PictureError(
                f"{self.path.name}: the model finds no character in the picture (its surest pixel"
                f" is {high:.2f}); choose another prepare.mask, or paint source/mask.png"
            )
        stretched: Array = (plane - low) / (high - low)
        return stretched

    def _read_input(self) -> tuple[str, int]:
        """Name and side of the input.  Raises: ImageModelError, for another shape."""
        inputs = self._session.get_inputs()
        shape = list(inputs[0].shape)
        kind = inputs[0].type
        fixed = [size if isinstance(size, int) else None for size in shape]
        fits = (
            len(inputs) == 1
            and len(shape) == 4
            and fixed[0] in (None, 1)
            and fixed[1] in (None, 3)
            and fixed[2] == fixed[3]
        )
        if not fits or kind != "tensor(float)":
            raise ImageModelError(
                f"{self.path.name}: found {len(inputs)} input{'s' * (len(inputs) > 1)}, the first"
                f" {shape} of {kind}, expected one [1, 3, side, side] of tensor(float); choose a"
                " matting model as rembg uses them (u2net, isnet-anime, …)"
            )
        return inputs[0].name, fixed[2] or USUAL_SIDE


def to_input(image: Image.Image, side: int, family: Family) -> tuple[Array, PixelBox]:
    """The model's input, (1, 3, side, side), and the box of the square that holds the picture."""
    size = (side, side)
    box = (0, 0, side, side)
    if family.letterbox:
        factor = side / max(image.size)
        size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
        left = (side - size[0]) // 2
        top = (side - size[1]) // 2
        box = (left, top, left + size[0], top + size[1])
    shrunk = np.asarray(
        image.convert("RGB").resize(size, Image.Resampling.LANCZOS), dtype=np.float32
    )
    # rembg divides by the brightest value, not by 255; its models were validated with that.
    shrunk = shrunk / (255.0 if family.letterbox else max(float(shrunk.max()), 1e-6))
    normal = (shrunk - np.array(family.mean, np.float32)) / np.array(family.std, np.float32)
    square = np.zeros((side, side, 3), dtype=np.float32)
    square[box[1] : box[3], box[0] : box[2]] = normal
    return np.ascontiguousarray(square.transpose(2, 0, 1)[None]), box
