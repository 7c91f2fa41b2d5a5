"""LoRA files of other trainers: the change read from each is that of its own formula, computed here
with numpy.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_tensors
from safetensors.torch import save_file
from torch import Tensor

from lib_singlelora.errors import LoraFileError, LoraKeyError
from lib_singlelora.lora.files import LoraFile, read_lora, save_lora
from lib_singlelora.naming.blocks import SD1, SDXL, is_text
from lib_singlelora.naming.keys import canonical_to_diffusers, canonical_to_kohya

CASES = Path(__file__).parents[1] / "data" / "cases"
MODULES = {
    "input_blocks.1.1.transformer_blocks.0.attn1.to_q": (8, 8),
    "input_blocks.1.1.transformer_blocks.0.attn2.to_out.0": (8, 6),
    "middle_block.1.proj_in": (8, 8, 1, 1),
    "output_blocks.11.0.in_layers.2": (6, 8, 3, 3),
    "text_model.encoder.layers.0.self_attn.out_proj": (8, 8),
}
RANK = 4
ALPHA = 2.0
OLD = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}


def halves() -> dict[str, tuple[Tensor, Tensor]]:
    """Random (up, down) of each module."""
    generator = torch.Generator().manual_seed(3)
    found = {}
    for name, (out, into, *rest) in MODULES.items():
        found[name] = (
            torch.randn(out, RANK, *(1 for _ in rest), generator=generator),
            torch.randn(RANK, into, *rest, generator=generator),
        )
    return found


def by_hand(scale: Mapping[str, float]) -> dict[str, np.ndarray]:
    """scale · up · down."""
    found = {}
    for name, (up, down) in halves().items():
        flat = up.numpy().reshape(up.shape[0], -1) @ down.numpy().reshape(RANK, -1)
        found[name] = scale[name] * flat.reshape(MODULES[name])
    return found


def dotted(name: str) -> str:
    """diffusers' name with its network in front."""
    return f"text_encoder.{name}" if is_text(name) else f"unet.{canonical_to_diffusers(name, SD1)}"


def old_diffusers(name: str) -> str:
    """to_q_lora of attention processors, lora_linear_layer and lora elsewhere."""
    full = dotted(name)
    head, _, last = full.rpartition(".")
    if is_text(name):
        return f"{head}.{OLD[last]}_lora"
    if full.endswith(".to_out.0"):
        return f"{full.removesuffix('.to_out.0')}.processor.to_out_lora"
    return f"{head}.processor.{last}_lora" if last.startswith("to_") else f"{full}.lora"


def comfy(name: str) -> str:
    return (
        f"text_encoders.clip_l.transformer.{name}" if is_text(name) else f"diffusion_model.{name}"
    )


KEYS = {
    "kohya": lambda name: canonical_to_kohya(name, SD1) + ".lora_{down|up}.weight",
    "kohya with A and B": lambda name: canonical_to_kohya(name, SD1) + ".lora_{A|B}.weight",
    "kohya with dots": (
        lambda name: (
            (
                f"lora_te.{name}"
                if is_text(name)
                else f"lora_unet.{canonical_to_diffusers(name, SD1)}"
            )
            + ".lora_{down|up}.weight"
        )
    ),
    "ldm stems": (
        lambda name: (
            (
                canonical_to_kohya(name, SD1)
                if is_text(name)
                else f"lora_unet_{name.replace('.', '_')}"
            )
            + ".lora_{down|up}.weight"
        )
    ),
    "diffusers": lambda name: dotted(name) + ".lora_{A|B}.weight",
    "diffusers, linear layers": lambda name: dotted(name) + ".lora_linear_layer.{down|up}.weight",
    "diffusers, processors": lambda name: old_diffusers(name) + ".{down|up}.weight",
    "PEFT": lambda name: f"base_model.model.{dotted(name)}" + ".lora_{A|B}.weight",
    "PEFT, named adapter": (
        lambda name: (
            f"base_model.model.{dotted(name).removeprefix('unet.')}" + ".lora_{A|B}.default.weight"
        )
    ),
    "ComfyUI": lambda name: comfy(name) + ".lora_{A|B}.weight",
    "LyCORIS' wrapper": (
        lambda name: (
            "lycoris_"
            + (name if is_text(name) else canonical_to_diffusers(name, SD1)).replace(".", "_")
            + ".lora_{down|up}.weight"
        )
    ),
}


def written(path: Path, dialect: str, alpha: bool, metadata: dict[str, str] | None = None) -> Path:
    tensors = {}
    for name, (up, down) in halves().items():
        pattern = KEYS[dialect](name)
        start, _, rest = pattern.partition("{")
        (first, _, second), end = rest.partition("}")[0].partition("|"), rest.partition("}")[2]
        tensors[f"{start}{first}{end}"], tensors[f"{start}{second}{end}"] = down, up
        if alpha:
            tensors[f"{start.rpartition('.lora_')[0] or start[:-1]}.alpha"] = torch.tensor(ALPHA)
    save_file(tensors, path, metadata)
    return path


def assert_changes(lora: LoraFile, wanted: Mapping[str, np.ndarray]) -> None:
    """Tolerance: fp32 rounding of sums of four products."""
    assert set(lora.modules) == set(wanted)
    for stem, name in zip(lora.by_stem, lora.modules, strict=True):
        np.testing.assert_allclose(lora.delta(stem).numpy(), wanted[name], atol=1e-5)


@pytest.mark.parametrize("dialect", KEYS)
def test_every_dialect_is_read_and_means_its_rank_where_it_has_no_alpha(
    dialect: str, tmp_path: Path
) -> None:
    lora = read_lora(written(tmp_path / "a.safetensors", dialect, False))
    assert lora.layout is SD1
    assert_changes(lora, by_hand(dict.fromkeys(MODULES, 1.0)))
    save_lora(tmp_path / "b.safetensors", lora)  # a copy for hosts that know kohya's keys alone
    again = read_lora(tmp_path / "b.safetensors")
    assert not again.renamed and set(again.by_stem) == {
        canonical_to_kohya(name, SD1) for name in MODULES
    }
    assert_changes(again, by_hand(dict.fromkeys(MODULES, 1.0)))


@pytest.mark.parametrize(
    "dialect", ["kohya", "kohya with A and B", "kohya with dots", "diffusers", "ComfyUI"]
)
def test_an_alpha_in_the_file_counts(dialect: str, tmp_path: Path) -> None:
    assert_changes(
        read_lora(written(tmp_path / "a.safetensors", dialect, True)),
        by_hand(dict.fromkeys(MODULES, ALPHA / RANK)),
    )


def test_diffusers_metadata_gives_each_network_and_pattern_its_alpha(tmp_path: Path) -> None:
    told = {
        "unet.lora_alpha": 8,
        "unet.r": RANK,
        "unet.alpha_pattern": {"mid_block.attentions.0.proj_in": 1, r".*conv1": 3},
        "text_encoder.lora_alpha": 2,
        "text_encoder.r": RANK,
        "text_encoder.use_rslora": True,
    }
    file = written(
        tmp_path / "a.safetensors", "diffusers", False, {"lora_adapter_metadata": json.dumps(told)}
    )
    scale = dict.fromkeys(MODULES, 8 / RANK) | {
        "middle_block.1.proj_in": 1 / RANK,
        "output_blocks.11.0.in_layers.2": 3 / RANK,
        "text_model.encoder.layers.0.self_attn.out_proj": 2 / RANK**0.5,
    }
    lora = read_lora(file)
    assert_changes(lora, by_hand(scale))
    assert lora.notes == ()


def test_peft_s_configuration_beside_the_file_gives_the_alpha(tmp_path: Path) -> None:
    written(tmp_path / "adapter_model.safetensors", "PEFT", False)
    config = {"r": RANK, "lora_alpha": 6, "alpha_pattern": {"proj_in": 12}}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    scale = dict.fromkeys(MODULES, 6 / RANK) | {"middle_block.1.proj_in": 12 / RANK}
    assert_changes(read_lora(tmp_path / "adapter_model.safetensors"), by_hand(scale))
    (tmp_path / "adapter_config.json").write_text("{", encoding="utf-8")
    with pytest.raises(LoraFileError, match=r"adapter_config\.json: cannot be read"):
        read_lora(tmp_path / "adapter_model.safetensors")


def test_an_alpha_that_nothing_tells_is_said(tmp_path: Path) -> None:
    assert (
        "5 of its modules have no alpha"
        in read_lora(written(tmp_path / "a.safetensors", "PEFT", False)).notes[0]
    )


def test_peft_s_magnitudes_are_those_of_the_outputs(tmp_path: Path) -> None:
    tensors = load_tensors(written(tmp_path / "a.safetensors", "diffusers", False))
    linear = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    conv = "unet.up_blocks.3.resnets.2.conv1"
    tensors[f"{linear}.lora_magnitude_vector"] = torch.arange(8.0)
    tensors[f"{conv}.lora_magnitude_vector.default.weight"] = torch.arange(6.0).reshape(1, 6, 1, 1)
    save_file(tensors, tmp_path / "a.safetensors")
    lora = read_lora(tmp_path / "a.safetensors")
    modules = lora.modules
    assert modules["input_blocks.1.1.transformer_blocks.0.attn1.to_q"]["dora_scale"].shape == (8, 1)
    assert modules["output_blocks.11.0.in_layers.2"]["dora_scale"].shape == (6, 1, 1, 1)
    assert any(
        "2 of its modules are DoRA with one magnitude an output" in note for note in lora.notes
    )


@pytest.mark.parametrize(
    ("keys", "layout"),
    [
        (["lora_unet_down_blocks_2_attentions_0_transformer_blocks_3_attn1_to_q"], "sdxl"),
        (["lora_unet_input_blocks_4_1_transformer_blocks_1_attn1_to_q"], "sdxl"),
        (["lora_unet_up_blocks_0_attentions_0_proj_in"], "sdxl"),
        (
            [
                "lora_unet_down_blocks_0_attentions_0_proj_in",
                "lora_te1_text_model_encoder_layers_0_mlp_fc1",
            ],
            "sd1",
        ),
        (["lora_te1_text_model_encoder_layers_0_mlp_fc1"], "sdxl"),
        (["text_encoder_2.text_model.encoder.layers.31.mlp.fc1"], "sdxl"),
        (["lora_te_text_model_encoder_layers_0_mlp_fc1"], "sd1"),
        (["lora_te_text_model_encoder_layers_12_mlp_fc1"], "sd2"),
        (["lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"], "sd1"),
    ],
)
def test_the_architecture_is_told_by_what_only_it_has(
    keys: list[str], layout: str, tmp_path: Path
) -> None:
    own = {f"{key}.lora_{half}.weight": torch.ones(4, 4) for key in keys for half in ("up", "down")}
    save_file(own, tmp_path / "a.safetensors")
    assert read_lora(tmp_path / "a.safetensors").layout.name == layout


@pytest.mark.parametrize(
    ("width", "metadata", "layout"),
    [
        (2048, {}, "sdxl"),
        (1024, {}, "sd2"),
        (768, {}, "sd1"),
        (64, {"ss_base_model_version": "sdxl_base_v1-0"}, "sdxl"),
        (64, {"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}, "sdxl"),
        (64, {"ss_v2": "True"}, "sd2"),
        (64, {}, "sd1"),
    ],
)
def test_where_names_do_not_tell_widths_do(
    width: int, metadata: dict[str, str], layout: str, tmp_path: Path
) -> None:
    key = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
    own = {f"{key}.lora_A.weight": torch.ones(2, width), f"{key}.lora_B.weight": torch.ones(640, 2)}
    save_file(own, tmp_path / "a.safetensors", metadata)
    assert read_lora(tmp_path / "a.safetensors").layout.name == layout


STRANGERS = {
    "a LoRA for Flux": "transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight",
    "a LoRA for Stable Diffusion 3": (
        "transformer.transformer_blocks.0.attn.add_q_proj.lora_A.weight"
    ),
    "a LoRA for Wan": "diffusion_model.blocks.0.cross_attn.q.lora_A.weight",
    "a whole checkpoint": "model.diffusion_model.input_blocks.0.0.weight",
    "a VAE": "decoder.conv_in.weight",
    "a textual inversion embedding": "emb_params",
    "a ControlNet": "control_model.input_blocks.0.0.weight",
}


@pytest.mark.parametrize("what", STRANGERS)
def test_other_things_are_named_for_what_they_are(what: str, tmp_path: Path) -> None:
    save_file({STRANGERS[what]: torch.ones(2, 2)}, tmp_path / "a.safetensors")
    with pytest.raises(LoraKeyError, match=what):
        read_lora(tmp_path / "a.safetensors")


def test_embeddings_alone_are_no_lora(tmp_path: Path) -> None:
    save_file({"bundle_emb.isa.clip_l": torch.ones(2, 8)}, tmp_path / "a.safetensors")
    with pytest.raises(LoraKeyError, match="textual inversion embeddings alone"):
        read_lora(tmp_path / "a.safetensors")


@pytest.mark.parametrize("part", ["lora_B.bias", "scalar", "oft_R.weight"])
def test_a_tensor_that_no_host_reads_is_named(part: str, tmp_path: Path) -> None:
    tensors = load_tensors(written(tmp_path / "a.safetensors", "diffusers", False))
    tensors[f"unet.mid_block.attentions.0.proj_in.{part}"] = torch.ones(8)
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(
        LoraKeyError,
        match=r"middle_block\.1\.proj_in: found .* beside a lora's tensors, which no host reads",
    ):
        read_lora(tmp_path / "a.safetensors")


def test_quantized_numbers_are_refused(tmp_path: Path) -> None:
    tensors = load_tensors(written(tmp_path / "a.safetensors", "kohya", False))
    save_file(
        {key: tensor.to(torch.int8) for key, tensor in tensors.items()}, tmp_path / "a.safetensors"
    )
    with pytest.raises(LoraFileError, match="found int8, expected floating-point numbers"):
        read_lora(tmp_path / "a.safetensors")


# Files that people brought
# --------------------------------------------------------------------------------------------------


def test_a_peft_file_changes_what_its_halves_say() -> None:
    raw = load_file(CASES / "lora_peft.safetensors")
    lora = read_lora(CASES / "lora_peft.safetensors")
    assert len(lora.modules) == 4 and lora.renamed
    for stem, name in zip(lora.by_stem, lora.modules, strict=True):
        key = f"unet.{canonical_to_diffusers(name, SD1)}"
        wanted = raw[f"{key}.lora_B.weight"] @ raw[f"{key}.lora_A.weight"]
        np.testing.assert_allclose(lora.delta(stem).numpy(), wanted, rtol=1e-5, atol=1e-5)


def test_fp8_is_read_at_its_own_value_and_told() -> None:
    raw = load_tensors(CASES / "lora_fp8.safetensors")
    lora = read_lora(CASES / "lora_fp8.safetensors")
    assert lora.stored == "float8_e4m3fn" and "float8_e4m3fn" in lora.notes[0]
    for stem in lora.by_stem:
        up, down = (raw[f"{stem}.lora_{half}.weight"].float().numpy() for half in ("up", "down"))
        wanted = (
            up.reshape(64, -1)
            @ down.reshape(len(down), -1)
            * float(raw[f"{stem}.alpha"])
            / len(down)
        )
        np.testing.assert_allclose(
            lora.delta(stem).numpy().reshape(wanted.shape), wanted, rtol=1e-5, atol=1e-6
        )


def test_sdxl_with_diffusers_stems_is_sdxl() -> None:
    lora = read_lora(CASES / "sdxl_diffstems.safetensors")
    assert lora.layout is SDXL
    assert list(lora.modules) == [
        f"input_blocks.7.1.transformer_blocks.{n}.attn1.to_q" for n in (3, 4)
    ]


def test_a_bundled_embedding_is_kept_and_told(tmp_path: Path) -> None:
    lora = read_lora(CASES / "lora_bundle.safetensors")
    assert len(lora.modules) == 6 and any(
        "bundles the embedding isa" in note for note in lora.notes
    )
    save_lora(tmp_path / "b.safetensors", lora)
    again = read_lora(tmp_path / "b.safetensors")
    assert {key: tensor.shape for key, tensor in again.embeddings.items()} == {
        "bundle_emb.isa.string_to_param.*": (2, 64)
    }


@pytest.mark.parametrize(
    ("file", "found"),
    [
        ("lora_nan", "NaN or infinite numbers"),
        ("lora_rankmismatch", r"do not fit one another.*lora_up\.weight \(64, 1\)"),
    ],
)
def test_broken_files_are_named_with_their_module(file: str, found: str) -> None:
    with pytest.raises(LoraFileError, match=found):
        read_lora(CASES / f"{file}.safetensors")


def test_a_dora_of_the_outputs_is_named() -> None:
    assert any(
        "6 of its modules are DoRA with one magnitude an output" in note
        for note in read_lora(CASES / "dora_out.safetensors").notes
    )


def test_a_down_weight_that_is_one_number_is_told(tmp_path: Path) -> None:
    key = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight"
    save_file({key: torch.tensor(0.0)}, tmp_path / "a.safetensors")
    with pytest.raises(LoraFileError, match=r"^a\.safetensors: "):
        read_lora(tmp_path / "a.safetensors")


def peft_file(path: Path, metadata: dict[str, str]) -> Path:
    stem = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    save_file(
        {f"{stem}.lora_A.weight": torch.ones(2, 8), f"{stem}.lora_B.weight": torch.ones(8, 2)},
        path,
        metadata,
    )
    return path


@pytest.mark.parametrize(
    "config",
    [
        {"unet.lora_alpha": "x"},
        {"unet.lora_alpha": [1]},
        {"unet.lora_alpha": float("nan")},
        {"unet.lora_alpha": 1, "unet.alpha_pattern": ["to_q"]},
        {"unet.lora_alpha": 1, "unet.alpha_pattern": {"(": 2}},
        {"unet.lora_alpha": 1, "unet.alpha_pattern": {"to_q": None}},
    ],
)
def test_a_peft_configuration_that_is_none_is_told_in_one_line(
    config: dict[str, object], tmp_path: Path
) -> None:
    file = peft_file(tmp_path / "x.safetensors", {"lora_adapter_metadata": json.dumps(config)})
    with pytest.raises(LoraFileError, match="configuration of PEFT") as told:
        read_lora(file)
    assert "\n" not in str(told.value)


def test_an_alpha_that_is_a_whole_number_is_its_number(tmp_path: Path) -> None:
    stem = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    save_file(
        {
            f"{stem}.lora_down.weight": torch.ones(2, 8),
            f"{stem}.lora_up.weight": torch.ones(8, 2),
            f"{stem}.alpha": torch.tensor(4),
        },
        tmp_path / "x.safetensors",
    )
    assert read_lora(tmp_path / "x.safetensors").tensors[f"{stem}.alpha"].item() == 4.0


def test_a_checkpoint_with_its_buffers_is_named_a_checkpoint(tmp_path: Path) -> None:
    keys = (
        "alphas_cumprod",
        "model.diffusion_model.input_blocks.0.0.weight",
        "cond_stage_model.transformer.x",
        "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight",
        "first_stage_model.encoder.x",
    )
    save_file({key: torch.ones(2) for key in keys}, tmp_path / "x.safetensors")
    with pytest.raises(LoraKeyError, match="a whole checkpoint"):
        read_lora(tmp_path / "x.safetensors")
