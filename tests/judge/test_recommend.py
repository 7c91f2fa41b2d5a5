"""The judge on drawings whose truth is known, with the embedded checkpoint and tagger."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

pytest.importorskip("diffusers")
pytest.importorskip("skia")

from lib_singlelora.captions.tag_categories import category_of
from lib_singlelora.errors import JobCancelled
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.jobs import Job
from lib_singlelora.judge.cells import NO_LORA, CellSpec, Judgement, LoraSource
from lib_singlelora.judge.contest import Further
from lib_singlelora.judge.probe_round import Prober
from lib_singlelora.judge.reason import reason
from lib_singlelora.judge.recommend import judge, recommend
from lib_singlelora.judge.scale import Scale
from lib_singlelora.judge.traits import CharacterTraits
from lib_singlelora.metrics.ranking import worth
from lib_singlelora.metrics.retention import measure_retention
from lib_singlelora.metrics.similarity import PixelCheck
from lib_singlelora.settings.judge import JudgeSettings
from lib_singlelora.settings.schema import Settings
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.pipeline import run_stage
from lib_singlelora.stages.plot_scores import write_scores
from lib_singlelora.tagging.ensemble import open_taggers
from lib_singlelora.workspace.kohya_folders import list_pictures
from lib_singlelora.workspace.workspace import Workspace
from tools.world.scenes.characters import HELD_OUT, ISABELLA
from tools.world.scenes.scene import render
from tools.world.scenes.spec import Character, Scene

ROOT = Path(__file__).parents[2]
PROMPT = "isabella, girl, solo, upper body, looking at viewer"


@pytest.fixture(scope="module")
def host() -> StandaloneHost:
    return StandaloneHost(ROOT / "lib_singlelora" / "embedded" / "singlelora.safetensors", "cpu")


@pytest.fixture(scope="module")
def workspace(host: StandaloneHost, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("judge"))
    for stage in ("prepare", "crop", "caption"):
        picture = ROOT / "examples" / "isabella.png" if stage == "prepare" else None
        run_stage(stage, StageContext(settings(), workspace, host), picture)
    return workspace


def settings(**values: object) -> Settings:
    return Settings.from_dict(
        {
            "character.trigger": "isabella",
            "training.preset": "embedded",
            "prepare.long_side": 576,
            "judge.probes": 0,
            **{key.replace("__", "."): value for key, value in values.items()},
        }
    )


def drawn(
    folder: Path, name: str, character: Character, pose: str, background: str, seed: int = 7
) -> Path:
    path = folder / f"{name}.png"
    Image.fromarray(
        render(Scene((character,), pose, "front", "upper body", background, True, seed), 128).pixels
    ).save(path)
    return path


@pytest.fixture
def cells(workspace: Workspace, tmp_path: Path) -> dict[CellSpec, list[Path]]:
    """The checkpoint and epoch 1 draw another character, 2 the right one, 3 a crop, 4 nothing."""
    stranger = HELD_OUT["wren"]
    with Image.open(
        list_pictures(workspace.image_folder(settings()))[0].with_name("full_body.png")
    ) as crop:
        crop.crop((0, 0, crop.width, crop.width)).resize((128, 128)).save(tmp_path / "copy.png")
    Image.new("RGB", (128, 128), "grey").save(tmp_path / "blank.png")
    return {
        CellSpec(NO_LORA, 0.0, "", None): [drawn(tmp_path, "base", stranger, "standing", "white")],
        CellSpec(LoraSource.epoch(1), 1.0, "ALL", tmp_path / "1"): [
            drawn(tmp_path, "early", stranger, "waving", "white")
        ],
        CellSpec(LoraSource.epoch(2), 1.0, "ALL", tmp_path / "2"): [
            drawn(tmp_path, "right", ISABELLA, "arms up", "white")
        ],
        CellSpec(LoraSource.epoch(3), 1.0, "ALL", tmp_path / "3"): [tmp_path / "copy.png"],
        CellSpec(LoraSource.epoch(4), 1.0, "ALL", tmp_path / "4"): [tmp_path / "blank.png"],
    }


def test_figures_agree_with_what_was_drawn(
    workspace: Workspace, host: StandaloneHost, cells: dict[CellSpec, list[Path]]
) -> None:
    judged = judge(settings(), workspace, host, cells, PROMPT, Job())
    base, early, right, copy, blank = (judged[spec].scores for spec in cells)
    assert early["retention"] < 0.3 < 0.8 < right["retention"] and copy["retention"] > 0.8
    assert copy["copying"] > 0.7 > 0.5 > right["copying"] and base["copying"] == 0
    assert blank["damage"] == 1 and early["damage"] == 0
    specs = list(cells)
    assert judged[specs[3]].nearest == "full_body" and judged[specs[4]].damage == "blank"
    assert (
        judged[specs[2]].traits["white hat"] == "1/1"
        and judged[specs[1]].traits["white hat"] == "0/1"
    )
    assert recommend(judged) in specs[2:4]


def test_weights_of_the_settings_choose_another_cell(
    workspace: Workspace, host: StandaloneHost, cells: dict[CellSpec, list[Path]]
) -> None:
    best = recommend(judge(settings(judge__copying=10), workspace, host, cells, PROMPT, Job()))
    assert best is not None and best.source.number != 3


def figures(**scores: float) -> Judgement:
    seen = measure_retention(("white hat",), [{"white hat": scores["retention"]}])
    return Judgement(PixelCheck(0.5, ""), seen, scores)


def test_a_strong_cell_without_harm_wins_over_a_gentle_one_that_does_little() -> None:
    """The weighted mean of earlier versions gave 0.77 to the first and 0.72 to the second."""
    judged = {
        CellSpec(NO_LORA, 0.0, "", None): figures(retention=0.25),
        CellSpec(LoraSource.epoch(6), 0.4, "ALL", None): figures(
            retention=0.47, flexibility=1.0, copying=0.1, leak=0.25, damage=0.0
        ),
        CellSpec(LoraSource.epoch(10), 1.0, "ALL", None): figures(
            retention=0.6, flexibility=0.88, copying=0.6, leak=0.42, damage=0.0
        ),
        CellSpec(LoraSource.epoch(20), 1.0, "ALL", None): figures(
            retention=0.8, flexibility=0.2, copying=0.7, leak=0.6, damage=0.9
        ),
    }
    scale = Scale.of(JudgeSettings(), judged)
    valued = {
        spec: replace(found, value=worth(found.scores, scale.weights, scale.base))
        for spec, found in judged.items()
        if spec.has_lora
    }
    best = recommend(valued)
    assert best is not None and best.source.number == 10


def test_all_figures_are_in_both_files(
    workspace: Workspace, host: StandaloneHost, cells: dict[CellSpec, list[Path]]
) -> None:
    judged = judge(settings(), workspace, host, cells, PROMPT, Job())
    best = recommend(judged)
    assert best is not None
    why = reason(best, judged)
    table, data, sheet = write_scores(settings(), workspace, judged, best, why)
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    values = json.loads(data.read_text(encoding="utf-8"))
    assert len(rows) == len(values["cells"]) == 5 and values["tagger"] is True
    assert [row["recommended"] for row in rows].count("True") == 1
    assert rows[2]["trait: white hat"] == "1/1" and float(rows[4]["damage"]) == 1
    with Image.open(sheet) as picture:
        assert picture.width > 320 and picture.height > 4 * 160
    assert values["recommended"] == why


def test_without_a_tagger_pixels_decide_and_that_is_said(
    workspace: Workspace, host: StandaloneHost, cells: dict[CellSpec, list[Path]]
) -> None:
    judged = judge(settings(caption__tagger="none"), workspace, host, cells, PROMPT, Job())
    assert all(
        "retention" not in judgement.scores and "copying" in judgement.scores
        for judgement in judged.values()
    )
    best = recommend(judged)
    assert best is not None and best.source.number in (2, 3) and "no tagger" in reason(best, judged)


def test_a_lora_of_nothing_obeys_and_leaks_nothing_and_is_probed_once(
    workspace: Workspace, host: StandaloneHost, cells: dict[CellSpec, list[Path]], tmp_path: Path
) -> None:
    lora = empty_lora(tmp_path / "nothing.safetensors")
    specs = list(cells)
    two = {
        specs[0]: cells[specs[0]],
        CellSpec(LoraSource.epoch(2), 1.0, "ALL", lora): cells[specs[2]],
    }
    quick = settings(judge__probes=1, judge__probe_steps=2)
    stopped = Job(
        listener=lambda progress: (
            stopped.cancel() if "trying" in progress.message and progress.done >= 2 else None
        )
    )
    with pytest.raises(JobCancelled):
        judge(quick, workspace, host, two, PROMPT, stopped)
    folder = workspace.plots / "probes"
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.png")}
    assert before
    first = judge(quick, workspace, host, two, PROMPT, Job())
    _, judgement = first.values()
    assert (
        judgement.scores["flexibility"] == 1
        and judgement.scores["leak"] == 0
        and judgement.leaked == ()
    )
    assert set(judgement.obeyed) and all(
        share.split("/")[0] == share.split("/")[1] for share in judgement.obeyed.values()
    )
    all_of_them = {path: path.stat().st_mtime_ns for path in folder.glob("*.png")}
    assert all(all_of_them[path] == when for path, when in before.items())
    assert judge(quick, workspace, host, two, PROMPT, Job()) == first
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*.png")} == all_of_them
    best = recommend(first)
    assert best is not None and "obeys 100 %" in reason(best, first)


def test_clothes_that_captions_name_are_the_character_s_though_no_tagger_sees_them(
    workspace: Workspace, host: StandaloneHost
) -> None:
    tagger = open_taggers(settings().caption, host, Job())
    assert tagger is not None
    character = CharacterTraits(settings(), workspace, tagger)
    prompt = "isabella, girl, solo, full body, kimono, sitting"
    assert "white hat" in character.visible(prompt, ("kimono",))
    worn, others = (
        {tag for tag in character.visible(prompt, asks) if category_of(tag) == "outfit"}
        for asks in (("sitting",), ("kimono",))
    )
    assert worn and not others


def test_parts_of_a_crop_are_tagged_once_for_all_framings(
    workspace: Workspace, host: StandaloneHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No crop of pictures that were not cut from the source has a framing."""
    tagger = open_taggers(settings().caption, host, Job())
    assert tagger is not None
    monkeypatch.setattr("lib_singlelora.judge.traits.view_tags", lambda _: {})
    character = CharacterTraits(settings(), workspace, tagger)
    tagged = []
    tag = tagger.tag
    monkeypatch.setattr(tagger, "tag", lambda images: tagged.extend(images) or tag(images))
    assert character.of("isabella, girl, full body")
    parts = len(tagged)
    assert character.of("isabella, girl, cowboy shot") and character.of("isabella, upper body")
    assert len(tagged) == parts > 5


STANDING = f"{PROMPT}, standing, simple background"


def test_copying_is_probed_where_the_sheet_asks_for_the_source(
    workspace: Workspace, host: StandaloneHost, cells: dict[CellSpec, list[Path]], tmp_path: Path
) -> None:
    """A LoRA of nothing copies nothing there, however near to a crop its cell's picture is."""
    lora = empty_lora(tmp_path / "nothing.safetensors")
    base, _, _, copy, _ = cells
    both = [CellSpec(LoraSource.epoch(number), 1.0, "ALL", lora) for number in (3, 4)]
    given = {base: cells[base], **dict.fromkeys(both, cells[copy])}
    quick = settings(judge__probes=1, judge__probe_steps=2)
    judged = judge(quick, workspace, host, given, STANDING, Job())
    probed, other = sorted(both, key=lambda spec: "leak" not in judged[spec].scores)
    assert judged[probed].scores["copying"] == 0 == judged[probed].scores["leak"]
    assert "copying" not in judged[other].scores and "copying" not in judged[base].scores
    seen = judged[other].copy
    assert seen is not None and seen.score > 0.7 and judged[other].nearest == "full_body"
    # Half of it is for what its own pictures keep: in the probes it keeps nothing
    worth_without_a_price = 2 * (judged[probed].value or 0)
    assert judged[probed].scores["elsewhere"] == judged[base].scores["elsewhere"] < 0.5
    # Without probes, or where another pose is asked for, the sheet's own pictures tell
    for options, prompt in ((settings(), STANDING), (quick, f"{PROMPT}, sitting")):
        judged = judge(options, workspace, host, given, prompt, Job())
        assert all(judged[spec].scores["copying"] > 0.7 for spec in both)
    assert worth_without_a_price > 0.5


def test_of_two_that_are_alike_on_the_sheet_the_one_that_keeps_her_elsewhere_is_recommended(
    workspace: Workspace,
    host: StandaloneHost,
    cells: dict[CellSpec, list[Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base, _, right, _, _ = cells
    forgets, keeps = two_epochs(tmp_path)
    quick = settings(judge__probes=2, judge__probe_steps=2)
    tagger = open_taggers(quick.caption, host, Job())
    assert tagger is not None
    prober = Prober(quick, workspace, host, Job(), tagger, (), 2)
    shown = {None: HELD_OUT["wren"], forgets: HELD_OUT["wren"], keeps: ISABELLA}
    for spec, character in shown.items():
        for number, probe in enumerate(prober._asking):
            for seed in prober._seeds:
                path = prober._drawer._path(spec, probe, seed)
                path.parent.mkdir(parents=True, exist_ok=True)
                drawn(path.parent, path.stem, character, "standing", "white", number)
    given = {base: cells[base], **dict.fromkeys((forgets, keeps), cells[right])}
    judged = judge(quick, workspace, host, given, PROMPT, Job())
    alone, less, more = (judged[spec].scores["elsewhere"] for spec in (base, forgets, keeps))
    assert less == alone and more > alone + 0.3
    own = Scale.of(quick.judge, judged)
    assert own.gains(judged[forgets]) == own.gains(judged[keeps]) > (0.5,)
    assert recommend(judged) == keeps
    words = (
        f"shows {more * 100:.0f} % of the traits in other poses and views"
        f" (the checkpoint {alone * 100:.0f} %)"
    )
    assert words in reason(keeps, judged)
    forgotten, kept = (judged[spec].value or 0.0 for spec in (forgets, keeps))
    assert kept - forgotten == pytest.approx((more - less) / (1 - alone) / 2, abs=0.05)
    pictures = judged[keeps].by_picture["elsewhere"]
    assert np.mean(pictures) == pytest.approx(more, abs=1e-4)
    assert len(pictures) == len(judged[forgets].by_picture["elsewhere"]) > 2
    # A few pictures of the probes are no certainty, whatever the sheet's own pictures say
    monkeypatch.setattr(Scale, "doubt_elsewhere", lambda *_: 0.0)
    sure = judge(quick, workspace, host, given, PROMPT, Job())[keeps]
    assert judged[keeps].value == sure.value
    assert judged[keeps].spread["value"] > sure.spread["value"]


def test_a_race_ends_as_if_what_it_drew_had_been_there_before(
    workspace: Workspace, host: StandaloneHost, tmp_path: Path
) -> None:
    base = CellSpec(NO_LORA, 0.0, "", None)
    good, burnt = two_epochs(tmp_path)

    def draw(spec: CellSpec, seed: int) -> Path:
        name = f"{spec.source.number}-{seed}"
        character = ISABELLA if spec.has_lora else HELD_OUT["wren"]
        path = drawn(tmp_path, name, character, "standing", "white", 7 + seed)
        if spec == burnt:
            noise = np.random.default_rng(seed).normal(0, 60, (128, 128, 3))
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB")) + noise
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
        return path

    def ends(budget: int, given: dict[CellSpec, list[Path]]) -> dict[CellSpec, Judgement]:
        asked.clear()
        options = settings(
            judge__probes=1, judge__probe_steps=2, judge__budget=budget, judge__confidence=0.99
        )

        def draw_all(wanted: Sequence[tuple[CellSpec, int]]) -> list[Path]:
            return [asked.setdefault(each, draw(*each)) for each in wanted]

        further = Further((good, burnt), draw_all)
        return judge(options, workspace, host, given, PROMPT, Job(), further=further)

    asked: dict[tuple[CellSpec, int], Path] = {}
    raced = ends(4, {base: [draw(base, 0)], good: [draw(good, 0)]})
    pictures = {spec: len(found.by_picture["damage"]) for spec, found in raced.items()}
    assert pictures[burnt] >= 1 and raced[burnt].scores["damage"] > 0.3
    given = {spec: [draw(spec, seed) for seed in range(n)] for spec, n in pictures.items()}
    before = ends(0, given)
    assert not asked and "elsewhere" in raced[good].scores
    assert "elsewhere" in raced[good].by_picture
    for spec in (good, burnt):
        assert raced[spec].value == pytest.approx(before[spec].value, abs=1e-6)


def test_the_leader_s_own_file_given_to_compare_scores_as_it_does(
    workspace: Workspace, host: StandaloneHost, tmp_path: Path
) -> None:
    """Though the race drew the leader in a harder seed, and its probes cost something."""
    base = CellSpec(NO_LORA, 0.0, "", None)
    right = two_epochs(tmp_path)[0]
    same = replace(right, source=LoraSource.other_file(1, "copy"))
    redrawn = replace(right, refine=0.5)
    stranger = HELD_OUT["wren"]
    first, second = (
        drawn(tmp_path, name, character, "standing", "white")
        for name, character in (("right", ISABELLA), ("harder", stranger))
    )
    given = {
        base: [drawn(tmp_path, "base", stranger, "standing", "white")],
        right: [first, second],
        same: [first],
        redrawn: [second],
    }
    options = settings(judge__probes=1, judge__probe_steps=2)
    judged = judge(options, workspace, host, given, PROMPT, Job())
    assert "elsewhere" in judged[right].scores
    assert judged[same].value == judged[right].value
    assert (judged[redrawn].value or 0) < (judged[right].value or 0) - 0.2
    assert "higher still" not in reason(right, judged)
    better = replace(judged[same], value=(judged[right].value or 0) + 0.015)
    assert "higher still" not in reason(right, {**judged, same: better})
    better = replace(better, value=(judged[right].value or 0) + 0.025)
    assert "copy at 1 with ALL scores higher still" in reason(right, {**judged, same: better})


def two_epochs(folder: Path) -> list[CellSpec]:
    """Cells of two files that change nothing."""
    return [
        CellSpec(LoraSource.epoch(n), 1.0, "ALL", empty_lora(folder / f"{n}.safetensors", n))
        for n in (1, 2)
    ]


def test_a_small_face_without_eyes_is_damage_and_one_with_them_is_not(
    workspace: Workspace, host: StandaloneHost, tmp_path: Path
) -> None:
    """In a full body a tagger that looks at the whole picture tells neither for sure."""
    poses = Scene((HELD_OUT["luna"],), "standing", "front", "full body", "white", True, 7)
    with Image.fromarray(render(poses, 128).pixels) as whole:
        whole.save(tmp_path / "whole.png")
        face = (44, 22, 84, 56)
        whole.paste(whole.crop(face).filter(ImageFilter.GaussianBlur(7)), face)
        whole.save(tmp_path / "wiped.png")
    stranger = replace(poses, characters=(HELD_OUT["wren"],))
    Image.fromarray(render(stranger, 128).pixels).save(tmp_path / "base.png")
    cells = {
        CellSpec(NO_LORA, 0.0, "", None): [tmp_path / "base.png"],
        **{
            CellSpec(LoraSource.epoch(number), 1.0, "ALL", tmp_path / name): [tmp_path / name]
            for number, name in enumerate(("whole.png", "wiped.png"), 1)
        },
    }
    _, right, wiped = judge(settings(), workspace, host, cells, PROMPT, Job()).values()
    assert right.scores["damage"] == 0
    assert wiped.damage == "no eyes" and wiped.scores["damage"] > 0.3


def test_what_copying_costs_is_taken_once() -> None:
    spec = CellSpec(LoraSource.epoch(1), 1.0, "ALL", None)
    found = replace(
        figures(retention=0.8, copying=1.0, damage=0.0),
        by_picture={"retention": (0.8,), "copying": (1.0,), "damage": (0.0,)},
    )
    judged = {CellSpec(NO_LORA, 0.0, "", None): figures(retention=0.0), spec: found}
    by_pictures = Scale.of(JudgeSettings(), judged)
    assert by_pictures.pictures(found) == pytest.approx((0.5,))
    assert by_pictures.probe_price(found) == 0
    by_probes = Scale.of(JudgeSettings(), judged, copying_is_probed=True)
    of_itself = replace(found, by_picture={"retention": (0.8,), "damage": (0.0,)})
    assert by_probes.pictures(of_itself) == pytest.approx((0.8,))
    assert by_probes.probe_price(of_itself) == pytest.approx(0.3)


def test_what_is_kept_in_the_probes_is_said_where_nothing_is_obeyed() -> None:
    base = CellSpec(NO_LORA, 0.0, "", None)
    spec = CellSpec(LoraSource.epoch(1), 1.0, "ALL", None)
    judged = {
        base: replace(figures(retention=0.1), scores={"elsewhere": 0.09}),
        spec: replace(figures(retention=0.9), scores={"elsewhere": 0.42}),
    }
    said = "shows 42 % of the traits in other poses and views (the checkpoint 9 %)"
    assert said in reason(spec, judged)


def empty_lora(path: Path, number: int = 1) -> Path:
    """A LoRA file of the embedded checkpoint whose ΔW is 0; another file for each number."""
    import torch

    from lib_singlelora.lora.files import write_lora

    stem = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    write_lora(
        path,
        {
            f"{stem}.lora_up.weight": torch.zeros(64, 4),
            f"{stem}.lora_down.weight": torch.full((4, 64), float(number)),
            f"{stem}.alpha": torch.tensor(4.0),
        },
        {},
        "fp32",
    )
    return path
