"""The inpaint exam: parts of the source picture redrawn with the LoRA, and compared with it.

It needs no tagger: each part is masked and drawn anew from nothing, with the LoRA and by the
checkpoint alone, with the same prompt and seeds, and both are compared with what was there.  Then
pictures of the class in other poses, drawn by the checkpoint, are redrawn as the character.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from ..crops.buckets import make_buckets, square_bucket
from ..crops.parts import Part, find_part
from ..errors import SettingsError
from ..files.fileio import file_hash, fingerprint, write_bytes, write_json
from ..host import LoraUse
from ..imaging.load import load_layer
from ..imaging.png import png_bytes
from ..library.bake import bake_preset
from ..library.block_presets import known_presets
from ..library.choose import choose_use
from ..library.epochs import epoch_files
from ..library.publish import publish
from ..metrics.part_likeness import mean_of, part_likeness
from ..settings.declare import SEEDS
from ..settings.inpaint import InpaintSettings
from ..workspace.resume import begin, finish
from .context import StageContext
from .exam_part import PartMark, plain_mean
from .exam_pictures import Sitting, cost_in_words, cost_of, draw_sittings
from .exam_pose import POSES, PoseMark, facing_bodies, pose_marks, redrawn_poses, untouched_poses
from .exam_sheet import exam_sheet
from .inpaint_canvas import part_canvas
from .inpaint_parts import frame_of, source_parts
from .inpaint_prompt import part_prompt
from .inpaint_request import drawn_at, request_for

CONTEXT = 0.3  # of a part's longer side is shown around it, where no crop is its frame


@dataclass(frozen=True)
class ExamOptions:
    """What is examined.

    lora, strength, preset: as in `settings.inpaint`; '' and 0 are the recommended ones.
    parts: names; () for all that the picture shows.
    seeds: how many of each part, 1 to 16.
    poses: tags; () leaves the other bodies out.
    denoises: denoising strengths, 0 to 1, at which another body is redrawn.
    """

    lora: str = ""
    strength: float = 0.0
    preset: str = ""
    parts: tuple[str, ...] = ()
    seeds: int = 2
    poses: tuple[str, ...] = POSES
    denoises: tuple[float, ...] = (0.65, 0.8, 0.9)

    def check(self) -> None:
        """Raises: SettingsError, for a number out of its range."""
        if not 1 <= self.seeds <= 16:
            raise SettingsError(f"--seeds: found {self.seeds}, expected 1 to 16")
        for value in self.denoises:
            if not 0 < value <= 1:
                raise SettingsError(f"--denoises: found {value:g}, expected above 0, to 1")


@dataclass(frozen=True)
class ExamResult:
    """The exam's result.

    nearer: share of the parts that are nearer to the source with the LoRA than without, 0 to 1.
    """

    sheet: Path
    scores: Path
    values: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """The part of the JSON object."""
        return {"exam": {"sheet": str(self.sheet), "scores": str(self.scores), **self.values}}


@dataclass(frozen=True)
class _Examination:
    """What is drawn: every part once with the LoRA and once without, then the untouched bodies."""

    marks: list[PartMark]
    with_lora: list[Sitting]
    alone: list[Sitting]
    bodies: list[Sitting]

    @property
    def sittings(self) -> list[Sitting]:
        return [*self.alone, *self.bodies, *self.with_lora]


def exam(context: StageContext, options: ExamOptions) -> ExamResult:
    """Examine the LoRA: plots/exam.png and plots/exam.json.

    What was drawn before with the same file, strength, prompt and seed is taken from disk.

    Raises: LoraFileError, PictureError, PresetError; SettingsError, for a part that the picture
        does not show; JobCancelled, keeping what is drawn.
    """
    workspace = context.workspace
    use, drawing, lora = _use(context, options)
    examination = _examination(context, options, use, drawing)
    sheet = workspace.plots / "exam.png"
    scores = workspace.plots / "exam.json"
    mark = fingerprint(
        vars(options), [str(path.name) for s in examination.sittings for path in s.files]
    )
    record, done = begin(workspace, "exam", mark, context.force)
    if done and sheet.exists() and scores.exists():
        return ExamResult(sheet, scores, record.data["exam"])
    publish(context.settings, workspace, context.host, epoch_files(workspace, context.settings))
    draw_sittings(context, examination.sittings)
    bodies = facing_bodies(context, options.poses, examination.bodies)
    redrawn = redrawn_poses(context, drawing, use, options.poses, options.denoises, bodies)
    draw_sittings(context, [sitting for row in redrawn for sitting in row.sittings])
    marks = _compared(examination)
    poses = pose_marks(workspace, redrawn)
    values = _values(lora, drawing, options, marks, poses)
    write_json(scores, values)
    write_bytes(sheet, png_bytes(exam_sheet(marks, poses, values)))
    record.data["exam"] = values
    pictures = [path for s in examination.sittings for path in s.files]
    pictures += [path for row in redrawn for s in row.sittings for path in s.files]
    files = [sheet, scores, *pictures]
    for path in files:
        workspace.note_file(record, path)
    finish(workspace, record, files)
    return ExamResult(sheet, scores, values)


def plan_exam(context: StageContext, options: ExamOptions) -> dict[str, Any]:
    """What `exam` would draw and how long that takes; draws nothing.  Raises: as `exam`."""
    use, drawing, _ = _use(context, options)
    examination = _examination(context, options, use, drawing)
    count, seconds = cost_of(context, examination.sittings)
    bodies = sum(len(sitting.files) for sitting in examination.bodies) * len(options.denoises)
    if seconds is not None and count:
        seconds += bodies * seconds / count
    return {
        "pictures": sum(len(s.files) for s in examination.sittings) + bodies,
        "missing": count + bodies,
        "expected_seconds": None if seconds is None else round(seconds, 1),
        "plan": cost_in_words(count + bodies, seconds),
    }


def _use(context: StageContext, options: ExamOptions) -> tuple[LoraUse, InpaintSettings, Path]:
    """(the LoRA as it is used, the settings to draw with, its file).

    A part is drawn from noise alone, so that nothing of what was there leads to what is drawn.
    Not from the fill "latent noise": that is the same noise once more, as a content, and its
    blotches give the parts their colours.
    """
    settings = context.settings
    workspace = context.workspace
    options.check()
    lora, strength, preset = choose_use(
        settings, workspace, options.lora, options.strength, options.preset
    )
    known = known_presets(settings, context.host)
    baked = bake_preset(lora, None, preset, workspace, known, context.host.checkpoint)
    drawing = replace(
        settings.inpaint, strength=strength, preset=preset, fill="latent nothing", denoise=1.0
    )
    return LoraUse(baked, strength, strength), drawing, lora


def _examination(
    context: StageContext, options: ExamOptions, use: LoraUse, drawing: InpaintSettings
) -> _Examination:
    settings = context.settings
    workspace = context.workspace
    layer, _ = load_layer(workspace.prepared)
    resolution, squares = drawn_at(settings, context.host)
    buckets = make_buckets(resolution)
    shapes = [[square_bucket(resolution)], buckets] if squares else [buckets]
    parts = _chosen(source_parts(workspace, resolution), options.parts)
    seeds = tuple((drawing.seed + index) % SEEDS for index in range(options.seeds))
    marks, with_lora, alone = [], [], []
    for part in parts:
        character = settings.character
        hole = part.mask.getbbox() or (0, 0, *layer.size)
        frame = frame_of(workspace, hole)
        wide = drawing
        if frame is None:  # what the part belongs to must be seen
            around = round(CONTEXT * max(hole[2] - hole[0], hole[3] - hole[1]))
            wide = replace(drawing, padding=max(drawing.padding, around))
        canvas = part_canvas(layer, part.mask, wide, shapes, frame=frame)
        prompt = part_prompt(
            character.trigger, character.class_token, settings, workspace, hole, canvas.box
        )
        request = replace(
            request_for(canvas, prompt, drawing, settings.training.clip_skip, ()), seeds=seeds
        )
        marks.append(PartMark(part.name, prompt, canvas))
        alone.append(Sitting.of(f"{part.name}, checkpoint alone", request, context))
        drawn = replace(request, loras=(use,))
        with_lora.append(Sitting.of(f"{part.name}, with the LoRA", drawn, context))
    bodies = untouched_poses(context, drawing, options.poses, square_bucket(resolution))
    return _Examination(marks, with_lora, alone, bodies)


def _chosen(parts: list[Part], names: tuple[str, ...]) -> list[Part]:
    """The parts of these names.  Raises: SettingsError."""
    chosen = {}
    for name in names:
        part = find_part(parts, name)
        if part is None:
            known = ", ".join(each.name for each in parts)
            raise SettingsError(f"part: found {name!r}, expected some of {known}")
        chosen[part.name] = part
    return list(chosen.values()) if names else parts


def _compared(examination: _Examination) -> list[PartMark]:
    """The marks with their likeness.

    What is drawn is compared at the size in which it is drawn, before it is scaled back.
    """
    marks = []
    rows = zip(examination.marks, examination.with_lora, examination.alone, strict=True)
    for mark, with_lora, alone in rows:
        canvas = mark.canvas
        assert canvas.painted is not None
        painted = canvas.painted.resize(canvas.image.size, Image.Resampling.BOX, box=canvas.shown)
        drawn = (with_lora.pictures(), alone.pictures())
        lora, without = (
            tuple(part_likeness(picture, canvas.image, painted) for picture in pictures)
            for pictures in drawn
        )
        marks.append(replace(mark, lora=lora, alone=without, pictures=drawn))
    return marks


def _values(
    lora: Path,
    drawing: InpaintSettings,
    options: ExamOptions,
    marks: list[PartMark],
    poses: list[PoseMark],
) -> dict[str, Any]:
    """All figures as plain values."""
    return {
        "lora": lora.name,
        "lora_sha256": file_hash(lora),
        "strength": drawing.strength,
        "preset": drawing.preset,
        "seeds": options.seeds,
        "parts": [mark.as_dict() for mark in marks],
        "nearer": round(sum(mark.gain.value > 0 for mark in marks) / max(1, len(marks)), 4),
        "gain": plain_mean(mean_of([mark.gain.value for mark in marks])) if marks else None,
        "poses": [pose.as_dict() for pose in poses],
    }
