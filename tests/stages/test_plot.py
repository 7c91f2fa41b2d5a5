"""The sheet on the small checkpoint: axes, what is drawn again, what a kill leaves, bad input."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import nn

from lib_singlelora.captions.text import split_tags
from lib_singlelora.errors import (
    JobCancelled,
    LoraFileError,
    PresetError,
    SettingsError,
    SingleLoraError,
)
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.jobs import Job, Progress
from lib_singlelora.lora.branches import LoraShape
from lib_singlelora.lora.files import write_lora
from lib_singlelora.lora.network import LoraNetwork
from lib_singlelora.naming.block_weights import LBW_PRESETS
from lib_singlelora.settings.schema import Settings
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.plot import PlotResult, plan, plot
from lib_singlelora.workspace.stage_record import StageRecord
from lib_singlelora.workspace.timing import Stopwatch, save_pace
from lib_singlelora.workspace.workspace import Workspace

ROOT = Path(__file__).parents[2]
SMALL = {
    "character.trigger": "isa",
    "training.resolution": 64,
    "training.epochs": 2,
    "plot.strengths": "0.5,1",
    "plot.steps": 1,
    "plot.epochs": "1,2",
    "plot.sampler": "Euler",
    "caption.tagger": "none",
    "plot.prompt": "isa, girl, hat",
    "plot.presets": "ALL",
    "judge.race": False,
}


def small(**values: object) -> Settings:
    return Settings.from_dict({**SMALL, **{f"plot.{key}": value for key, value in values.items()}})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, standalone_host: StandaloneHost) -> Path:
    """A workspace with a picture, two crops and two epochs of random weights."""
    workspace = Workspace(tmp_path_factory.mktemp("plot") / "w")
    settings = small()
    workspace.save_settings(settings, standalone_host.checkpoint.path)
    for folder in (workspace.models, workspace.image_folder(settings), workspace.prepared.parent):
        folder.mkdir(parents=True, exist_ok=True)
    for path in (workspace.prepared, workspace.image_folder(settings) / "a.png"):
        Image.linear_gradient("L").convert("RGB").save(path)
    Image.new("L", (256, 256), 255).save(workspace.mask)
    (workspace.image_folder(settings) / "a.txt").write_text(
        "isa, girl, sitting, grey background", encoding="utf-8"
    )
    traits = [{"tag": "white hat", "category": "accessory", "seen": 1, "visible": 1}]
    workspace.save_record(StageRecord("caption", "x", True, {}, {"traits": traits}))
    with standalone_host.open_for_training() as model:
        for seed, name in ((1, "isa-000001"), (2, "isa")):
            network = LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, True, seed)
            for _, branch in network.items():
                nn.init.normal_(branch.up, std=0.3, generator=torch.Generator().manual_seed(seed))
            write_lora(
                workspace.models / f"{name}.safetensors", network.kohya_tensors(), {}, "fp32"
            )
    return workspace.root


@pytest.fixture
def workspace(trained: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(trained, tmp_path / "w")
    return Workspace(tmp_path / "w")


def drawn(workspace: Workspace) -> dict[str, str]:
    """File and parameters of every picture."""
    found = {}
    for path in sorted((workspace.plots / "cells").glob("*.png")):
        with Image.open(path) as image:
            found[path.name] = image.info["parameters"]
    return found


def tables(made: PlotResult) -> str:
    return (
        made.page.read_text(encoding="utf-8")
        .split('<div id="tables">')[1]
        .split('<div id="flow"')[0]
    )


@pytest.mark.parametrize(
    ("values", "fields"),
    [
        ({"x": "sampler", "samplers": "Euler,DDIM"}, ("Sampler: Euler", "Sampler: DDIM")),
        ({"x": "cfg_scale", "cfg_scales": "3,6.5"}, ("CFG scale: 3,", "CFG scale: 6.5,")),
        ({"x": "clip_skip", "clip_skips": "1,2"}, ("Seed: 1", "Clip skip: 2")),
        (
            {"x": "negative_prompt", "negative_prompts": "fog | rain"},
            ("Negative prompt: fog\n", "Negative prompt: rain\n"),
        ),
        ({"x": "prompt", "prompts": "isa, hat | isa, bow"}, ("isa, hat", "isa, bow")),
        (
            {"x": "prompt", "prompts": "{trigger}, {class}, hat | {class}, bow"},
            ("isa, girl, hat", "girl, bow"),
        ),
        (
            {"x": "search_replace", "search_replace": "hat, bow"},
            ("isa, girl, hat", "isa, girl, bow"),
        ),
        ({"x": "seed", "seeds": "3,9"}, ("Seed: 3,", "Seed: 9,")),
    ],
)
def test_an_axis_draws_each_of_its_values_with_and_without_the_lora(
    workspace: Workspace,
    standalone_host: StandaloneHost,
    values: dict[str, str],
    fields: tuple[str, str],
) -> None:
    made = plot(
        StageContext(small(**values, strengths="1", epochs="2"), workspace, standalone_host)
    )
    found = drawn(workspace).values()
    assert len(found) == 4
    for field in fields:
        assert {"<lora:isa:1>" in text for text in found if field in text} == {True, False}
    assert tables(made).count("<th scope=col>") >= 2
    with Image.open(made.sheet) as sheet:
        assert sheet.info["parameters"] in found


def test_what_has_several_values_and_no_axis_gets_tables(
    workspace: Workspace, standalone_host: StandaloneHost
) -> None:
    made = plot(
        StageContext(small(presets="ALL,OUTD", samplers="Euler,DDIM"), workspace, standalone_host)
    )
    assert [text for text in tables(made).split("</h2>")[:-1] if "<h2>" in text][1].endswith(
        "Blocks: ALL · Euler"
    )
    assert tables(made).count("<section") == 1 + 4 and len(drawn(workspace)) == 2 + 2 * 2 * 2 * 2


def test_a_prompt_set_is_made_of_her_captions_and_traits(
    workspace: Workspace, standalone_host: StandaloneHost
) -> None:
    plot(
        StageContext(
            small(prompt_set="general", strengths="1", epochs="2", y="prompt"),
            workspace,
            standalone_host,
        )
    )
    firsts = {text.split(" <lora")[0].split("\n")[0] for text in drawn(workspace).values()}
    assert len(firsts) == 5 and sum("white hat" in split_tags(text) for text in firsts) == 4


def test_files_change_least_often(
    workspace: Workspace, standalone_host: StandaloneHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a host that draws one LoRA's pictures after another's, as the WebUI."""
    monkeypatch.setattr(StandaloneHost, "mixes_loras", False)
    loads: list[object] = []
    merge = standalone_host._loras._merge
    standalone_host._loras._merge = lambda use: (loads.append(use), merge(use))[1]
    try:
        settings = small(samplers="Euler,DDIM", clip_skips="1,2", x="sampler").with_values(
            {"judge.probes": 0}
        )
        plot(StageContext(settings, workspace, standalone_host))
    finally:
        standalone_host._loras._merge = merge
    assert len(loads) == len(set(loads)) == 4  # two epochs at two strengths, each once


def test_a_plan_tells_what_is_missing_and_how_long_it_takes(
    workspace: Workspace, standalone_host: StandaloneHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standalone_host, "batch_limit", lambda *size: 4)
    before = plan(StageContext(small(), workspace, standalone_host))
    assert (before.pictures, before.missing, before.seconds) == (5, 5, None)
    job = Job("plot", lambda progress: job.cancel() if progress.done == 4 else None)
    with pytest.raises(JobCancelled):
        plot(StageContext(small(), workspace, standalone_host, job))
    after = plan(StageContext(small(), workspace, standalone_host))
    assert after.missing == 1 and after.seconds is not None and after.seconds > 0
    assert "1 of 5 pictures to draw, about" in after.sentence
    seen: list[Progress] = []
    plot(StageContext(small(), workspace, standalone_host, Job("plot", seen.append)))
    assert (
        seen[0].message == after.sentence
        and plan(StageContext(small(), workspace, standalone_host)).missing == 0
    )


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_call_is_finished_by_the_next_which_draws_the_rest_only(
    workspace: Workspace, standalone_host: StandaloneHost
) -> None:
    settings = small(steps=8, seeds="2", strengths="0.25,0.5,1")
    workspace.save_settings(settings, standalone_host.checkpoint.path)
    process = subprocess.Popen(
        [sys.executable, "-m", "lib_singlelora", "plot", "--workspace", str(workspace.root)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    cells = workspace.plots / "cells"
    deadline = time.monotonic() + 120
    while len(list(cells.glob("*.png"))) < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    left = {path.name: path.stat().st_mtime_ns for path in cells.glob("*.png")}
    assert 2 <= len(left) < 14, (
        "the machine is so fast that all was drawn before the kill: draw more steps here"
    )
    made = plot(StageContext(settings, workspace, standalone_host))
    after = {path.name: path.stat().st_mtime_ns for path in cells.glob("*.png")}
    assert len(after) == 14 and all(after[name] == changed for name, changed in left.items())
    assert made.sheet.exists() and made.page.exists()


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def of_sdxl(path: Path) -> None:
    stem = "lora_unet_output_blocks_0_1_transformer_blocks_0_attn1_to_q"
    write_lora(
        path,
        {f"{stem}.lora_up.weight": torch.ones(8, 2), f"{stem}.lora_down.weight": torch.ones(2, 8)},
        {},
        None,
    )


def with_unknown_keys(path: Path) -> None:
    tensors = safetensors.torch.load_file(path)
    write_lora(path, {**tensors, "lora_flux_block.lora_up.weight": torch.ones(2, 2)}, {}, None)


@pytest.mark.parametrize("preset", ["ALL", "OUTD"])
@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (truncated, "it is truncated"),
        (empty, "found an empty file"),
        (of_sdxl, "another base model"),
        (with_unknown_keys, r"1 of \d+ keys match no sd1 module"),
    ],
)
def test_a_spoiled_lora_is_one_clear_line(
    workspace: Workspace,
    standalone_host: StandaloneHost,
    preset: str,
    spoil: Callable[[Path], None],
    told: str,
) -> None:
    spoil(workspace.models / "isa.safetensors")
    with pytest.raises(LoraFileError, match=rf"^isa[-\w]*\.safetensors: .*{told}") as caught:
        plot(StageContext(small(presets=preset), workspace, standalone_host))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "error", "told"),
    [
        ({"presets": "OUTF"}, PresetError, "unknown block preset 'OUTF'; did you mean"),
        (
            {"epochs": "3"},
            LoraFileError,
            "epoch 3: found no file of it in model/, expected one of 1, 2",
        ),
        ({"samplers": "Eular"}, SettingsError, "sampler: found 'Eular', expected one of"),
        ({"search_replace": "cape, bow"}, SettingsError, "found 'cape' in no prompt"),
        ({"x": "epoch"}, SettingsError, "found 'epoch' on two of them"),
    ],
)
def test_a_mistake_is_told_before_anything_is_drawn(
    workspace: Workspace,
    standalone_host: StandaloneHost,
    values: dict[str, str],
    error: type[SingleLoraError],
    told: str,
) -> None:
    with pytest.raises(error, match=told) as caught:
        plot(StageContext(small(**values), workspace, standalone_host))
    assert "\n" not in str(caught.value) and not (workspace.plots / "cells").exists()


def test_a_preset_of_13_values_is_told(
    workspace: Workspace, standalone_host: StandaloneHost
) -> None:
    with pytest.raises(PresetError, match="found 13 values, expected 17 or 26"):
        plot(StageContext(small(presets=[",".join(["1"] * 13)]), workspace, standalone_host))


def test_an_epoch_that_was_deleted_is_told(
    workspace: Workspace, standalone_host: StandaloneHost
) -> None:
    (workspace.models / "isa-000001.safetensors").unlink()
    with pytest.raises(
        LoraFileError, match="epoch 1: found no file of it in model/, expected one of 2; choose"
    ):
        plot(StageContext(small(), workspace, standalone_host))


def test_the_page_tells_the_recommended_cell(
    workspace: Workspace, standalone_host: StandaloneHost
) -> None:
    made = plot(StageContext(small(x="seed", z="strength", seeds="2"), workspace, standalone_host))
    # Of every seed
    assert made.recommendation is None or tables(made).count('class="cell best"') == 2
    data = json.loads(
        made.page.read_text(encoding="utf-8").split('id="data">')[1].split("</script>")[0]
    )
    assert len(data["cells"]) == 2 + 8 and data["names"] == ["copying", "damage", "colours"]


def drawn_together(
    workspace: Workspace, host: StandaloneHost, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> list[int]:
    """How many pictures each call to the host asks for, of a sheet without a race."""
    asked: list[int] = []
    original = StandaloneHost.generate_batch

    def counted(self: StandaloneHost, requests: Any, job: Job, keep: Any = None) -> Any:
        asked.append(len(requests))
        return original(self, requests, job, keep)

    told = plan(StageContext(settings, workspace, host))
    with monkeypatch.context() as patch:
        patch.setattr(StandaloneHost, "generate_batch", counted)
        plot(StageContext(settings, workspace, host))
    files = list((workspace.plots / "cells").iterdir())
    assert sum(asked) == len(files), "a picture was drawn twice"
    assert told.missing == told.pictures == len(files)
    shutil.rmtree(workspace.plots / "cells")
    return asked


def test_cells_are_drawn_together_whatever_varies_and_none_twice(
    workspace: Workspace, standalone_host: StandaloneHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standalone_host, "batch_limit", lambda *size: 4)
    checkpoint = standalone_host.checkpoint.path

    def sizes(**values: object) -> list[int]:
        settings = Settings.from_dict(
            {**SMALL, "judge.probes": 0, **{f"plot.{key}": v for key, v in values.items()}}
        )
        return drawn_together(workspace, standalone_host, monkeypatch, settings)

    assert sizes() == [4, 1]  # two epochs at two strengths, and without
    assert sizes(cfg_scales="3,6") == [4, 1, 4, 1]
    assert sizes(samplers="Euler,DDIM") == [4, 1, 4, 1]
    assert sizes(refine="0.6,0") == [4, 1, 1, 1, 1, 1]
    assert sizes(checkpoints=f"{checkpoint.stem},{checkpoint}", x="checkpoint") == [4, 1]
    monkeypatch.setattr(StandaloneHost, "mixes_loras", False)
    assert sizes() == [1] * 5
    assert sizes(prompts="a girl|a girl, hat|a girl, dress", x="prompt") == [3] * 5


def test_what_is_not_drawn_at_once_is_saved_as_it_comes(
    workspace: Workspace, standalone_host: StandaloneHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of LoRAs that change norms: one batch for the sheet, several for the host."""
    monkeypatch.setattr("lib_singlelora.hosts.standalone.host.can_differ", lambda module: False)
    draws = []
    original = StandaloneHost._draw

    def cancelled(self: StandaloneHost, *args: Any) -> Any:
        draws.append(args)
        if len(draws) == 4:
            job.cancel()
        return original(self, *args)

    monkeypatch.setattr(StandaloneHost, "_draw", cancelled)
    job = Job("plot")
    with pytest.raises(JobCancelled):
        plot(StageContext(small(), workspace, standalone_host, job))
    assert len(list((workspace.plots / "cells").iterdir())) == 3


def test_checkpoints_are_compared_and_the_loaded_one_is_back(
    workspace: Workspace, standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    tensors = safetensors.torch.load_file(standalone_host.checkpoint.path)
    other = {
        key: value * 1.5 if key.startswith("model.diffusion_model.out") else value
        for key, value in tensors.items()
    }
    safetensors.torch.save_file(other, tmp_path / "other.safetensors")
    for beside in standalone_host.checkpoint.path.parent.glob("*.yaml"):
        shutil.copy(beside, tmp_path / "other.yaml")
    before = standalone_host.checkpoint
    own = standalone_host.networks
    names = f"{before.name},{tmp_path / 'other.safetensors'}"
    settings = small(checkpoints=names, x="checkpoint", y="strength", epochs="1")
    made = plot(StageContext(settings, workspace, standalone_host))
    assert standalone_host.checkpoint == before and standalone_host.networks is own
    cells = list((workspace.plots / "cells").glob("*.png"))
    assert len(cells) == 6 and len({path.read_bytes() for path in cells}) == 6
    models = []
    for path in cells:
        with Image.open(path) as image:
            models.append(str(image.info["parameters"]).rpartition("Model: ")[2].split(",")[0])
    assert sorted(models) == sorted([before.name] * 3 + ["other"] * 3)
    assert made.recommendation is not None
    with pytest.raises(SingleLoraError, match="nobody: found no such checkpoint"):
        plot(StageContext(small(checkpoints="nobody"), workspace, standalone_host))


def test_a_users_own_preset_is_drawn_and_drawn_again_when_it_changes(
    workspace: Workspace, standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    folder = tmp_path / "lbw" / "scripts"
    folder.mkdir(parents=True)
    settings = small(
        presets="MINE,ALL", preset_folders=str(tmp_path / "lbw"), epochs="2", strengths="1"
    )
    (folder / "lbwpresets.txt").write_text("MINE:" + ",".join(["0"] * 17), encoding="utf-8")
    plot(StageContext(settings, workspace, standalone_host))
    before = set((workspace.plots / "cells").iterdir())
    assert plan(StageContext(settings, workspace, standalone_host)).missing == 0
    (folder / "lbwpresets.txt").write_text("MINE:" + ",".join(["0.5"] * 17), encoding="utf-8")
    assert plan(StageContext(settings, workspace, standalone_host)).missing == 1
    plot(StageContext(settings, workspace, standalone_host))
    assert len(set((workspace.plots / "cells").iterdir()) - before) == 1


def test_values_are_drawn_as_the_preset_of_that_name(
    workspace: Workspace, standalone_host: StandaloneHost
) -> None:
    for presets in (f'"{LBW_PRESETS["OUTD"]}"', "OUTD"):
        plot(
            StageContext(
                small(presets=presets, epochs="2", strengths="1"), workspace, standalone_host
            )
        )
    # The same weights are the same file
    assert len(list((workspace.plots / "baked").iterdir())) == 1


def test_a_cell_that_was_broken_off_keeps_what_was_shown(
    workspace: Workspace, standalone_host: StandaloneHost
) -> None:
    shown: list[Path] = []
    settings = small(seeds="9")
    at_once = standalone_host.batch_limit(64, 64)
    assert at_once == 8

    def stop_in_the_first_cell(progress: Progress) -> None:
        shown.extend(progress.pictures)
        if len(shown) == at_once:
            job.cancel()

    job = Job("plot", stop_in_the_first_cell)
    with pytest.raises(JobCancelled):
        plot(StageContext(settings, workspace, standalone_host, job))
    assert (
        all(path.exists() for path in shown)
        and len(list((workspace.plots / "cells").iterdir())) == at_once
    )
    assert plan(StageContext(settings, workspace, standalone_host)).missing == 5 * 9 - at_once


def test_before_the_first_sheet_the_pace_of_the_set_is_taken(
    workspace: Workspace, standalone_host: StandaloneHost
) -> None:
    watch = Stopwatch()
    for _ in range(2):
        with watch.measured(1, 64 * 64 * 4):
            time.monotonic()
    save_pace(workspace, standalone_host, watch)
    before = plan(StageContext(small(steps=1), workspace, standalone_host))
    # Five pictures of the same size at a quarter of the steps
    assert before.seconds == round(5 * watch.pace / 4, 1)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"strengths": ",".join(f"{n / 5000:g}" for n in range(5001))},
            r"10002 pictures \(5001 strengths x 2 epochs",
        ),
        ({"seeds": ",".join(map(str, range(9000)))}, "9000 seeds"),
        (
            {"seeds": ",".join(map(str, range(9000))), "x": "seed", "y": "none", "z": "none"},
            "9000 seeds",
        ),
        (
            {
                "cfg_scales": ",".join(f"{1 + n / 100:g}" for n in range(2000)),
                "clip_skips": "1,2,3,4",
            },
            "2000 cfg scales",
        ),
        ({"refine": ",".join(f"{n / 2000:g}" for n in range(4000))}, "4000 refines"),
    ],
)
def test_more_cells_than_a_sheet_can_show_are_refused_with_the_lists_that_made_them(
    workspace: Workspace, standalone_host: StandaloneHost, values: dict[str, str], words: str
) -> None:
    for call in (
        lambda: plan(StageContext(small(**values), workspace, standalone_host)),
        lambda: plot(StageContext(small(**values), workspace, standalone_host)),
    ):
        with pytest.raises(SettingsError, match=words):
            call()
    assert not (workspace.plots / "cells").exists()


def test_thousands_of_pictures_are_small_on_the_png() -> None:
    from lib_singlelora.stages.plot_output import _side

    assert [_side(512, 1), _side(64, 10), _side(512, 2000)] == [256, 128, 256]
    assert _side(512, 10_000) ** 2 * 10_000 <= 150_000_000


def test_one_large_number_of_seeds_is_that_seed_and_it_is_said(
    workspace: Workspace, standalone_host: StandaloneHost
) -> None:
    """As a count it asked for 170 GB before anything was drawn."""
    for number in (4211, 2**32 - 1):
        planned = plan(StageContext(small(seeds=str(number)), workspace, standalone_host))
        assert planned.pictures == 5 and f"{number} is more than a count can be" in planned.sentence
    assert (
        plan(StageContext(small(seeds="3", first_seed=5000), workspace, standalone_host)).note == ""
    )
