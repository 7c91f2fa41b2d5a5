"""Tries: the best of several pictures is kept; another body shows its face."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.imaging.load import read_rgb
from lib_singlelora.jobs import Job
from lib_singlelora.settings.inpaint import InpaintSettings
from lib_singlelora.stages import exam_pose
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.exam_pictures import Sitting
from lib_singlelora.stages.exam_pose import facing_bodies, untouched_poses
from lib_singlelora.stages.inpaint import inpaint
from lib_singlelora.stages.inpaint_canvas import whole_canvas
from lib_singlelora.stages.inpaint_tries import keep_best, tried_denoise
from lib_singlelora.workspace.workspace import Workspace
from tests.stages.conftest import small

SIDE = 128


def body(top: int = 20, face: bool = True) -> Image.Image:
    """A figure on white, seen from the front or with hair all over its head."""
    picture = Image.new("RGB", (SIDE, SIDE), "white")
    pen = ImageDraw.Draw(picture)
    pen.rectangle((44, top + 30, 84, top + 80), fill=(40, 60, 160))
    pen.rectangle((50, top + 80, 78, top + 100), fill=(60, 40, 40))
    pen.ellipse((44, top, 84, top + 36), fill=(250, 214, 180) if face else (30, 30, 40))
    if face:
        for left in (52, 68):
            pen.ellipse((left, top + 12, left + 8, top + 22), fill=(20, 60, 60))
    return picture


def bodies_of(workspace: Workspace, host: StandaloneHost) -> tuple[StageContext, list[Sitting]]:
    context = StageContext(small(), workspace, host, Job())
    drawing = replace(context.settings.inpaint, seed=1)
    return context, untouched_poses(context, drawing, ("sitting",), (SIDE, SIDE))


@pytest.mark.parametrize(
    ("unfit", "which"), [(body(face=False), "from behind"), (body(top=-14), "cut")]
)
def test_another_body_is_the_first_whole_one_that_shows_its_face(
    eileen: Workspace,
    standalone_host: StandaloneHost,
    monkeypatch: pytest.MonkeyPatch,
    unfit: Image.Image,
    which: str,
) -> None:
    del which
    drawn = {1: unfit, 2: unfit, 3: body(), 4: body()}

    def draw(context: StageContext, sittings: list[Sitting]) -> None:
        del context
        for sitting in sittings:
            for seed, path in zip(sitting.request.seeds, sitting.files, strict=True):
                path.parent.mkdir(parents=True, exist_ok=True)
                drawn[seed].save(path)

    monkeypatch.setattr(exam_pose, "draw_sittings", draw)
    context, bodies = bodies_of(eileen, standalone_host)
    [chosen] = facing_bodies(context, ("sitting",), bodies)
    assert chosen.request.seeds == (3,)
    drawn.update({3: unfit, 4: unfit})
    [stays] = facing_bodies(context, ("sitting",), bodies)
    assert stays.request.seeds == (1,)


def test_the_prompt_of_another_body_looks_at_the_viewer_unless_it_is_turned_away(
    eileen: Workspace, standalone_host: StandaloneHost
) -> None:
    context = StageContext(small(), eileen, standalone_host, Job())
    poses = ("sitting", "standing, from behind")
    front, behind = untouched_poses(context, context.settings.inpaint, poses, (SIDE, SIDE))
    assert "looking at viewer" in front.request.prompt
    assert "looking at viewer" not in behind.request.prompt


def test_of_the_own_picture_the_try_nearest_to_what_was_there_is_kept(
    tmp_path: Path, eileen: Workspace
) -> None:
    source = body()
    hole = Image.new("L", source.size)
    hole.paste(255, (44, 50, 84, 100))
    canvas = whole_canvas(source, hole, InpaintSettings())
    colours = {"1": (200, 40, 40), "2": (40, 60, 150), "3": (90, 90, 120)}
    tried = []
    for name, colour in colours.items():
        picture = source.copy()
        picture.paste(colour, (44, 50, 84, 100))
        picture.save(tmp_path / f"{name}.png")
        tried.append(tmp_path / f"{name}.png")
    kept = [tmp_path / "best-1.png", tmp_path / "best-2.png"]
    scores = keep_best(tried, kept, canvas, True, eileen)
    assert list(scores) == ["2", "3", "1"]
    assert kept[0].read_bytes() == tried[1].read_bytes()
    assert kept[1].read_bytes() == tried[2].read_bytes()


def test_several_tries_leave_the_best_and_say_how_good_each_was(
    eileen: Workspace, standalone_host: StandaloneHost
) -> None:
    values = {"inpaint.tries": 3, "inpaint.area": "only masked", "inpaint.steps": 1}
    context = StageContext(small(**values), eileen, standalone_host, Job())
    made = inpaint(context)
    [kept] = made.pictures
    how = json.loads((kept.parent / "how.json").read_text(encoding="utf-8"))
    best = next(iter(how["tries"]))
    assert len(how["tries"]) == 3 and how["tries"][best] == max(how["tries"].values())
    assert kept.read_bytes() == (kept.parent / "tries" / f"{best}.png").read_bytes()
    assert read_rgb(kept).size == read_rgb(eileen.prepared).size
    assert inpaint(context).pictures == made.pictures


def test_tries_on_another_body_take_higher_denoising_strengths_in_turn() -> None:
    options = InpaintSettings(tries=4, denoise=0.7)
    strengths = [tried_denoise(options, index, True) for index in range(4)]
    assert strengths == pytest.approx([0.7, 0.8, 0.9, 0.7])
    assert tried_denoise(options, 2, False) == 0.7
    assert tried_denoise(replace(options, tries=1), 2, True) == 0.7
