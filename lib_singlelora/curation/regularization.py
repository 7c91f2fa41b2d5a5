"""Which regularization pictures stay: decisions of the filter and of the user, and their files.

Decisions lie in `log/regularize.json`; `reg/rejected/reasons.json` repeats those of the rejected
pictures, for whoever looks there.
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
    """The decision on one picture.

    kept: False for a rejected one.
    reasons: why it was rejected, also after it was taken back.
    by: who decided.
    seed: it was drawn with.
    prompt: it was drawn with.
    caption: written beside it, also when it is taken back.
    """

    kept: bool
    reasons: tuple[str, ...] = ()
    by: By = "filter"
    seed: int = 0
    prompt: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Reviewed:
    """The decisions by the path of their picture."""

    kept: dict[Path, Decision]
    rejected: dict[Path, Decision]


class Review:
    """The decisions of a workspace's set.

    A user who moves a file between the folders has decided too.

    repair: complete what was interrupted, and adopt what the user moved; a reader does neither.
    """

    def __init__(
        self, settings: Settings, workspace: Workspace, record: StageRecord, repair: bool = True
    ) -> None:
        self.workspace = workspace
        self.record = record
        self.folder = workspace.reg_folder(settings)
        self.aside = workspace.root / "reg" / "rejected"
        self._decisions: dict[str, dict[str, Any]] = record.data.setdefault("decisions", {})
        if not repair:
            return
        # Killed before all its files were written: it is drawn again.
        if record.data.get("placing"):
            self._decisions.pop(record.data["placing"], None)
        if record.data.get("moving"):
            self._move(record.data["moving"])
        for name in self._decisions:
            kept = self.of(name).kept
            expected = self.folder if kept else self.aside
            other = self.aside if kept else self.folder
            if (other / f"{name}.png").exists() and not (expected / f"{name}.png").exists():
                self.decide(name, not kept, by="hand")

    def __contains__(self, name: str) -> bool:
        return name in self._decisions

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._decisions))

    def of(self, name: str) -> Decision:
        """The decision on a picture."""
        values = self._decisions[name]
        return Decision(**{**values, "reasons": tuple(values["reasons"])})

    @property
    def kept(self) -> int:
        """How many stay."""
        return sum(values["kept"] for values in self._decisions.values())

    def path(self, name: str) -> Path:
        """Where the picture lies or will lie."""
        return (self.folder if self.of(name).kept else self.aside) / f"{name}.png"

    def files(self) -> list[Path]:
        """Every file that belongs to the set, rejected ones too."""
        return [
            path
            for name in self._decisions
            for path in (self.path(name), self.path(name).with_suffix(".txt"))
        ]

    def note(self, name: str, decision: Decision) -> None:
        """Record a decision before the picture is written, and remove an earlier picture."""
        for folder in (self.folder, self.aside):
            for file in (folder / f"{name}.png", folder / f"{name}.txt"):
                if file.exists() and not self.workspace.edited(self.record, file):
                    file.unlink()
        self._decisions[name] = {**asdict(decision), "reasons": list(decision.reasons)}
        self.record.data["placing"] = name
        self.workspace.save_record(self.record)

    def drop_after(self, count: int) -> None:
        """Forget the filter's decisions after this number of kept pictures.

        `finish` removes their files.
        """
        kept = 0
        for name in sorted(self._decisions):
            if kept >= count and self._decisions[name]["by"] == "filter":
                del self._decisions[name]
            else:
                kept += self._decisions[name]["kept"]

    def place(self, name: str, data: bytes, force: bool) -> None:
        """Write the picture where its decision sends it, and its caption if it stays.

        The user's edits are kept.  The hash is recorded before the file appears, so that a killed
        process leaves nothing that looks like an edit.
        """
        path = self.path(name)
        decision = self.of(name)
        contents = {path: data}
        if decision.kept:
            contents[path.with_suffix(".txt")] = decision.caption.encode()
        for file, content in contents.items():
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
        """Change a decision and move the picture; the next call completes an interrupted one.

        reasons: None leaves those that were recorded.
        """
        self._decisions[name] |= {"kept": kept, "by": by}
        if reasons is not None:
            self._decisions[name]["reasons"] = list(reasons)
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
        caption = target.with_suffix(".txt")
        decision = self.of(name)
        if decision.kept and target.exists() and not caption.exists() and decision.caption:
            write_bytes(caption, decision.caption.encode())
            self.workspace.note_file(self.record, caption)
        self.record.data["moving"] = ""
        self.save()

    def save(self) -> None:
        """Write the decisions, and those of rejected pictures beside these."""
        self.workspace.save_record(self.record)
        gone = {
            f"{name}.png": self._decisions[name]
            for name in sorted(self._decisions)
            if not self._decisions[name]["kept"]
        }
        if gone or (self.aside / "reasons.json").exists():
            write_json(self.aside / "reasons.json", gone)

    def reviewed(self) -> Reviewed:
        """All decisions whose pictures are there."""
        decisions = {self.path(name): self.of(name) for name in sorted(self._decisions)}
        existing = {path: decision for path, decision in decisions.items() if path.exists()}
        return Reviewed(
            {path: decision for path, decision in existing.items() if decision.kept},
            {path: decision for path, decision in existing.items() if not decision.kept},
        )


def review(
    settings: Settings,
    workspace: Workspace,
    take_back: Sequence[str] = (),
    reject: Sequence[str] = (),
) -> Reviewed:
    """The decisions, after taking some pictures back or rejecting some by hand.

    The filter never changes what was decided here.

    take_back, reject: numbers or file names, such as 7, 0007 or 0007.png.
    Raises: NotFoundError, for an unknown picture; nothing is changed then.
    """
    if not take_back and not reject:
        try:
            with workspace.writing("looking through the set", wait=0):
                return Review(settings, workspace, workspace.record(STAGE)).reviewed()
        except WorkspaceError:  # reading never waits, nor fails where nothing can be written
            return Review(settings, workspace, workspace.record(STAGE), repair=False).reviewed()
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
        known = ", ".join(own) or "none; call 'regularize' first"
        raise NotFoundError(f"regularize: found no picture '{text}', expected one of {known}")
    return name


def picture_named(settings: Settings, workspace: Workspace, text: str) -> str:
    """A picture's number as its files have it, such as 0007 for 7.  Raises: NotFoundError."""
    return _named(text, Review(settings, workspace, workspace.record(STAGE), repair=False))


def rejections(workspace: Workspace) -> dict[str, list[str]]:
    """Why pictures were put aside: name without suffix -> reasons, as the last call left it."""
    decisions = workspace.record(STAGE).data.get("decisions", {})
    rejected = {path.stem for path in (workspace.root / "reg" / "rejected").glob("*.png")}
    return {
        name: list(decision.get("reasons", ()))
        for name, decision in sorted(decisions.items())
        if name in rejected
    }
