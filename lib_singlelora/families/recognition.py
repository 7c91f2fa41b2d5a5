"""The family of a checkpoint by the keys of its tensors; anything else is refused by its name.

Every host asks here, with the shapes from a file's header or from a loaded model's state.

Source of the marks: AUTOMATIC1111 1.10.1, modules/sd_models_config.py,
guess_model_config_from_state_dict; ComfyUI, comfy/model_detection.py, for the other families.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ..errors import CheckpointError
from .family import UNET, VAE, Family, Stranger
from .registry import FAMILIES

LATENT_CHANNELS = 4
EDM_MARK = "edm_"  # of keys that no network has: the constants of another noise schedule
EXPECTED = f"expected a checkpoint of {', '.join(map(str, FAMILIES[:-1]))} or {FAMILIES[-1]}"
OTHER_MODEL = "this program cannot train it: choose a checkpoint of another base model"


_BARE = rf"(?:{re.escape(UNET)}|diffusion_model\.|model\.|transformer\.)?"
# Checked before the families: some carry their marks too.
STRANGERS = (
    Stranger(
        "a LoRA",
        r"lora_|lycoris_|.*\.lora[._]|.*\.(?:hada|lokr)_",
        "name the checkpoint itself; LoRAs are called in prompts or chosen for a stage",
    ),
    Stranger("a Stable Diffusion 3 checkpoint", rf"{_BARE}(?:joint_blocks|x_embedder\.proj)\."),
    Stranger("a Flux checkpoint", rf"{_BARE}(?:double_blocks|single_blocks)\."),
    Stranger("a Flux checkpoint", rf"{_BARE}single_transformer_blocks\."),
    Stranger("a Stable Cascade checkpoint", rf"{_BARE}(?:clip_txt_mapper|clip_mapper)\."),
    Stranger("an AuraFlow checkpoint", rf"{_BARE}(?:double_layers|single_layers)\."),
    Stranger("a Lumina or Z-Image checkpoint", rf"{_BARE}(?:noise_refiner|cap_embedder)\."),
    Stranger(
        "a Wan, Cosmos or another video model's checkpoint",
        rf"{_BARE}(?:net\.)?blocks\.\d+\.(?:cross_attn|self_attn)\.",
    ),
    Stranger(
        "a diffusion transformer's checkpoint", rf"{_BARE}(?:transformer_blocks|blocks)\.\d+\."
    ),
    Stranger(
        "a U-Net in diffusers' layout",
        r"(?:unet\.)?(?:down_blocks|add_embedding|time_embedding)\.",
        "use the single file of the whole checkpoint, as model sites offer it",
    ),
    Stranger("an AltDiffusion checkpoint", r"cond_stage_model\.(?:roberta|transformation)\."),
    Stranger(
        "a checkpoint of an EDM schedule, such as Playground 2.5 or CosXL",
        rf"{re.escape(EDM_MARK)}(?:mean|std|vpred)",
    ),
)
BY_CHANNELS = {
    9: (
        "an inpainting checkpoint with 9 input channels",
        "use the base checkpoint that it was made from: masked latents do the inpainting, and the"
        " LoRA works in the inpainting one too",
    ),
    8: (
        "an instruct-pix2pix checkpoint with 8 input channels",
        "use the base checkpoint that it was made from",
    ),
    5: ("a depth checkpoint with 5 input channels", "use the base checkpoint of its family"),
}


def recognize(shapes: Mapping[str, tuple[int, ...]], name: str) -> Family:
    """The family of a checkpoint.

    shapes: key -> shape of all its tensors.
    name: the checkpoint's, for messages.

    Raises:
        CheckpointError: it is of no known family, or lacks a part; what it is, and what to do.
    """
    _refuse(shapes, name, STRANGERS)
    family = next((each for each in FAMILIES if _has_all(shapes, each.marks)), None)
    if family is None:
        _refuse(shapes, name, [kin for each in FAMILIES for kin in each.relatives])
        _require_parts(shapes, name, FAMILIES[0])
        raise CheckpointError(
            f"{name}: found no text encoder of a known family in {len(shapes)} tensors,"
            f" {EXPECTED}; {OTHER_MODEL}"
        )
    _require_parts(shapes, name, family)
    _require_channels(shapes, name)
    for missing in family.essentials:
        if missing.mark not in shapes:
            raise CheckpointError(f"{name}: found {missing.kind}, {EXPECTED}; {missing.advice}")
    return family


def _refuse(
    shapes: Mapping[str, tuple[int, ...]], name: str, strangers: Iterable[Stranger]
) -> None:
    for stranger in strangers:
        pattern = re.compile(stranger.mark)
        if any(pattern.match(key) for key in shapes):
            raise CheckpointError(f"{name}: found {stranger.kind}, {EXPECTED}; {stranger.advice}")


def _require_parts(shapes: Mapping[str, tuple[int, ...]], name: str, family: Family) -> None:
    parts = [("U-Net", UNET), ("VAE", VAE)]
    parts += [("CLIP text encoder", encoder.keys) for encoder in family.text_encoders]
    for part, prefix in parts:
        if not _has_all(shapes, (prefix,)):
            raise CheckpointError(
                f"{name}: found no {part} in it ({len(shapes)} tensors), {EXPECTED} with a {part};"
                f" use a file of the whole checkpoint, {part} included"
            )


def _require_channels(shapes: Mapping[str, tuple[int, ...]], name: str) -> None:
    first = shapes.get(f"{UNET}input_blocks.0.0.weight", ())
    if len(first) != 4:
        raise CheckpointError(
            f"{name}: found no first convolution in the U-Net, {EXPECTED}; download it again"
        )
    channels = first[1]
    if channels != LATENT_CHANNELS:
        kind, advice = BY_CHANNELS.get(
            channels, (f"a checkpoint with {channels} input channels", OTHER_MODEL)
        )
        raise CheckpointError(f"{name}: found {kind}, expected {LATENT_CHANNELS}; {advice}")


def _has_all(keys: Iterable[str], prefixes: Iterable[str]) -> bool:
    return all(any(key.startswith(prefix) for key in keys) for prefix in prefixes)
