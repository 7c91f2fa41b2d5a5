"""A Stable Diffusion 2 with a narrow U-Net and random parameters, in ldm's keys.

Its text encoder is the narrowest of open_clip's own list, so that the WebUI builds it from the
`.yaml` beside the file.
    python -m tests.small_sd2 OUT.safetensors
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import safetensors.torch
import torch
from torch import Tensor

from lib_singlelora.families.sd2 import SD2
from lib_singlelora.naming.blocks import is_text
from lib_singlelora.naming.modules import module_specs
from tests.small_checkpoint import (
    BIASED,
    CLIP,
    VOCABULARY,
    Size,
    random_tensors,
    soften,
    vae_shapes,
    yaml_text,
)

ARCH = "ViT-S-32"
WIDTH = 384
LAYERS = 12  # of which the last is never computed
HEAD_CHANNELS = 16
NATIVE_SIZE = 64
SIZE = Size(text=WIDTH)
LAYOUT = replace(
    SD2.layout,
    channels=SIZE.unet,
    multipliers=SIZE.multipliers,
    context=WIDTH,
    text=(("", "lora_te_", LAYERS - 1, WIDTH),),
)
TEXT = "cond_stage_model.model."

Shapes = Iterator[tuple[str, tuple[int, ...]]]


def unet_shapes() -> Shapes:
    for spec in module_specs(LAYOUT):
        if not is_text(spec.name):
            yield f"model.diffusion_model.{spec.name}.weight", spec.shape
            if not spec.name.endswith(BIASED):
                yield f"model.diffusion_model.{spec.name}.bias", spec.shape[:1]


def text_shapes() -> Shapes:
    """As open_clip has them, q, k and v in one tensor."""
    yield f"{TEXT}positional_embedding", (77, WIDTH)
    yield f"{TEXT}text_projection", (WIDTH, WIDTH)
    yield f"{TEXT}token_embedding.weight", (VOCABULARY, WIDTH)
    for layer in range(LAYERS):
        block = f"{TEXT}transformer.resblocks.{layer}"
        for name, shape in (
            ("attn.in_proj_", (3 * WIDTH, WIDTH)),
            ("attn.out_proj.", (WIDTH, WIDTH)),
            ("ln_1.", (WIDTH,)),
            ("ln_2.", (WIDTH,)),
            ("mlp.c_fc.", (4 * WIDTH, WIDTH)),
            ("mlp.c_proj.", (WIDTH, 4 * WIDTH)),
        ):
            yield f"{block}.{name}weight", shape
            yield f"{block}.{name}bias", shape[:1]
    yield f"{TEXT}ln_final.weight", (WIDTH,)
    yield f"{TEXT}ln_final.bias", (WIDTH,)


def tensors(seed: int) -> dict[str, Tensor]:
    """Random values that keep every activation of order one."""
    made = random_tensors(seed, iter((*unet_shapes(), *vae_shapes(SIZE), *text_shapes())))
    made[f"{TEXT}logit_scale"] = torch.tensor(4.6)
    # The WebUI's default emphasis divides by the mean of the text encoder's output, which must not
    # be 0.
    made[f"{TEXT}ln_final.bias"] += 0.2
    soften(made)
    return made


def config_text(prediction: str) -> str:
    """The `.yaml` beside the file."""
    text = yaml_text(CLIP, SIZE)
    for before, after in (
        (
            f"num_heads: {SIZE.heads}",
            f"num_head_channels: {HEAD_CHANNELS}\n        use_linear_in_transformer: True",
        ),
        (
            "num_timesteps_cond: 1\n",
            'num_timesteps_cond: 1\n    parameterization: "v"\n'
            if prediction == "v_prediction"
            else "num_timesteps_cond: 1\n",
        ),
    ):
        assert before in text
        text = text.replace(before, after)
    head, _, _ = text.partition("    cond_stage_config:")
    return f"""{head}    cond_stage_config:
      target: ldm.modules.encoders.modules.FrozenOpenCLIPEmbedder
      params:
        arch: {ARCH}
        freeze: True
        layer: "penultimate"
"""


def build_small_sd2(
    folder: Path,
    name: str = "two",
    prediction: Literal["epsilon", "v_prediction"] = "v_prediction",
    seed: int = 0,
    dtype: torch.dtype = torch.float16,
) -> Path:
    """Write NAME.safetensors and NAME.yaml into a folder; gives the file."""
    path = folder / f"{name}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".yaml").write_text(config_text(prediction), encoding="utf-8")
    weights = {key: tensor.to(dtype).contiguous() for key, tensor in tensors(seed).items()}
    safetensors.torch.save_file(weights, path, {"native_size": str(NATIVE_SIZE)})
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1])
    print(build_small_sd2(target.parent, target.stem))
