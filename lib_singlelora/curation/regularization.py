"""Which regularization pictures stay: decisions of the filter and of a person, and the moves that
follow from them.

Decisions lie in `log/regularize.json`; `reg/rejected/reasons.json` says the same of the rejected
ones to whoever looks there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import NotFoundError, WorkspaceError
from ..files.fileio import move, write_bytes, write_json
from ..settings.schema import Settings
from ..workspace.stage_record import StageRecord
from ..workspace.workspace import Workspace

STAGE = "regularize"
By = Literal["filter", "hand"]


@dataclass(frozen=True)
class Decision:
    """Of one picture.

    by: who decided.
    reasons: why it was rejected once.
    caption: for when it is taken back.
    """

    kept: bool
    reasons: tuple[str, ...] = ()
    by: By = "filter"
    seed: int = 0
    prompt: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Reviewed:
    """kept, rejected: what was decided of each picture, by its path."""

    kept: dict[Path, Decision]
    rejected: dict[Path, Decision]


class Review:
    """The decisions of a workspace's set.  A person who moves a file between the folders has
    decided too.

    mending: whether what was interrupted, or moved by a person, is put right; a reader leaves it as
        it is.
    """

    def __init__(
        self, settings: Settings, workspace: Workspace, record: StageRecord, mending: bool = True
    ) -> None:
        self.workspace, self.record = workspace, record
        self.folder = workspace.reg_folder(settings)
        self.aside = workspace.root / "reg" / "rejected"
        self._own: dict[str, dict[str, Any]] = record.data.setdefault("decisions", {})
        if not mending:
            return
        # Killed before all its files were written: it is drawn again
        if record.data.get("placing"):
            self._own.pop(record.data["placing"], None)
        if record.data.get("moving"):
            self._move(record.data["moving"])
        for name in self._own:
            kept = self.of(name).kept
            wrong, right = (self.aside, self.folder) if kept else (self.folder, self.aside)
            if (wrong / f"{name}.png").exists() and not (right / f"{name}.png").exists():
                self.decide(name, not kept, by="hand")

    def __contains__(self, name: str) -> bool:
        return name in self._own

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._own))

    def of(self, name: str) -> Decision:
        """What was decided of a picture."""
        values = self._own[name]
        return Decision(**{**values, "reasons": tuple(values["reasons"])})

    @property
    def kept(self) -> int:
        """How many stay."""
        return sum(values["kept"] for values in self._own.values())

    def path(self, name: str) -> Path:
        """Where the picture lies or will lie."""
        return (self.folder if self.of(name).kept else self.aside) / f"{name}.png"

    def files(self) -> list[Path]:
        """Every file that belongs to the set, rejected ones too."""
        return [
            path
            for name in self._own
            for path in (self.path(name), self.path(name).with_suffix(".txt"))
        ]

    def note(self, name: str, decision: Decision) -> None:
        """Remember a decision before the picture is written; an earlier one's picture of this
        number goes.
        """
        for folder in (self.folder, self.aside):
            for file in (folder / f"{name}.png", folder / f"{name}.txt"):
                if file.exists() and not self.workspace.edited(self.record, file):
                    file.unlink()
        self._own[name] = {**asdict(decision), "reasons": list(decision.reasons)}
        self.record.data["placing"] = name
        self.workspace.save_record(self.record)

    def drop_after(self, count: int) -> None:
        """Forget what the filter decided of pictures beyond this number of kept ones; 'finish'
        takes their files away.
        """
        kept = 0
        for name in sorted(self._own):
            if kept >= count and self._own[name]["by"] == "filter":
                del self._own[name]
            else:
                kept += self._own[name]["kept"]

    def place(self, name: str, data: bytes, force: bool) -> None:
        """Write the picture where its decision sends it, and a caption beside it if it stays; what
        a person edited stays.

        The hash is noted before the file appears, so that a killed process leaves nothing that
        looks like an edit.
        """
        path = self.path(name)
        words = (
            [(path.with_suffix(".txt"), self.of(name).caption.encode())]
            if self.of(name).kept
            else []
        )
        for file, content in ((path, data), *words):
            if self.workspace.edited(self.record, file) and not force:
                continue
            file.unlink(missing_ok=True)
            self.record.files[self.workspace.relative(file)] = hashlib.sha256(content).hexdigest()
            self.workspace.save_record(self.record)
            write_bytes(file, content)
        self.record.data["placing"] = ""
        self.save()

    def decide(
        self, name: str, kept: bool, reasons: Sequence[str] | None = None, by: By = "filter"
    ) -> None:
        """Change a decision and move the picture accordingly; what is interrupted in between goes
        on at the next call.
        """
        self._own[name] |= {"kept": kept, "by": by} | (
            {} if reasons is None else {"reasons": list(reasons)}
        )
        self.record.data["moving"] = name
        self.workspace.save_record(self.record)
        self._move(name)

    def _move(self, name: str) -> None:
        target = self.path(name)
        source = (self.aside if target.parent == self.folder else self.folder) / target.name
        for old, new in (
            (source, target),
            (source.with_suffix(".txt"), target.with_suffix(".txt")),
        ):
            if not old.exists():
                continue
            hashed = self.record.files.pop(self.workspace.relative(old), None)
            if hashed:
                self.record.files[self.workspace.relative(new)] = hashed
            move(old, new)
        words, decision = target.with_suffix(".txt"), self.of(name)
        if decision.kept and target.exists() and not words.exists() and decision.caption:
            write_bytes(words, decision.caption.encode())
            self.workspace.note_file(self.record, words)
        self.record.data["moving"] = ""
        self.save()

    def save(self) -> None:
        """Write the decisions, and the rejected ones beside their pictures."""
        self.workspace.save_record(self.record)
        gone = {
            f"{name}.png": self._own[name]
            for name in sorted(self._own)
            if not self._own[name]["kept"]
        }
        if gone or (self.aside / "reasons.json").exists():
            write_json(self.aside / "reasons.json", gone)

    def reviewed(self) -> Reviewed:
        """All decisions whose pictures are there."""
        found = {
            path: self.of(name) for name in sorted(self._own) if (path := self.path(name)).exists()
        }
        return Reviewed(
            {path: own for path, own in found.items() if own.kept},
            {path: own for path, own in found.items() if not own.kept},
        )


def review(
    settings: Settings,
    workspace: Workspace,
    take_back: Sequence[str] = (),
    reject: Sequence[str] = (),
) -> Reviewed:
    """The pictures and what was decided of them, after taking some back or rejecting some by hand.

    take_back, reject: numbers or file names, such as 7, 0007 or 0007.png.  The filter never changes
        what was decided here.
    Raises: WorkspaceError, for a picture that there is not; nothing is changed then.
    """
    if not take_back and not reject:
        try:
            with workspace.writing("looking through the set", wait=0):
                return Review(settings, workspace, workspace.record(STAGE)).reviewed()
        except WorkspaceError:  # reading never waits, nor minds a folder that cannot be written
            return Review(settings, workspace, workspace.record(STAGE), mending=False).reviewed()
    with workspace.writing("review"):
        return _review(settings, workspace, take_back, reject)


def _review(
    settings: Settings, workspace: Workspace, take_back: Sequence[str], reject: Sequence[str]
) -> Reviewed:
    own = Review(settings, workspace, workspace.record(STAGE))
    wanted = [
        (_named(name, own), kept)
        for names, kept in ((take_back, True), (reject, False))
        for name in names
    ]
    for name, kept in wanted:
        own.decide(name, kept, own.of(name).reasons if kept else ("rejected by hand",), "hand")
    return own.reviewed()


def _named(text: str, own: Review) -> str:
    stem = Path(text).stem
    name = stem.zfill(4)
    if name not in own:
        there = ", ".join(own) or "none; call 'regularize' first"
        raise NotFoundError(f"regularize: found no picture '{text}', expected one of {there}")
    return name


def rejections(workspace: Workspace) -> dict[str, list[str]]:
    """Why pictures were put aside: name without its ending -> reasons, as the last call left it."""
    decisions = workspace.record("regularize").data.get("decisions", {})
    aside = {path.stem for path in (workspace.root / "reg" / "rejected").glob("*.png")}
    return {
        name: list(own.get("reasons", ()))
        for name, own in sorted(decisions.items())
        if name in aside
    }
