"""The tests' small SDXL among the kinds of checkpoints that Forge and reForge know.

They know checkpoints by their widths, and a real SDXL's are too wide for a test.  What is written
here is those widths alone; all else is the program's own SDXL.
"""

from __future__ import annotations

import shutil
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.hosts.standalone.diffusers_sdxl import text_2, write_configuration
from tests.small_sdxl import HEAD_CHANNELS, LAYOUT, TEXT_1

NAME = "SmallSdxl"
WIDTHS = {
    "model_channels": LAYOUT.channels,
    "transformer_depth": [depth for depth in LAYOUT.depths for _ in range(2)],
    "context_dim": LAYOUT.context,
    "adm_in_channels": LAYOUT.vector,
}
HEADS = {"num_heads": -1, "num_head_channels": HEAD_CHANNELS}


def recognize_small_sdxl(folder: Path) -> None:
    """Have the program that runs here load it; once, however often it is called.

    folder: a place for its configuration.
    """
    is_reforge = find_spec("ldm_patched") is not None
    known = import_module(
        "ldm_patched.modules.supported_models" if is_reforge else "huggingface_guess.model_list"
    )
    if any(kind.__name__ == NAME for kind in known.models):
        return
    own = {"unet_config": {**known.SDXL.unet_config, **WIDTHS}, "unet_extra_config": HEADS}
    if is_reforge:
        own["clip_target"] = _clip_target
    else:
        shutil.rmtree(folder, ignore_errors=True)
        write_configuration(folder)
        own["huggingface_repo"] = str(folder.resolve())
    known.models.insert(0, type(NAME, (known.SDXL,), own))


def _clip_target(self: Any, state_dict: Any = None) -> Any:
    """reForge's two text encoders, whose widths it takes for granted."""
    sdxl = import_module("ldm_patched.modules.sdxl_clip")
    base = import_module("ldm_patched.modules.supported_models_base")
    model = import_module("ldm_patched.modules.sd1_clip").SDClipModel

    class TextEncoders(sdxl.SDXLClipModel):  # type: ignore[misc, name-defined]
        def __init__(self, device: Any = "cpu", dtype: Any = None, model_options: Any = None):
            import torch

            torch.nn.Module.__init__(self)
            new = partial(
                model,
                layer="last",  # which layer is taken the program reads from the .yaml
                device=device,
                dtype=dtype,
                model_options=model_options or {},
            )
            self.clip_l = new(textmodel_json_config=dict(TEXT_1))
            self.clip_g = new(
                textmodel_json_config=text_2(),
                special_tokens={"start": 49406, "end": 49407, "pad": 0},
                return_projected_pooled=True,
            )
            self.dtypes = {dtype} - {None}

    return base.ClipTarget(sdxl.SDXLTokenizer, TextEncoders)
