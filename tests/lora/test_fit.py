"""Whether a LoRA file is for a checkpoint."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lib_singlelora.errors import LoraKeyError
from lib_singlelora.families.sd1 import SD1
from lib_singlelora.lora.fit import require_fit

MODULE = "lora_unet_down_blocks_{}_attentions_0_transformer_blocks_0_attn1_to_q"


def a_lora(path: Path, level: int) -> Path:
    """Of one module; SD 1 has attention at levels 0 to 2."""
    stem = MODULE.format(level)
    save_file(
        {
            f"{stem}.lora_up.weight": torch.zeros(8, 2),
            f"{stem}.lora_down.weight": torch.zeros(2, 8),
        },
        path,
    )
    os.utime(path, ns=(1, 1))
    return path


def test_another_file_at_the_same_place_and_time_is_looked_at_anew(tmp_path: Path) -> None:
    path = a_lora(tmp_path / "a.safetensors", 0)
    require_fit(path, SD1.layout)
    a_lora(tmp_path / "b.safetensors", 3).replace(path)
    with pytest.raises(LoraKeyError, match="another base model"):
        require_fit(path, SD1.layout)
