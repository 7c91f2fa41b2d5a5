"""Whose training preset a workspace has, and why.

One rule for the page, HTTP and the command line: while the user has named no preset and no training
has begun, it is the one that the loaded checkpoint asks for, asked again whenever a job begins or
settings change.  What was set by hand wins over every preset.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..host import AskedPreset
from ..settings.preset_files import AUTO
from ..settings.schema import Settings
from ..settings.training import DEFAULT_PRESET
from .preset_origin import CHECKPOINT, FILE, NOBODY, PRESET, USER, PresetOrigin, reason
from .workspace import Workspace


@dataclass(frozen=True)
class PresetChoice:
    """A workspace's preset for the user.

    name: the preset.
    whose: who named it, as in PresetOrigin.
    why: a clause that follows "because".
    note: what the user should know, a sentence; "" for nothing.
    """

    name: str
    whose: str
    why: str
    note: str = ""

    @property
    def is_named(self) -> bool:
        """True if no checkpoint may change the preset."""
        return self.whose in (USER, FILE)

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.name}, because {self.why}" + (f". {self.note}" if self.note else "")


def set_by_hand(
    saved: Settings, origin: PresetOrigin, values: Mapping[str, Any]
) -> tuple[Settings, PresetOrigin]:
    """The settings with values that the user gave, by dotted names.

    With another preset, what was set by hand before stays.  With AUTO in place of a preset's name
    the preset follows the checkpoint again.  Raises: SettingsError.
    """
    if values.get(PRESET) == AUTO:
        values = without_auto(values)
        origin = replace(origin, whose=NOBODY, checkpoint="")
    new = saved.with_values({**(origin.kept(saved) if PRESET in values else {}), **values})
    return new, origin.after(saved, new, values)


def without_auto(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values without a preset where AUTO stands for its name, which is none."""
    return {name: value for name, value in values.items() if (name, value) != (PRESET, AUTO)}


def followed(
    settings: Settings, origin: PresetOrigin, asked: AskedPreset, begun: bool
) -> tuple[Settings, PresetOrigin]:
    """The settings with the preset that the loaded checkpoint asks for.

    They stay as they are where the user named a preset, where no checkpoint is loaded, and once
    training has begun.

    Raises: SettingsError, for a preset of the user's own that is broken.
    """
    if begun or not asked.checkpoint:
        return settings, origin
    origin = replace(origin, checkpoint=asked.checkpoint)
    if origin.is_named:
        return settings, origin
    return _with_preset(settings, origin, asked.name), replace(origin, whose=CHECKPOINT)


def _with_preset(settings: Settings, origin: PresetOrigin, name: str) -> Settings:
    if name == settings.training.preset:
        return settings
    return settings.with_values({**origin.kept(settings), PRESET: name})


def has_begun(workspace: Workspace, settings: Settings) -> bool:
    """True if training has begun, or goes on from a LoRA that another one began."""
    return bool(workspace.record("train").fingerprint or settings.training.start_from)


def current(workspace: Workspace, asked: AskedPreset) -> tuple[Settings, PresetChoice]:
    """The settings as a job that begins now would use them, and whose preset they have."""
    saved, origin = workspace.load_settings_and_origin()
    begun = has_begun(workspace, saved)
    settings, origin = followed(saved, origin, asked, begun)
    return settings, choice_of(settings, origin, asked, begun)


def settle(
    workspace: Workspace,
    asked: AskedPreset,
    change: Callable[[Settings, PresetOrigin], tuple[Settings, PresetOrigin]],
    checkpoint: Path | None = None,
) -> tuple[Settings, PresetChoice]:
    """Change the settings, let the preset follow the checkpoint, and save both in one step.

    Raises: SettingsError, and whatever `change` raises; nothing is changed then.
    """
    choices = []

    def settled(saved: Settings, origin: PresetOrigin) -> tuple[Settings, PresetOrigin]:
        was_named = origin.is_named
        new, origin = change(saved, origin)
        begun = has_begun(workspace, new)
        # Who asks to follow the checkpoint again asks for its preset now
        new, origin = followed(new, origin, asked, begun and not (was_named > origin.is_named))
        choices.append(choice_of(new, origin, asked, begun))
        return new, origin

    settings = workspace.change_with_origin(settled, checkpoint)
    return settings, choices[-1]


def settle_for_job(workspace: Workspace, asked: AskedPreset) -> tuple[Settings, PresetChoice]:
    """The same for a job that begins, with a line in the log where the preset changed."""
    before = workspace.load_settings().training.preset
    settings, choice = settle(workspace, asked, lambda saved, origin: (saved, origin))
    if choice.name != before:
        workspace.events.write("preset", **choice.as_dict())
    return settings, choice


def change_by_form(
    saved: Settings, origin: PresetOrigin, values: Mapping[str, Any], named: bool
) -> tuple[Settings, PresetOrigin]:
    """The settings with all fields of a form.

    values: by dotted names, with the preset on which the form is based.
    named: the user chose that preset; else it is the form's, and what the user changed on top of it
        goes on top of the saved one.
    Raises: SettingsError.
    """
    new = saved.with_values(values)
    # What stands as it was saved was set by hand if it was before; the rest is the form's.
    by_hand = tuple(name for name in origin.by_hand if new.get(name) == saved.get(name))
    origin = replace(origin, by_hand=by_hand)
    if named:
        is_old = origin.whose == FILE and new.training.preset == saved.training.preset
        return new, replace(origin.after(saved, new), whose=FILE if is_old else USER)
    new = _with_preset(new, origin, saved.training.preset)
    return new, origin.after(saved, new)


def choice_of(
    settings: Settings, origin: PresetOrigin, asked: AskedPreset | None = None, begun: bool = False
) -> PresetChoice:
    """Whose preset it is, in words.

    asked: by the checkpoint that is loaded now; None where that is not known.
    begun: training has begun.
    """
    name = settings.training.preset
    note = _note(name, origin, asked, begun) if asked and asked.checkpoint else ""
    return PresetChoice(name, origin.whose, reason(name, origin, begun), note)


def _note(name: str, origin: PresetOrigin, asked: AskedPreset, begun: bool) -> str:
    """What to know of the loaded checkpoint, where it asks for another preset or is another."""
    if origin.is_named:
        if asked.name in (name, DEFAULT_PRESET):
            return ""
        return f"The loaded checkpoint '{asked.checkpoint}' asks for '{asked.name}'"
    if not begun or asked.checkpoint == origin.checkpoint:
        return ""
    now = f"The checkpoint changed since: '{asked.checkpoint}' asks for '{asked.name}'"
    if asked.name == name:
        return f"{now} too"
    return f"{now}. As training has begun, the preset stays unless you choose another"
