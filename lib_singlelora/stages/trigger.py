"""Trigger: what the tokenizer, the lists of tags and the checkpoint already know of the word."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..captions.prompt_language import escape
from ..captions.trigger_words import (
    MOST_TOKENS,
    WordCheck,
    check_word,
    meaningless_words,
    ordinary_words,
    suggest_words,
)
from ..crops.buckets import training_resolution
from ..errors import SettingsError
from ..files.fileio import fingerprint
from ..host import Host, ImageRequest
from ..imaging.png import png_bytes
from ..jobs import Job, Progress
from ..metrics.word_effect import WordEffects, measure_word_effects
from ..settings.schema import Settings
from ..tagging.ensemble import chosen_folders, names_of
from ..workspace.resume import begin, finish
from .context import StageContext

SEEDS = (1, 2, 3, 4)
SUGGESTED = 4
KNOWN = 0.5  # share of an ordinary word's effect from which on the word counts as known


@dataclass(frozen=True)
class TriggerResult:
    """The result of the check of a word.

    check: by tokenizer and lists.
    departures: its effect on the checkpoint, beside those of ordinary and meaningless words.
    pictures: what the checkpoint draws of the word alone.
    suggestions: free words, the one with the least effect on this checkpoint first.
    reasons: why not to take the word; none when it is free.
    """

    check: WordCheck
    departures: WordEffects
    pictures: tuple[Path, ...]
    suggestions: tuple[str, ...]
    reasons: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The result as plain values."""
        return {
            "word": self.check.word,
            "free": not self.reasons,
            "reasons": list(self.reasons),
            "tokens": self.check.tokens,
            "ordinary": self.check.ordinary,
            "known": list(self.check.known),
            "departures": {**asdict(self.departures), "meaning": self.departures.meaning},
            "pictures": [str(path) for path in self.pictures],
            "suggestions": list(self.suggestions),
        }


def check_trigger(context: StageContext, word: str = "") -> TriggerResult:
    """Try a word, and draw four pictures of it into `trigger/`.

    word: default the workspace's trigger.
    Raises: SettingsError, without a word; CheckpointError; JobCancelled.
    """
    settings = context.settings
    workspace = context.workspace
    host = context.host
    job = context.job
    word = word or settings.character.trigger
    if not word:
        raise SettingsError(
            f"{workspace.root}: found no trigger in its settings, expected one; name a word with"
            " --trigger"
        )
    lists = names_of(chosen_folders(settings.caption, host, job))
    check = check_word(word, lists["names"], lists["tags"])
    suggestions = suggest_words(word, SUGGESTED, lists["names"], lists["tags"])
    tokens = min(MOST_TOKENS, max(1, check.tokens))
    ordinary = ordinary_words(tokens)
    meaningless = meaningless_words(tokens)
    record, done = begin(
        workspace, "trigger", _mark(settings, host, word, suggestions), context.force
    )
    if not done or not {word, *ordinary, *meaningless} <= record.data.get("departures", {}).keys():
        record.data["departures"] = _measure(
            settings, host, job, [word, *ordinary, *meaningless, *suggestions]
        )
        paths = []
        message = f"what '{word}' alone draws"
        for index, seed in enumerate(SEEDS):
            path = workspace.root / "trigger" / f"{seed}.png"
            job.report(Progress("draw", index, len(SEEDS), message))
            drawn = host.generate(_request(settings, host, word, seed), job)[0]
            picture = png_bytes(drawn.image, drawn.parameters)
            workspace.write_unless_edited(record, path, picture, True)
            paths.append(path)
            job.report(Progress("draw", index + 1, len(SEEDS), message, pictures=(path,)))
        finish(workspace, record, paths)
    measured = record.data["departures"]
    effects = WordEffects(
        measured[word],
        {other: measured[other] for other in ordinary},
        {other: measured[other] for other in meaningless},
    )
    return TriggerResult(
        check,
        effects,
        tuple(workspace.root / "trigger" / f"{seed}.png" for seed in SEEDS),
        tuple(sorted(suggestions, key=lambda other: measured.get(other, 0.0))),
        _reasons(check, effects),
    )


def _reasons(check: WordCheck, effects: WordEffects) -> tuple[str, ...]:
    meaning = effects.meaning
    if meaning is None or meaning < KNOWN:
        return check.reasons
    return (
        *check.reasons,
        (
            f"its effect on this checkpoint is {meaning:.0%} of that of ordinary words, beyond"
            " words without meaning"
        ),
    )


def _mark(settings: Settings, host: Host, word: str, suggestions: list[str]) -> str:
    plot = settings.plot
    return fingerprint(
        word,
        suggestions,
        host.checkpoint.drawing_mark,
        settings.training.clip_skip,
        plot.sampler,
        plot.steps,
        plot.cfg_scale,
        plot.negative_prompt,
    )


def _measure(settings: Settings, host: Host, job: Job, words: list[str]) -> dict[str, float]:
    # Half the size is enough to compare words, and four times as fast
    side = max(8, host.checkpoint.native_size // 16)
    with host.open_for_training() as model:
        return measure_word_effects(
            model, list(dict.fromkeys(words)), (side, side), settings.training.clip_skip, job
        )


def _request(settings: Settings, host: Host, word: str, seed: int) -> ImageRequest:
    size = training_resolution(settings, host)
    plot = settings.plot
    return ImageRequest(
        escape(word),
        (seed,),
        size,
        size,
        plot.negative_prompt,
        plot.sampler,
        plot.steps,
        plot.cfg_scale,
        settings.training.clip_skip,
    )
