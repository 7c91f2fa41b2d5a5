"""Judged loopback: candidates are drawn, those that show the character train the next version."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import ConflictError, SettingsError
from ..library.epochs import epoch_files
from ..workspace.workspace import Workspace
from .context import StageContext
from .loopback import Start, Version, lineage_of, next_version
from .loopback_set import DrawnPicture, add_set, set_mark
from .loopback_verdicts import JudgedCandidate, draw_and_judge
from .train import train


@dataclass(frozen=True)
class Round:
    """One round.

    workspace: from which the candidates were drawn.
    sheet: kept and rejected ones with the reasons.
    version: None where nothing was kept.
    loras: of the version's training.
    """

    workspace: Path
    candidates: tuple[JudgedCandidate, ...]
    sheet: Path
    version: Version | None = None
    loras: tuple[Path, ...] = ()

    @property
    def kept(self) -> list[JudgedCandidate]:
        return [candidate for candidate in self.candidates if candidate.kept]

    def _reasons(self) -> Counter[str]:
        """How often each kind of reason is the first one, the most frequent first."""
        first = (each.reasons[0] for each in self.candidates if each.reasons)
        kinds = Counter(re.split(r": | of | as candidate ", reason)[0] for reason in first)
        return Counter(dict(kinds.most_common()))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "workspace": str(self.workspace),
            "made": len(self.candidates),
            "kept": len(self.kept),
            "reasons": dict(self._reasons()),
            "sheet": str(self.sheet),
            "version": str(self.version.workspace) if self.version else None,
            "candidates": [candidate.as_dict() for candidate in self.candidates],
        }


@dataclass(frozen=True)
class JudgedLoopback:
    """The result: every round, the last version last."""

    rounds: tuple[Round, ...]

    def as_dict(self) -> dict[str, Any]:
        """The JSON object: that of the last version, and what each round made of its candidates."""
        version = next((each.version for each in reversed(self.rounds) if each.version), None)
        return {
            "workspace": str(version.workspace if version else self.rounds[0].workspace),
            "version": version.number if version else None,
            "lineage": str(version.lineage) if version else None,
            "loras": [str(path) for path in self.rounds[-1].loras],
            "rounds": [each.as_dict() for each in self.rounds],
        }


def judged_loopback(
    context: StageContext, into: Path | None = None, start: Start = "zero"
) -> JudgedLoopback:
    """Draw candidates, keep those that show the character, train a version on them.

    Each round draws with the LoRA of the one before.  What is drawn, added or trained is not done
    again, so an interrupted call is continued by the same one.

    into: folder of the version, default beside the workspace; for one round alone.
    Raises: SettingsError; NotFoundError, without crops; LoraFileError, when nothing is trained;
        ConflictError, for a version that was trained on something else; JobCancelled.
    """
    options = context.settings.loopback
    if into is not None and options.rounds > 1:
        raise SettingsError(
            f"--into: found it with {options.rounds} rounds, expected one round, for each makes a"
            " version of its own; leave --into out"
        )
    rounds: list[Round] = []
    for _ in range(options.rounds):
        done = _round(context, into, start)
        rounds.append(done)
        if done.version is None:
            break
        version = Workspace(done.version.workspace, create=False)
        own = version.load_settings()
        settings = replace(own, loopback=replace(options, lora="", seed=options.seed))
        context = replace(context, workspace=version, settings=settings)
    return JudgedLoopback(tuple(rounds))


def _round(context: StageContext, into: Path | None, start: Start) -> Round:
    """Draw, judge, add and train."""
    settings = context.settings
    workspace = context.workspace
    with workspace.writing("loopback"):
        candidates, sheet = draw_and_judge(context)
    done = Round(workspace.root, candidates, sheet)
    kept = [
        DrawnPicture(
            each.path,
            each.caption,
            {
                "asked": list(each.wish.asks),
                "source": each.wish.source,
                "scores": dict(each.scores),
            },
        )
        for each in done.kept
    ]
    if not kept:
        return done
    repeats = settings.loopback.repeats or max(1, settings.training.repeats // 2)
    root = into or next_version(workspace)
    _refuse_trained(root, set_mark(kept, repeats))
    made = add_set(context, kept, root, repeats, start)
    version = Workspace(made.workspace, create=False)
    with version.writing("train"):
        trained = train(replace(context, workspace=version, settings=version.load_settings()))
    return replace(done, version=made, loras=trained.loras)


def _refuse_trained(root: Path, mark: str) -> None:
    """Raises: ConflictError, for a version that was trained on other pictures than this set."""
    if not (root / "settings.json").exists():
        return
    version = Workspace(root, create=False)
    added = lineage_of(version)["generated"].values()
    trained = epoch_files(version, version.load_settings())
    if trained and mark not in {source["sha256"] for source in added}:
        raise ConflictError(
            f"{root}: found a version that is trained on other pictures, expected a free folder;"
            " choose another one with --into (what was drawn and judged is not done again), or"
            " delete that version"
        )
