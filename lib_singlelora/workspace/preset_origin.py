"""Who named a workspace's training preset, as settings.json keeps it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..errors import WorkspaceError
from ..settings.schema import Settings, declarations
from ..settings.training import DEFAULT_PRESET
from .stage_record import check

PRESET = "training.preset"
# Who named a preset: the user, the checkpoint's metadata, nobody as no checkpoint was loaded, or a
# settings file from before this was recorded.
USER = "user"
CHECKPOINT = "checkpoint"
NOBODY = "nobody"
FILE = "file"
SHAPE = {"whose": str, "checkpoint": str, "by_hand": [str], "*": None}


@dataclass(frozen=True)
class PresetOrigin:
    """Who named a workspace's preset, as settings.json keeps it.

    whose: USER, CHECKPOINT, NOBODY or FILE.
    checkpoint: the name of the checkpoint that was loaded then, "" for none.
    by_hand: dotted names that were set by hand, also to the preset's own value.
    """

    whose: str = NOBODY
    checkpoint: str = ""
    by_hand: tuple[str, ...] = ()

    @property
    def is_named(self) -> bool:
        """True if no checkpoint may change the preset."""
        return self.whose in (USER, FILE)

    def kept(self, settings: Settings) -> dict[str, Any]:
        """What was set by hand."""
        return {name: settings.get(name) for name in self.by_hand}

    def after(self, saved: Settings, new: Settings, given: Collection[str] = ()) -> PresetOrigin:
        """The origin once the user changed settings.

        given: dotted names that were given, also where their values are no others.
        """
        renamed = PRESET in given or new.training.preset != saved.training.preset
        names = {*self.by_hand, *given}
        if new.training.preset == saved.training.preset:
            names |= {d.name for d in declarations() if new.get(d.name) != saved.get(d.name)}
        by_hand = sorted(name for name in names - {PRESET} if not name.startswith("character."))
        return replace(self, whose=USER if renamed else self.whose, by_hand=tuple(by_hand))

    def as_dict(self, preset: str) -> dict[str, Any]:
        """For settings.json, with the reason in words.  preset: its name."""
        return {**asdict(self), "why": reason(preset, self), "by_hand": list(self.by_hand)}


def read_origin(values: object, names_a_preset: bool) -> PresetOrigin:
    """The origin in a settings file.

    values: of its key "preset", None where it has none.
    names_a_preset: whether its settings do.
    Raises: WorkspaceError, for values of another kind.
    """
    if values is None:
        return PresetOrigin(FILE if names_a_preset else NOBODY)
    check(values, SHAPE, "preset")
    assert isinstance(values, dict)
    if values["whose"] not in (USER, CHECKPOINT, NOBODY, FILE):
        raise WorkspaceError(
            f"preset, whose: found {values['whose'][:60]!a}, expected {USER}, {CHECKPOINT},"
            f" {NOBODY} or {FILE}"
        )
    known = {declared.name for declared in declarations()} - {PRESET}
    by_hand = tuple(name for name in values["by_hand"] if name in known)
    return PresetOrigin(values["whose"], values["checkpoint"], by_hand)


def reason(name: str, origin: PresetOrigin, begun: bool = False) -> str:
    """Why it is this preset, a clause that follows "because".

    begun: training has begun.
    """
    if origin.whose == USER:
        return "you chose it"
    if origin.whose == FILE:
        return "settings.json names it; whose choice it was is not recorded there"
    if origin.whose == NOBODY:
        return "no checkpoint was loaded yet; it will be that of the one you load"
    if begun:
        return f"the checkpoint '{origin.checkpoint}' asked for it when training began"
    if name == DEFAULT_PRESET:
        return f"the loaded checkpoint '{origin.checkpoint}' asks for no other (its metadata)"
    return f"the loaded checkpoint '{origin.checkpoint}' asks for it (its metadata)"
