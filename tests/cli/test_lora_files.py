"""The words bake, merge, resize and summary."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from PIL import Image

from lib_singlelora.cli.lora_files import add_parsers
from lib_singlelora.cli.main import main
from lib_singlelora.errors import LoraFileError, PresetError, SingleLoraError
from lib_singlelora.jobs import Job
from lib_singlelora.lora.files import read_lora, write_lora
from lib_singlelora.lora.functional import natural_delta
from tests.tiny_lora import STEMS, module, tensors, written


def call(*words: object) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    add_parsers(parser.add_subparsers(dest="word", required=True))
    options = parser.parse_args([str(word) for word in words])
    result = options.run(options, Job())
    json.dumps(result, allow_nan=False)
    assert options.render(result)
    return result


@pytest.fixture
def lora(tmp_path: Path) -> Path:
    return written(tmp_path / "isa.safetensors", ss_epoch="3")


def test_bake_writes_a_lora_and_a_picture(lora: Path, tmp_path: Path) -> None:
    result = call(
        "bake",
        lora,
        "--preset",
        "OUTD",
        "--strength",
        "0.8",
        "--out",
        tmp_path / "b.safetensors",
        "--picture",
        tmp_path / "b.png",
    )
    baked = read_lora(Path(result["lora"]))
    assert (
        set(baked.metadata["ss_baked_preset"].split()) == {"OUTD"}
        and baked.metadata["ss_baked_strength"] == "0.8"
    )
    assert (
        len(baked.modules) == 2
        and result["weights"]["OUT03"] == 1
        and result["weights"]["IN01"] == 0
    )
    with Image.open(result["picture"]) as picture:
        assert picture.format == "PNG"


def test_bake_takes_the_users_presets_x_and_ranges(lora: Path, tmp_path: Path) -> None:
    (tmp_path / "lbwpresets.txt").write_text(
        "MINE:" + ",".join(["X-0.1"] * 17) + "\n", encoding="utf-8"
    )
    result = call(
        "bake",
        lora,
        "--preset",
        "MINE",
        "--presets",
        tmp_path,
        "--x",
        "0.6",
        "--blocks",
        "M00-OUT03=0.25",
        "--blocks",
        "BASE=0",
        "--out",
        tmp_path / "b.safetensors",
    )
    assert (result["weights"]["IN01"], result["weights"]["M00"], result["weights"]["BASE"]) == (
        0.5,
        0.25,
        0,
    )


def test_random_values_follow_the_seed(lora: Path, tmp_path: Path) -> None:
    one, same, other = (
        call(
            "bake",
            lora,
            "--preset",
            ",".join("R" * 17),
            "--seed",
            seed,
            "--out",
            tmp_path / "b.safetensors",
        )
        for seed in (1, 1, 2)
    )
    assert one["weights"] == same["weights"] != other["weights"]


def test_bake_reads_a_doras_weights_from_the_checkpoint(tmp_path: Path) -> None:
    magnitudes = {
        f"{stem}.dora_scale": torch.ones(1, *shape[1:2], *(1 for _ in shape[2:]))
        for stem, shape in STEMS.items()
    }
    write_lora(tmp_path / "d.safetensors", {**tensors("lora"), **magnitudes}, {}, "fp32")
    words = [
        "bake",
        tmp_path / "d.safetensors",
        "--strength",
        "0.5",
        "--out",
        tmp_path / "b.safetensors",
    ]
    with pytest.raises(LoraFileError, match="name the checkpoint"):
        call(*words)
    names = zip(read_lora(tmp_path / "d.safetensors").modules, STEMS.values(), strict=True)
    weights = {}
    for name, shape in names:
        is_text = name.startswith("text")
        prefix = "cond_stage_model.transformer." if is_text else "model.diffusion_model."
        weights[f"{prefix}{name}.weight"] = torch.rand(shape)
    safetensors.torch.save_file(weights, tmp_path / "c.safetensors")
    assert len(
        read_lora(Path(call(*words, "--checkpoint", tmp_path / "c.safetensors")["lora"])).modules
    ) == len(STEMS)


def test_merge_averages_and_tells_the_shares(lora: Path, tmp_path: Path) -> None:
    other = written(tmp_path / "isa-2.safetensors", seed=2)
    result = call("merge", lora, other, "--out", tmp_path / "m.safetensors")
    key = next(key for key in read_lora(lora).tensors if key.endswith("lora_up.weight"))
    mean = (read_lora(lora).tensors[key] + read_lora(other).tensors[key]) / 2
    # Fp32 rounding
    torch.testing.assert_close(
        read_lora(Path(result["lora"])).tensors[key], mean, rtol=1e-6, atol=1e-6
    )
    # Random ones are far apart
    assert result["shares"] == [0.5, 0.5] and "one training" in result["notes"][0]


def test_merge_by_ema_takes_the_decay(lora: Path, tmp_path: Path) -> None:
    other = written(tmp_path / "isa-2.safetensors", seed=2)
    result = call(
        "merge",
        lora,
        other,
        "--method",
        "ema",
        "--decay",
        "0.25",
        "--out",
        tmp_path / "m.safetensors",
    )
    assert result["shares"] == pytest.approx([0.2, 0.8])


def test_resize_tells_the_error_of_every_module(lora: Path, tmp_path: Path) -> None:
    result = call("resize", lora, "--rank", "2", "--out", tmp_path / "r.safetensors")
    assert (
        result["ranks"] == [2, 2]
        and len(result["modules"]) == len(STEMS)
        and 0 < result["error"] < 1
    )
    name, module = next(iter(result["modules"].items()))
    before, after = (
        natural_delta(read_lora(path).modules[name]) for path in (lora, Path(result["lora"]))
    )
    assert module["error"] == pytest.approx(
        float((after - before).norm() / before.norm()), rel=1e-5
    )


def test_resize_by_share_takes_the_share(lora: Path, tmp_path: Path) -> None:
    low, high = (
        call("resize", lora, "--retain", share, "--out", tmp_path / "r.safetensors")
        for share in (0.5, 0.95)
    )
    assert low["error"] > high["error"]


def test_summary_tells_and_draws(lora: Path, tmp_path: Path) -> None:
    result = call("summary", lora, "--picture", tmp_path / "s.png")
    assert (
        result["algorithm"] == "LoCon"
        and result["highlights"]["epoch"] == "3"
        and result["blocks"]["M00"]["modules"] == 1
    )
    assert Path(result["picture"]).is_file()


def bad(folder: Path) -> dict[str, Path]:
    whole = written(folder / "isa.safetensors").read_bytes()
    (folder / "truncated.safetensors").write_bytes(whole[:-100])
    (folder / "empty.safetensors").touch()
    foreign = {"lora_unet_double_blocks_0_img_attn_proj.lora_up.weight": torch.ones(2, 2)}
    write_lora(folder / "flux.safetensors", foreign, {}, None)
    return {
        name: folder / f"{name}.safetensors" for name in ("truncated", "empty", "flux", "deleted")
    }


def test_presets_lists_the_blocks_of_each_and_draws_them(lora: Path, tmp_path: Path) -> None:
    (tmp_path / "lbwpresets.txt").write_text(
        "MINE:" + ",".join(["0.5"] * 17) + "\nXL:" + ",".join(["1"] * 12), encoding="utf-8"
    )
    result = call("presets", "--presets", tmp_path, "--lora", lora, "--picture", tmp_path / "p.png")
    assert (
        result["presets"]["OUTD"] == ["BASE", "OUT03", "OUT04", "OUT05", "OUT06"]
        and result["values"]["MINE"] == [0.5] * 17
    )
    assert "XL" not in result["presets"] and len(result["presets"]) == 12
    one = call("presets", "OUTD", "--picture", tmp_path / "one.png")
    with Image.open(result["picture"]) as many, Image.open(one["picture"]) as single:
        assert many.width == 2 * single.width and many.height > 5 * single.height
    with pytest.raises(PresetError, match="did you mean 'OUTS'"):
        call("presets", "OUTT")


def test_the_words_work_on_a_file_of_sdxl(tmp_path: Path) -> None:
    files = []
    for seed in (1, 2):
        generator = torch.Generator().manual_seed(seed)
        own = {
            f"{stem}.{part}": tensor
            for stem in (
                "lora_te2_text_model_encoder_layers_31_self_attn_q_proj",
                "lora_unet_output_blocks_0_1_transformer_blocks_9_attn1_to_q",
                "lora_unet_output_blocks_3_1_transformer_blocks_0_attn1_to_q",
            )
            for part, tensor in module("lora", (8, 8), generator).items()
        }
        files.append(tmp_path / f"xl-{seed}.safetensors")
        write_lora(files[-1], own, {}, "fp32")
    shown = call("presets", "--lora", files[0], "--picture", tmp_path / "p.png")["presets"]
    assert shown["OUTD"] == ["BASE", "OUT03", "OUT04", "OUT05"]
    assert shown["BLORA content"] == ["OUT00"] and "OUTALL" in shown
    out = tmp_path / "out.safetensors"
    baked = call("bake", files[0], "--preset", "OUTD", "--out", out)
    assert any("are of sd1" in note for note in baked["notes"])
    assert set(read_lora(out).by_stem) == {
        "lora_te2_text_model_encoder_layers_31_self_attn_q_proj",
        "lora_unet_output_blocks_3_1_transformer_blocks_0_attn1_to_q",
    }
    call("merge", *files, "--out", tmp_path / "merged.safetensors")
    call("resize", files[0], "--rank", 2, "--out", tmp_path / "resized.safetensors")
    told = call("summary", files[0], "--picture", tmp_path / "s.png")
    assert told["architecture"] == "sdxl" and set(told["blocks"]) == {"BASE", "OUT00", "OUT03"}
    with pytest.raises(PresetError, match="expected 12 or 20 for sdxl"):
        call("bake", files[0], "--preset", ",".join("1" * 17), "--out", tmp_path / "no.safetensors")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("truncated", "it is truncated"),
        ("empty", "found an empty file"),
        ("flux", "1 of 1 keys match no sd1 module"),
        ("deleted", "found no such file"),
    ],
)
@pytest.mark.parametrize("word", ["bake", "merge", "resize", "summary"])
def test_a_bad_file_is_one_clear_line_and_writes_nothing(
    tmp_path: Path, word: str, name: str, message: str
) -> None:
    path = bad(tmp_path)[name]
    good = tmp_path / "isa.safetensors"
    more = {"merge": [good], "resize": ["--rank", "2"]}.get(word, [])
    out = [] if word == "summary" else ["--out", tmp_path / "new.safetensors"]
    with pytest.raises(LoraFileError, match=rf"{name}\.safetensors: .*{message}") as caught:
        call(word, path, *more, *out)
    assert "\n" not in str(caught.value) and not (tmp_path / "new.safetensors").exists()


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["--preset", ",".join(["1"] * 13)], PresetError, "found 13 values, expected 17 or 26"),
        (["--preset", "MINE"], PresetError, "unknown block preset 'MINE'"),
        (["--blocks", "M00"], PresetError, "found 'M00', expected blocks and a number"),
        (["--blocks", "IN99=1"], PresetError, "found 'IN99'"),
        (["--presets", "nowhere"], PresetError, "nowhere: found no lbwpresets.txt"),
        (["--strength", "inf"], LoraFileError, "strength: found inf"),
    ],
)
def test_a_mistake_in_baking_is_one_clear_line(
    lora: Path, tmp_path: Path, words: list[str], error: type[SingleLoraError], message: str
) -> None:
    with pytest.raises(error, match=message):
        call("bake", lora, *words, "--out", tmp_path / "b.safetensors")
    assert not (tmp_path / "b.safetensors").exists()


def test_a_file_is_never_written_over_what_is_read(lora: Path, tmp_path: Path) -> None:
    (tmp_path / "same.safetensors").symlink_to(lora)
    before = lora.read_bytes()
    for out in (lora, tmp_path / "same.safetensors"):
        with pytest.raises(LoraFileError, match="input"):
            call("resize", lora, "--rank", "2", "--out", out)
    assert lora.read_bytes() == before


def test_a_name_that_is_no_safetensors_is_refused(lora: Path, tmp_path: Path) -> None:
    with pytest.raises(
        LoraFileError, match=r"found 'b\.pt', expected the name of a new \.safetensors"
    ):
        call("bake", lora, "--out", tmp_path / "b.pt")


def test_the_command_line_prints_one_json_object(
    lora: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["summary", str(lora), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ranks"] == [4, 4]


def test_the_command_line_tells_people_what_a_lora_is(
    lora: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["summary", str(lora)]) == 0
    told = capsys.readouterr().out
    assert "rank 4" in told and "norm" in told


def test_the_command_line_fails_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["summary", str(tmp_path / "none.safetensors")]) == 1
    captured = capsys.readouterr()
    assert (
        captured.out == ""
        and captured.err.startswith("singlelora: ")
        and captured.err.count("\n") == 1
    )
