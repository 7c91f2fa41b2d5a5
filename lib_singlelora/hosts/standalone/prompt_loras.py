"""The LoRA files that a prompt names, as `<lora:NAME:0.8>`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from ...captions.prompt_language import ExtraNetwork
from ...errors import LoraFileError, SettingsError
from ...host import ImageRequest, LoraUse

MAX_FILES = 4096  # of a folder that are looked at


def loras_of(
    extra_networks: Iterable[ExtraNetwork], request: ImageRequest, checkpoint: Path
) -> tuple[LoraUse, ...]:
    """The LoRAs that a prompt names, from the folders of the request's LoRAs and the checkpoint.

    A name is never a path: a prompt may come from anybody.

    Raises:
        SettingsError: what is written is not `<lora:NAME:strength>`.
        LoraFileError: there is no file of this name.
    """
    folders = list(_folders(request, checkpoint))
    return tuple(_lora_use(network, folders) for network in extra_networks)


def _folders(request: ImageRequest, checkpoint: Path) -> Iterator[Path]:
    yield from dict.fromkeys(use.path.parent for use in request.loras)
    models = checkpoint.parent
    yield models
    # The WebUI's layout is models/Stable-diffusion/x.safetensors beside models/Lora/.
    yield from (parent / name for parent in (models, models.parent) for name in ("Lora", "loras"))


def _lora_use(network: ExtraNetwork, folders: Iterable[Path]) -> LoraUse:
    """<lora:NAME:text encoder:U-Net>; `te=` and `unet=` win, one strength counts for both."""
    tag = f"<{network.kind}:{':'.join(network.values)}…>"
    if network.kind != "lora":
        raise SettingsError(
            f"prompt: found {tag}, expected <lora:NAME:strength>; nothing else is known without a"
            " WebUI"
        )
    unknown = sorted(set(network.named) - {"te", "unet"})
    if unknown or len(network.values) > 3:
        extra = ", ".join(unknown) or "a fourth value"
        raise SettingsError(
            f"prompt: found {extra} in {tag}, expected <lora:NAME:text encoder:U-Net>; block"
            " weights are set by plot.presets, or multiplied into a file by `bake`"
        )
    name = network.values[0] if network.values else ""
    strengths = network.values[1:]
    text_encoder = _strength(network.named.get("te", strengths[0] if strengths else "1"), tag)
    if "unet" in network.named:
        unet = _strength(network.named["unet"], tag)
    elif len(strengths) == 2:
        unet = _strength(strengths[1], tag)
    else:
        unet = text_encoder
    return LoraUse(_lora_file(name, folders), unet, text_encoder)


def _strength(text: str, tag: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SettingsError(
            f"prompt: found the strength {text!r} in {tag}, expected a number such as 0.8"
        )
    return value


def _lora_file(name: str, folders: Iterable[Path]) -> Path:
    searched = []
    for folder in folders:
        searched.append(str(folder))
        if folder.is_dir():
            deep = folder.name in ("Lora", "loras")
            files = folder.rglob("*.safetensors") if deep else folder.glob("*.safetensors")
            for path in islice(files, MAX_FILES):
                if path.stem == name:
                    return path
    raise LoraFileError(
        f"prompt: found no LoRA named {name!r}, expected {name}.safetensors in one of "
        f"{', '.join(dict.fromkeys(searched))}; write the file's name without its suffix"
    )
