"""The regularization set, with a host of planned pictures and the embedded tagger."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest
from PIL import Image

pytest.importorskip("onnxruntime")
pytest.importorskip("skia")

from lib_singlelora.cli.main import main
from lib_singlelora.crops.buckets import make_buckets
from lib_singlelora.curation.regularization import Review, review
from lib_singlelora.errors import JobCancelled, SettingsError, WildcardError, WorkspaceError
from lib_singlelora.files.fileio import file_hash, write_bytes
from lib_singlelora.host import CheckpointInfo, GeneratedImage, Host, HostPaths, ImageRequest, Keep
from lib_singlelora.jobs import Job, Progress
from lib_singlelora.settings.schema import Settings
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.regularize import (
    RegularizeResult,
    SetDrawer,
    regularize,
    regularize_for_training,
)
from lib_singlelora.stages.train_pictures import collect_pictures
from lib_singlelora.training.epoch_plan import budget
from lib_singlelora.workspace.kohya_folders import list_pictures
from lib_singlelora.workspace.workspace import Workspace
from tests.stages.quiet_host import QuietHost
from tools.world.scenes.characters import ISABELLA
from tools.world.scenes.sample import sample_scene
from tools.world.scenes.scene import render
from tools.world.scenes.spec import Scene

# Numbers of scenes with one girl who is not like Isabella.
OTHERS = [
    seed
    for seed in range(7000, 7060)
    if [who.hair.colour == "blonde" for who in sample_scene(seed).characters] == [False]
]


def drawn(scene: Scene) -> Image.Image:
    return Image.fromarray(render(scene, 128).pixels)


def other(number: int) -> Image.Image:
    return drawn(sample_scene(OTHERS[number], framing="full body"))


def of_isabella(seed: int) -> Image.Image:
    return drawn(
        replace(sample_scene(seed, framing="full body"), characters=(ISABELLA,), view="front")
    )


TWO = drawn(
    replace(
        sample_scene(1),
        characters=tuple(sample_scene(s).characters[0] for s in OTHERS[:2]),
        framing="full body",
    )
)
NOBODY = drawn(Scene((), background="outdoors"))


@dataclass
class PlannedHost(QuietHost):
    """Draws what the plan says of the nth seed, else another girl for each seed.

    asked: what it was asked to draw.
    """

    plan: dict[int, Image.Image] = field(default_factory=dict)
    asked: list[ImageRequest] = field(default_factory=list)
    skipped: tuple[int, ...] = ()

    at_once: int = 1

    def batch_limit(self, width: int, height: int) -> int:
        return self.at_once

    def generate_batch(
        self, requests: Sequence[ImageRequest], job: Job, keep: Keep | None = None
    ) -> list[GeneratedImage]:
        return [picture for request in requests for picture in self.generate(request, job)]

    def generate(self, request: ImageRequest, job: Job) -> list[GeneratedImage]:
        self.asked.append(request)
        seed = request.seeds[0]
        picture = self.plan.get(seed, other(seed))
        return [
            GeneratedImage(picture, seed, f"{request.prompt}\nSeed: {seed}", seed in self.skipped)
        ]


@dataclass
class Scenery:
    workspace: Workspace
    host: PlannedHost

    def settings(self, **values: object) -> Settings:
        return Settings.from_dict(
            {
                "character": {"trigger": "isabella", "class_token": "girl"},
                "regularization": {"count": 4, **values},
            }
        )

    def run(
        self, job: Job | None = None, force: bool = False, **values: object
    ) -> RegularizeResult:
        return regularize(
            StageContext(
                self.settings(**values),
                self.workspace,
                cast(Host, self.host),
                job or Job(),
                force=force,
            )
        )

    @property
    def names(self) -> list[str]:
        return sorted(path.stem for path in (self.workspace.root / "reg" / "1_girl").glob("*.png"))

    @property
    def aside(self) -> dict[str, list[str]]:
        values = json.loads(
            (self.workspace.root / "reg" / "rejected" / "reasons.json").read_text(encoding="utf-8")
        )
        return {Path(name).stem: own["reasons"] for name, own in values.items()}


@pytest.fixture
def scenery(tmp_path: Path) -> Scenery:
    workspace = Workspace(tmp_path / "w")
    host = PlannedHost(
        HostPaths(downloads=tmp_path / "none"),
        CheckpointInfo("x", Path("x"), 128, preset="embedded"),
    )
    made = Scenery(workspace, host)
    workspace.save_settings(made.settings())
    folder = workspace.image_folder(made.settings())
    folder.mkdir(parents=True)
    for name in ("full body", "cowboy shot", "upper body", "portrait"):
        drawn(Scene((ISABELLA,), framing=name)).save(folder / f"{name}.png")
    return made


def files(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): file_hash(path)
        for path in sorted((root / "reg").rglob("*"))
        if path.is_file()
    }


def test_what_spoils_the_set_goes_aside_with_its_reason_and_is_drawn_anew(scenery: Scenery) -> None:
    plan = {
        1: TWO,
        2: NOBODY,
        3: Image.new("RGB", (128, 128), "grey"),
        4: of_isabella(3),
        6: other(5),
    }
    scenery.host.plan = plan
    made = scenery.run(draw_limit=5)
    assert scenery.names == ["0005", "0007", "0008", "0009"]
    found = {name: " ".join(reasons) for name, reasons in scenery.aside.items()}
    assert found.keys() == {"0001", "0002", "0003", "0004", "0006"}
    for name, words in (
        ("0001", "more than one person: 2girls"),
        ("0002", "no person"),
        ("0003", "broken: blank"),
        ("0004", "resembles the character: looks"),
        ("0006", "near-duplicate of 0005"),
    ):
        assert words in found[name]
    assert {path.stem for path in made.rejected} == found.keys() and all(
        path.is_file() for path in made.rejected
    )
    assert [request.seeds for request in scenery.host.asked] == [(n,) for n in range(1, 10)]
    assert "5 pictures were put aside" in made.notes[0]


def test_captions_are_the_tagger_s_without_trigger_and_the_rejected_have_none(
    scenery: Scenery,
) -> None:
    scenery.host.plan = {1: NOBODY}
    for path in scenery.run().pictures:
        text = path.with_suffix(".txt").read_text(encoding="utf-8")
        assert (
            text.startswith("girl, ")
            and "1girl" in text
            and "isabella" not in text
            and " hair" in text
        )
    assert not list((scenery.workspace.root / "reg" / "rejected").glob("*.txt"))


def test_too_many_tags_or_edges_are_too_complex(scenery: Scenery) -> None:
    assert "too complex: " in str(scenery.run(most_tags=5, draw_limit=1).rejected)
    assert "of it are edges" in str(scenery.run(most_edges=0.01, draw_limit=1).rejected)


def test_the_limit_ends_the_drawing_and_is_told(scenery: Scenery) -> None:
    scenery.host.plan = dict.fromkeys(range(1, 99), NOBODY)
    made = scenery.run(draw_limit=2)
    assert (
        made.pictures == ()
        and len(scenery.host.asked) == 8
        and "0 pictures stay, expected 4" in made.notes[1]
    )


def test_without_the_filter_everything_stays(scenery: Scenery) -> None:
    scenery.host.plan = {1: NOBODY, 2: TWO}
    assert len(scenery.run(filter=False).pictures) == 4 and scenery.host.asked[-1].seeds == (4,)


def test_what_training_is_too_short_to_see_is_told(scenery: Scenery) -> None:
    def told(**training: object) -> list[str]:
        settings = Settings.from_dict(
            {
                **scenery.settings().to_dict(),
                "training": {"repeats": 1, "epochs": 1, **training},
                "regularization": {"count": 5, "filter": False},
            }
        )
        made = regularize(StageContext(settings, scenery.workspace, cast(Host, scenery.host)))
        return [note for note in made.notes if "altogether" in note or "shows no" in note]

    assert told() == [
        "training shows 4 samples of the character altogether, so 4 of the 5 pictures will be used;"
        " regularization.count=4 is enough, or regularization.as_used=true"
    ]
    assert told(epochs=2) == []
    assert told(regularization="prior prediction") == [
        "training.regularization is 'prior prediction', so training shows no pictures of the class,"
        " these neither; 'run' draws none then"
    ]


@pytest.mark.parametrize("kind", ["prior prediction", "none"])
def test_for_a_training_that_shows_no_class_nothing_is_drawn_and_what_is_there_stays(
    scenery: Scenery, kind: str
) -> None:
    def for_training(kind: str) -> RegularizeResult:
        values = {**scenery.settings(filter=False).to_dict(), "training": {"regularization": kind}}
        host = cast(Host, scenery.host)
        return regularize_for_training(
            StageContext(Settings.from_dict(values), scenery.workspace, host)
        )

    said = f"nothing to draw: training.regularization is '{kind}', so training shows no pictures"
    first = for_training(kind)
    assert first.pictures == () and scenery.host.asked == []
    assert [note.startswith(said) for note in first.notes] == [True]
    assert scenery.workspace.record("regularize").fingerprint == ""
    drawn_before = for_training("pictures").pictures
    assert len(drawn_before) == len(scenery.host.asked) == 4
    assert for_training(kind).pictures == drawn_before and len(scenery.host.asked) == 4


def test_as_many_pictures_as_training_uses_are_drawn_on_request(scenery: Scenery) -> None:
    def count(**training: object) -> tuple[int, tuple[str, ...]]:
        settings = Settings.from_dict(
            {
                **scenery.settings().to_dict(),
                "training": {"repeats": 1, "epochs": 2, **training},
                "regularization": {"count": 0, "as_used": True, "filter": False},
            }
        )
        made = regularize(StageContext(settings, scenery.workspace, cast(Host, scenery.host)))
        pictures = collect_pictures(settings, scenery.workspace, make_buckets(128))
        asked = budget(pictures, settings.training.epochs, 1, 0)
        assert asked.reg_used == asked.reg_pictures == len(made.pictures)
        return len(made.pictures), made.notes

    assert (
        count() == (8, ())
        and count(epochs=1) == (4, ())
        and count(regularization="prior prediction")[0] == 0
    )
    assert "nothing to draw" in count(regularization="prior prediction")[1][0]
    with pytest.raises(SettingsError, match=r"would want \d+ pictures, expected at most 10000"):
        count(epochs=1000, repeats=100)
    for path in scenery.workspace.image_folder(scenery.settings()).glob("*.png"):
        path.unlink()
    with pytest.raises(WorkspaceError, match=r"call 'crop' first, or name regularization[.]count"):
        count()


def test_a_second_call_draws_nothing(scenery: Scenery) -> None:
    scenery.host.plan = {2: NOBODY}
    scenery.run()
    before = files(scenery.workspace.root)
    drawings = len(scenery.host.asked)
    scenery.run()
    assert files(scenery.workspace.root) == before and len(scenery.host.asked) == drawings


def test_another_filter_judges_what_is_there_and_draws_only_what_is_missing(
    scenery: Scenery,
) -> None:
    scenery.host.plan = {2: NOBODY}
    scenery.run(filter=False)
    assert scenery.names == ["0001", "0002", "0003", "0004"]
    scenery.run()
    assert scenery.names == ["0001", "0003", "0004", "0005"] and len(scenery.host.asked) == 5
    scenery.run(filter=False)
    assert scenery.names == ["0001", "0002", "0003", "0004"] and len(scenery.host.asked) == 5
    assert (scenery.workspace.root / "reg" / "1_girl" / "0002.txt").exists()


def test_what_is_taken_back_or_rejected_by_hand_stays_so(scenery: Scenery) -> None:
    scenery.host.plan = {2: NOBODY}
    scenery.run()
    state = review(scenery.settings(), scenery.workspace, take_back=["2"], reject=["0003.png"])
    assert {path.stem for path in state.rejected} == {"0003"} and state.rejected[
        next(iter(state.rejected))
    ].by == "hand"
    assert "no humans" in (scenery.workspace.root / "reg" / "1_girl" / "0002.txt").read_text(
        encoding="utf-8"
    )
    scenery.run()
    assert scenery.names == ["0001", "0002", "0004", "0005"]
    scenery.run(most_edges=0.39)  # another filter
    assert scenery.names == ["0001", "0002", "0004", "0005"] and scenery.aside == {
        "0003": ["rejected by hand"]
    }
    picture = file_hash(scenery.workspace.root / "reg" / "1_girl" / "0002.png")
    scenery.host.plan = {}
    scenery.run(steps=30)  # other pictures: those chosen by hand stay
    assert "0002" in scenery.names and "0003" not in scenery.names
    assert file_hash(scenery.workspace.root / "reg" / "1_girl" / "0002.png") == picture
    scenery.run(steps=30, force=True)
    assert scenery.names == ["0001", "0002", "0003", "0004"]
    assert file_hash(scenery.workspace.root / "reg" / "1_girl" / "0002.png") != picture


def test_a_picture_that_was_skipped_is_put_aside_for_good(scenery: Scenery) -> None:
    scenery.host.skipped = (2,)
    scenery.run()
    assert scenery.names == ["0001", "0003", "0004", "0005"]
    assert scenery.aside == {"0002": ["skipped before it was finished"]}
    scenery.run(most_edges=0.39)
    assert "0002" in scenery.aside


def test_a_file_moved_by_hand_is_a_decision_too(scenery: Scenery) -> None:
    scenery.host.plan = {2: NOBODY}
    scenery.run()
    reg = scenery.workspace.root / "reg"
    (reg / "rejected" / "0002.png").rename(reg / "1_girl" / "0002.png")
    (reg / "1_girl" / "0004.png").rename(reg / "rejected" / "0004.png")
    scenery.run(most_edges=0.39)
    assert "0002" in scenery.names and "0004" not in scenery.names


def test_the_set_is_looked_at_where_it_may_not_be_changed(scenery: Scenery, tmp_path: Path) -> None:
    scenery.run()
    (tmp_path / "elsewhere").mkdir()
    # Nothing is written beside such a one
    (scenery.workspace.root / "linked").symlink_to(tmp_path / "elsewhere")
    assert len(review(scenery.settings(), scenery.workspace).kept) == 4
    with pytest.raises(WorkspaceError, match="link"):
        review(scenery.settings(), scenery.workspace, reject=["1"])


def test_a_picture_that_there_is_not_is_told_and_nothing_changes(scenery: Scenery) -> None:
    scenery.run()
    before = files(scenery.workspace.root)
    with pytest.raises(WorkspaceError, match="found no picture '77', expected one of 0001, 0002"):
        review(scenery.settings(), scenery.workspace, reject=["1", "77"])
    assert files(scenery.workspace.root) == before


@pytest.mark.parametrize("stop_at", [1, 2, 3])
def test_a_cancelled_or_killed_call_goes_on_as_if_nothing_had_been(
    scenery: Scenery, stop_at: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scenery.host.plan = {2: NOBODY, 3: of_isabella(3)}
    scenery.run()
    whole = files(scenery.workspace.root)
    host = PlannedHost(scenery.host.paths, scenery.host.checkpoint, plan=scenery.host.plan)
    again = Scenery(Workspace(tmp_path / "again"), host)
    again.workspace.save_settings(scenery.settings())
    folder = again.workspace.image_folder(scenery.settings())
    folder.mkdir(parents=True)
    for path in scenery.workspace.image_folder(scenery.settings()).glob("*.png"):
        (folder / path.name).write_bytes(path.read_bytes())
    job = Job()

    def cancel(progress: Progress) -> None:
        if len(again.host.asked) == stop_at:
            job.cancel()

    job.listen(cancel)
    with pytest.raises(JobCancelled):
        again.run(job)

    def die(path: Path, data: bytes) -> None:
        write_bytes(path, data)
        raise KeyboardInterrupt  # as a kill right after the rename

    monkeypatch.setattr("lib_singlelora.curation.regularization.write_bytes", die)
    with pytest.raises(KeyboardInterrupt):
        again.run()
    monkeypatch.undo()
    again.run()
    assert files(again.workspace.root) == whole


def test_pictures_have_the_buckets_of_the_crops(scenery: Scenery) -> None:
    folder = scenery.workspace.image_folder(scenery.settings())
    drawn(Scene((ISABELLA,))).resize((128, 256)).save(folder / "full body.png")
    scenery.run()
    sizes = {(request.width, request.height) for request in scenery.host.asked}
    assert (128, 128) in sizes and any(width < height for width, height in sizes)


def test_each_picture_has_its_own_prompt_and_the_settings_reach_the_host(scenery: Scenery) -> None:
    scenery.run(steps=7, cfg_scale=3.5, sampler="Euler a", seed=11)
    assert len({request.prompt for request in scenery.host.asked}) == 4
    assert {(r.steps, r.cfg_scale, r.sampler) for r in scenery.host.asked} == {(7, 3.5, "Euler a")}
    for path, seed in zip(
        sorted((scenery.workspace.root / "reg" / "1_girl").glob("*.png")),
        range(11, 15),
        strict=True,
    ):
        with Image.open(path) as image:
            assert (
                image.info["parameters"].endswith(f"Seed: {seed}")
                and "1girl" in image.info["parameters"]
            )


def test_wildcards_of_an_own_folder_are_found_and_mistakes_told_before_drawing(
    scenery: Scenery, tmp_path: Path
) -> None:
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "mood.txt").write_text("gloomy\n", encoding="utf-8")
    scenery.run(template="1girl, __mood__, __place__", wildcards=str(tmp_path / "cards"))
    assert all("gloomy" in request.prompt for request in scenery.host.asked)
    before = files(scenery.workspace.root)
    mistakes: tuple[dict[str, str], ...] = (
        {"template": "__mod__", "wildcards": str(tmp_path / "cards")},
        {"wildcards": str(tmp_path / "none")},
    )
    for values in mistakes:
        with pytest.raises(WildcardError, match=r"did you mean '__mood__'|found no folder"):
            regularize(
                StageContext(
                    scenery.settings(**values), scenery.workspace, cast(Host, scenery.host)
                )
            )
    assert len(scenery.host.asked) == 4 and files(scenery.workspace.root) == before


def test_the_command_line_lists_takes_back_and_rejects(
    scenery: Scenery, capsys: pytest.CaptureFixture[str]
) -> None:
    scenery.host.plan = {2: NOBODY}
    scenery.run()
    words = ["regularize", "--workspace", str(scenery.workspace.root)]
    assert main([*words, "--list"]) == 0
    assert "0002  rejected  no person: no humans" in capsys.readouterr().out
    assert main([*words, "--take-back", "2", "--reject", "1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [Path(path).stem for path in result["rejected"]] == ["0001"] and len(
        result["by_hand"]
    ) == 2
    assert main([*words, "--reject", "99"]) == 1
    assert "found no picture '99'" in capsys.readouterr().err


def caption_crops(scenery: Scenery, **texts: str) -> None:
    folder = scenery.workspace.image_folder(scenery.settings())
    for name, text in texts.items():
        (folder / f"{name.replace('_', ' ')}.txt").write_text(text, encoding="utf-8")


def test_class_twins_are_the_crops_captions_with_the_class_alone(scenery: Scenery) -> None:
    caption_crops(
        scenery,
        cowboy_shot="isabella, girl, cowboy shot, smile",
        full_body="isabella, girl, full body, hat (red)",
        portrait="a photo of isabella at sea",
    )
    scenery.run(prompts="class twins")
    assert [request.prompt for request in scenery.host.asked[:4]] == [
        "girl, cowboy shot, smile",
        r"girl, full body, hat \(red\)",
        "girl, a photo of girl at sea",
        "girl",
    ]
    text = (scenery.workspace.root / "reg" / "1_girl" / "0002.txt").read_text(encoding="utf-8")
    assert text == "girl, full body, hat (red)"


def test_twins_are_drawn_anew_when_captions_change_and_a_templates_set_is_not(
    scenery: Scenery,
) -> None:
    for prompts, again in (("template", 0), ("class twins", 4)):
        caption_crops(scenery, portrait="isabella, girl, portrait", full_body="isabella, girl")
        scenery.run(prompts=prompts, filter=False)
        scenery.host.asked.clear()
        caption_crops(scenery, portrait="isabella, girl, portrait, smile")
        scenery.run(prompts=prompts, filter=False)
        assert len(scenery.host.asked) == again


def test_the_clothes_that_a_twin_asks_for_are_no_sign_of_the_character(scenery: Scenery) -> None:
    clothes = "white shirt, blue skirt, striped capelet, hat"
    caption_crops(scenery, portrait=f"isabella, girl, {clothes}")
    drawer = SetDrawer(
        StageContext(
            scenery.settings(prompts="class twins"), scenery.workspace, cast(Host, scenery.host)
        ),
        Review(scenery.settings(), scenery.workspace, scenery.workspace.record("regularize")),
        list_pictures(scenery.workspace.image_folder(scenery.settings())),
        4,
    )
    assert not drawer.subject.clothes & set(clothes.split(", "))


def test_twins_need_crops(scenery: Scenery) -> None:
    for path in scenery.workspace.image_folder(scenery.settings()).iterdir():
        path.unlink()
    with pytest.raises(WorkspaceError, match="class twins"):
        scenery.run(prompts="class twins")


def test_pictures_that_are_drawn_together_are_those_drawn_one_by_one(
    scenery: Scenery, tmp_path: Path
) -> None:
    """The same are drawn, kept and put aside, in the same order, and none that is not needed."""
    scenery.host.plan = {2: NOBODY, 3: TWO}
    scenery.host.skipped = (4,)
    scenery.run(count=5, seed=1)
    alone = (scenery.names, scenery.aside, scenery.host.asked)
    other = Scenery(Workspace(tmp_path / "other"), scenery.host)
    shutil.copytree(scenery.workspace.root / "image", other.workspace.root / "image")
    scenery.host.asked = []
    scenery.host.at_once = 4
    other.run(count=5, seed=1)
    assert (other.names, other.aside) == alone[:2]
    by_seed = {request.seeds: request for request in alone[2]}
    assert {request.seeds: request for request in scenery.host.asked} == by_seed
