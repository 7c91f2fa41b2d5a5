"""`<lora:NAME:0.8>` of a prompt, found as a file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

from ...captions.prompt_language import ExtraNetwork
from ...errors import LoraFileError, SettingsError
from ...host import ImageRequest, LoraUse

MAX_FILES = 4096  # files of a folder that are looked through


def loras_of(
    found: Iterable[ExtraNetwork], request: ImageRequest, checkpoint: Path
) -> tuple[LoraUse, ...]:
    """The LoRAs that a prompt names, looked for beside those of the request and in the folders of
    the checkpoint.

    A name is never a path: a prompt may come from anybody.
    Raises: SettingsError, LoraFileError.
    """
    folders = list(_folders(request, checkpoint))
    return tuple(_use(network, folders) for network in found)


def _folders(request: ImageRequest, checkpoint: Path) -> Iterator[Path]:
    yield from dict.fromkeys(use.path.parent for use in request.loras)
    models = checkpoint.parent
    yield models
    # The WebUI's layout is models/Stable-diffusion/x.safetensors beside models/Lora/.
    yield from (parent / name for parent in (models, models.parent) for name in ("Lora", "loras"))


def _use(network: ExtraNetwork, folders: Iterable[Path]) -> LoraUse:
    shown = f"<{network.kind}:{':'.join(network.values)}…>"
    if network.kind != "lora":
        raise SettingsError(
            f"prompt: found {shown}, expected <lora:NAME:strength>; nothing else is known without a"
            " WebUI"
        )
    unknown = sorted(set(network.named) - {"te", "unet"})
    if unknown or len(network.values) > 3:
        extra = ", ".join(unknown) or "a fourth value"
        raise SettingsError(
            f"prompt: found {extra} in {shown}, expected <lora:NAME:text encoder:U-Net>; block"
            " weights are set by plot.presets, or multiplied into a file by `bake`"
        )
    numbers = [*network.values[1:], *["1"] * (3 - len(network.values))]
    text_encoder = _strength(network.named.get("te", numbers[0]), shown)
    unet = (
        _strength(network.named["unet"], shown)
        if "unet" in network.named
        else (_strength(network.values[2], shown) if len(network.values) > 2 else text_encoder)
    )
    return LoraUse(_file(network.values[0] if network.values else "", folders), unet, text_encoder)


def _strength(text: str, shown: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SettingsError(
            f"prompt: found the strength {text!r} in {shown}, expected a number such as 0.8"
        )
    return value


def _file(name: str, folders: Iterable[Path]) -> Path:
    searched = []
    for folder in folders:
        searched.append(str(folder))
        if folder.is_dir():
            deep = folder.name in ("Lora", "loras")
            files = folder.rglob("*.safetensors") if deep else folder.glob("*.safetensors")
            for _, path in zip(range(MAX_FILES), files, strict=False):
                if path.stem == name:
                    return path
    raise LoraFileError(
        f"prompt: found no LoRA named {name!r}, expected {name}.safetensors in one of "
        f"{', '.join(dict.fromkeys(searched))}; write the file's name without its suffix"
    )
