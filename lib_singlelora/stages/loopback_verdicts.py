"""The candidates of a judged loopback, drawn and judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from PIL import Image

from ..captions.order import Order, arrange
from ..captions.pruning import Trait, policy_of, prune
from ..crops.buckets import training_resolution
from ..files.fileio import file_hash, fingerprint, write_bytes, write_json
from ..host import Host, ImageRequest, LoraUse
from ..imaging.load import read_rgb
from ..imaging.png import png_bytes, save_picture
from ..jobs import Job, Progress
from ..judge.candidates import CandidateJudge, Verdict, choose_kept
from ..library.bake import bake_preset
from ..library.block_presets import known_presets
from ..library.choose import choose_lora
from ..metrics.loopback_prompts import Wish
from ..settings.schema import Settings
from ..tagging.ensemble import Taggers, names_of, open_taggers
from ..workspace.recommendation import saved_recommendation
from ..workspace.workspace import Workspace
from .context import StageContext
from .loopback_candidates import FRAMINGS, Candidate, base_request, plan_candidates, request_mark
from .loopback_sheet import draw_candidates

FOLDER = "loopback"  # of the candidates, in the workspace they were drawn from
JUDGED = "judged.json"
SHEET = "sheet.png"


@dataclass(frozen=True)
class JudgedCandidate:
    """A candidate and what became of it.

    kept: True for one that is trained on.
    reasons: why it is not.
    """

    path: Path
    wish: Wish
    kept: bool
    reasons: tuple[str, ...]
    scores: Mapping[str, float]
    caption: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "picture": str(self.path),
            "source": self.wish.source,
            "asked": list(self.wish.asks),
            "framing": self.wish.framing,
            "kept": self.kept,
            "reasons": list(self.reasons),
            "scores": dict(self.scores),
            "caption": self.caption,
        }


def draw_and_judge(context: StageContext) -> tuple[tuple[JudgedCandidate, ...], Path]:
    """Draw the candidates into loopback/ and judge them; (all of them, their sheet).

    What lies there is not drawn again.
    Raises: NotFoundError, LoraFileError, TaggerError, JobCancelled.
    """
    settings = context.settings
    workspace = context.workspace
    tagger = open_taggers(settings.caption, context.host, context.job)
    lora = lora_use(context)
    known = names_of(tagger.folders)["tags"] if tagger and not tagger.own else None
    planned = plan_candidates(settings, workspace, context.host, lora, known)
    folder = _folder(context, lora)
    drawer = _Drawer(context, folder, planned)
    images = {each.number: drawer.candidate(each) for each in planned}
    bases = {each.number: drawer.base(each) for each in planned}
    verdicts = _verdicts(context, tagger, planned, images, bases)
    kept, others = choose_kept(verdicts, images, settings.loopback.keep)
    judged = tuple(
        JudgedCandidate(
            folder / f"{each.name}.png",
            each.wish,
            each.number in kept,
            (*verdict.reasons, *([others[each.number]] if each.number in others else [])),
            verdict.scores,
            candidate_caption(settings, workspace, each.wish, verdict),
        )
        for each in planned
        for verdict in (verdicts[each.number][1],)
    )
    sheet = folder / SHEET
    write_bytes(sheet, png_bytes(draw_candidates(judged)))
    write_json(folder / JUDGED, [each.as_dict() for each in judged])
    message = f"{len(kept)} of {len(judged)} candidates kept"
    context.job.report(Progress(FOLDER, len(judged), len(judged), message, pictures=(sheet,)))
    context.job.log(FOLDER, made=len(judged), kept=len(kept), sheet=workspace.relative(sheet))
    return judged, sheet


def lora_use(context: StageContext) -> LoraUse:
    """The LoRA that draws the candidates, at its strength.  Raises: LoraFileError."""
    settings = context.settings
    workspace = context.workspace
    options = settings.loopback
    lora = choose_lora(settings, workspace, options.lora)
    recommended = saved_recommendation(workspace)
    strength = options.strength
    if recommended is not None and recommended.lora == lora:
        strength = strength or recommended.strength
        known = known_presets(settings, context.host)
        checkpoint = context.host.checkpoint
        lora = bake_preset(lora, None, recommended.preset, workspace, known, checkpoint)
    return LoraUse(lora, strength or 1.0, strength or 1.0)


def _folder(context: StageContext, lora: LoraUse) -> Path:
    """Where what a LoRA draws at a strength lies; each request has a name of its own there."""
    mark = fingerprint(file_hash(lora.path), lora.unet, context.host.checkpoint.sha256)
    return context.workspace.root / FOLDER / mark[:8]


class _Drawer:
    """Draws what is not there yet."""

    def __init__(self, context: StageContext, folder: Path, planned: Sequence[Candidate]) -> None:
        self._host: Host = context.host
        self._job: Job = context.job
        self._class = context.settings.character.class_token
        self._folder = folder
        self._total = len(planned)

    def candidate(self, candidate: Candidate) -> Image.Image:
        """The picture of a candidate."""
        done = candidate.number - 1
        wish = candidate.wish
        message = f"candidate {candidate.number} of {self._total}: {wish.source}, {wish.ask}"
        self._job.report(Progress(FOLDER, done, self._total, message))
        path = self._folder / f"{candidate.name}.png"
        image = self._drawn(candidate.request, path)
        self._job.report(Progress(FOLDER, done + 1, self._total, pictures=(path,)))
        return image

    def base(self, candidate: Candidate) -> Image.Image:
        """What the checkpoint alone draws of the same framing and view; shared by candidates."""
        request = base_request(candidate, self._class)
        path = self._folder / "checkpoint" / f"{request_mark(request)}.png"
        return self._drawn(request, path)

    def _drawn(self, request: ImageRequest, path: Path) -> Image.Image:
        if not path.exists():
            self._job.raise_if_cancelled()
            save_picture(path, self._host.generate(request, self._job)[0])
        return read_rgb(path)


def _verdicts(
    context: StageContext,
    tagger: Taggers | None,
    planned: Sequence[Candidate],
    images: Mapping[int, Image.Image],
    bases: Mapping[int, Image.Image],
) -> dict[int, tuple[Wish, Verdict]]:
    """Every candidate's verdict by its number.  Raises: JobCancelled."""
    settings = context.settings
    host = context.host
    with ExitStack() as stack:
        stack.enter_context(host.exclusive(context.job))
        model = stack.enter_context(host.open_for_training())
        side = training_resolution(settings, host)
        judge = CandidateJudge(settings, context.workspace, tagger, model, side)
        found = {}
        for each in planned:
            context.job.raise_if_cancelled()
            message = f"judging candidate {each.number} of {len(planned)}"
            context.job.report(Progress(FOLDER, each.number, len(planned), message))
            number = each.number
            verdict = judge.judge(images[number], each.wish, bases[number], settings.loopback)
            found[number] = (each.wish, verdict)
    return found


def candidate_caption(
    settings: Settings, workspace: Workspace, wish: Wish, verdict: Verdict
) -> str:
    """The text of a candidate by the rules of the crops' own.

    Trigger, class, what was asked and is seen, and what else the tagger sees, without what belongs
    to the character.
    """
    options = settings.caption
    seen = verdict.tags
    tags = [tag for tag, value in seen.items() if value >= options.general_threshold]
    tags.sort(key=lambda tag: -seen[tag])
    framing = next((tag for tag in tags if tag in FRAMINGS), wish.framing)
    # What is new is named, so that it is not taken for the character's
    others = [tag for tag in tags if tag not in FRAMINGS and tag not in verdict.seen]
    traits = [Trait(**values) for values in workspace.record("caption").data.get("traits", ())]
    return arrange(
        (settings.character.trigger, settings.character.class_token),
        [framing, *verdict.seen, *prune(others, traits, policy_of(options))],
        order=cast(Order, options.order),
        drop_implied=options.implied == "drop",
        underscores=options.underscores,
    )
