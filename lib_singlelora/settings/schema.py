"""Settings: declared once; form, command line, JSON, help, validation and `ss_*` metadata are
derived.

    Settings.from_dict({"training": {"rnak": 8}})
    -> SettingsError: unknown setting 'training.rnak'; did you mean 'training.rank'?
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from ..errors import SettingsError, WorkspaceError
from ..files.fileio import write_text
from ..files.names import check_name
from .captions import CaptionSettings
from .character import CharacterSettings
from .crop import CropSettings
from .declare import Declaration
from .inpaint import InpaintSettings
from .judge import JudgeSettings
from .plot import PlotSettings
from .prepare import PrepareSettings
from .regularization import RegularizationSettings
from .training import DEFAULT_PRESET, TrainingSettings

VERSION = 1
PRESETS = Path(__file__).parent / "presets"
# The user's own, not in the repository; they have lain there since before the shipped ones moved.
OWN_PRESETS = Path(__file__).parents[1] / "presets" / "own"
PRESET_KEY = "singlelora_preset"  # in a checkpoint's metadata: the preset that it wants


@dataclass(frozen=True)
class Settings:
    """Everything that can be set.

    Build it with `from_dict`, which also applies the training preset.
    """

    character: CharacterSettings = field(default_factory=CharacterSettings)
    prepare: PrepareSettings = field(default_factory=PrepareSettings)
    crop: CropSettings = field(default_factory=CropSettings)
    caption: CaptionSettings = field(default_factory=CaptionSettings)
    regularization: RegularizationSettings = field(default_factory=RegularizationSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    plot: PlotSettings = field(default_factory=PlotSettings)
    judge: JudgeSettings = field(default_factory=JudgeSettings)
    inpaint: InpaintSettings = field(default_factory=InpaintSettings)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Settings:
        """Settings from a nested mapping; what it does not name comes from the preset, then from
        the declaration.

        Raises: SettingsError, for an unknown name (with the nearest valid one), a wrong type, range
        or choice.
        """
        flat = flatten(migrate(dict(values)))
        preset = str(flat.get("training.preset", TrainingSettings.preset))
        checked = {
            name: declaration(name).check(value)
            for name, value in {**preset_values(preset), **flat}.items()
        }
        made = cls._assemble(checked)
        made.training.check()
        return made

    @classmethod
    def _assemble(cls, checked: Mapping[str, Any]) -> Settings:
        sections = {}
        for section in fields(cls):
            kind = _sections()[section.name]
            own = {
                d.key: checked[d.name]
                for d in declarations()
                if d.section == section.name and d.name in checked
            }
            sections[section.name] = kind(**own)
        made = cls(**sections)
        _check_character(made.character)
        return made

    def with_values(self, values: Mapping[str, Any]) -> Settings:
        """A copy with dotted names changed.  Raises: SettingsError, as `from_dict`."""
        return Settings.from_dict(nest({**self.changed(), **values}))

    def changed(self) -> dict[str, Any]:
        """Dotted names and values that differ from what the preset and the declarations give: what
        a person set.
        """
        base = Settings.from_dict({"training": {"preset": self.training.preset}})
        names = [d.name for d in declarations()]
        kept = {name: self.get(name) for name in names if self.get(name) != base.get(name)}
        return {**kept, "training.preset": self.training.preset}

    def changed_from_declared(self) -> dict[str, Any]:
        """Dotted names and values that differ from the declarations' own defaults, whatever the
        preset.
        """
        return {d.name: self.get(d.name) for d in declarations() if self.get(d.name) != d.default}

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values for JSON, with the version."""
        plain: dict[str, Any] = {"version": VERSION}
        for section in fields(self):
            own = dataclasses.asdict(getattr(self, section.name))
            plain[section.name] = {
                key: list(v) if isinstance(v, tuple) else v for key, v in own.items()
            }
        return plain

    def get(self, name: str) -> Any:
        """The value of a dotted name."""
        found = declaration(name)
        return getattr(getattr(self, found.section), found.key)

    def metadata(self) -> dict[str, str]:
        """The `ss_*` entries that settings declare, as kohya writes them (strings; "None" for what
        is off).
        """
        off_is_none = {
            "ss_min_snr_gamma",
            "ss_noise_offset",
            "ss_multires_noise_iterations",
            "ss_network_dropout",
            "ss_scale_weight_norms",
        }
        entries = {}
        for declared in declarations():
            if declared.ss:
                value = self.get(declared.name)
                entries[declared.ss] = (
                    "None" if not value and declared.ss in off_is_none else str(value)
                )
        return entries


def _check_character(character: CharacterSettings) -> None:
    """Raises: SettingsError, when trigger and class are one word: it would name the character and
    everyone else.
    """

    def plain(word: str) -> str:
        # Full-width letters are the same tokens.
        return " ".join(unicodedata.normalize("NFKC", word).replace("_", " ").split()).casefold()

    if character.trigger and plain(character.trigger) == plain(character.class_token):
        raise SettingsError(
            f"character.trigger: found '{character.trigger}', which is the class too, expected a"
            " word that only the character has; choose another trigger, such as a name"
        )


@cache
def _sections() -> dict[str, Any]:
    return get_type_hints(Settings)


@cache
def declarations() -> tuple[Declaration, ...]:
    """Every setting in the order of its declaration."""
    found = []
    for section, kind in _sections().items():
        hints = get_type_hints(kind)
        for item in fields(kind):
            found.append(
                Declaration(section, item.name, hints[item.name], item.default, **item.metadata)
            )
    return tuple(found)


@cache
def group_of(name: str) -> str:
    """What the setting's own class is about, for a heading: the first sentence of its docstring,
    without the full stop.
    """
    section, _, key = name.partition(".")
    kind = next(
        each
        for each in _sections()[section].__mro__
        if key in vars(each).get("__annotations__", {})
    )
    return str(kind.__doc__).strip().partition(".")[0]


def declaration(name: str) -> Declaration:
    """The declaration of a dotted name.  Raises: SettingsError, naming the nearest valid one."""
    known = {d.name: d for d in declarations()}
    if name in known:
        return known[name]
    by_key = [n for n in known if n.split(".")[1] == name.split(".")[-1]]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5) or by_key
    hint = f"; did you mean '{near[0]}'?" if near else "; see the list in --help"
    raise SettingsError(f"unknown setting '{name}'{hint}")


def flatten(values: Mapping[str, Any]) -> dict[str, Any]:
    """{"a": {"b": 1}} to {"a.b": 1}.

    Raises: SettingsError, for an unknown section or one that is no mapping.
    """
    flat = {}
    for section, own in values.items():
        if section == "version":
            continue
        if "." in section:
            flat[section] = own
        elif section not in _sections():
            declaration(section)
        elif not isinstance(own, Mapping):
            raise SettingsError(
                f"section '{section}': found {own!r}, expected a mapping of settings"
            )
        else:
            flat.update({f"{section}.{key}": value for key, value in own.items()})
    return flat


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """{"a.b": 1} to {"a": {"b": 1}}."""
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        section, _, key = name.partition(".")
        nested.setdefault(section, {})[key] = value
    return nested


# Version n -> what makes its dictionary one of version n + 1.
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


def migrate(values: dict[str, Any]) -> dict[str, Any]:
    """Bring a dictionary of an older version up to date.

    Raises: SettingsError, for a version from the future.
    """
    version = values.get("version", VERSION)
    if not isinstance(version, int) or isinstance(version, bool) or version > VERSION:
        raise SettingsError(
            f"settings of version {version!r}; this program knows up to {VERSION}: update it"
        )
    while version < VERSION:
        if version not in MIGRATIONS:
            raise SettingsError(
                f"settings of version {version}; this program knows 1 to {VERSION}: fix the number"
            )
        values = MIGRATIONS[version](values)
        version += 1
    return values


def preset_of(metadata: Mapping[str, str] | None) -> str:
    """The shipped preset that a checkpoint's metadata names, or the default."""
    name = (metadata or {}).get(PRESET_KEY, "")
    return name if name in preset_names() else DEFAULT_PRESET


def preset_names() -> list[str]:
    """The shipped presets and the user's own."""
    return sorted(
        {path.stem for folder in (PRESETS, OWN_PRESETS) for path in folder.glob("*.json")}
    )


def preset_values(name: str) -> dict[str, Any]:
    """Dotted names and values of a preset, shipped or the user's own.

    Raises: SettingsError, naming the nearest.
    """
    known = preset_names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
        raise SettingsError(
            f"unknown preset '{name}'; did you mean '{near[0]}'? There are: {', '.join(known)}"
        )
    path = next(
        file for folder in (PRESETS, OWN_PRESETS) if (file := folder / f"{name}.json").exists()
    )
    try:
        return flatten(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise SettingsError(
            f"{path}: found no preset ({error}), expected the JSON that saving one writes;"
            " delete it"
        ) from None


def save_preset(name: str, settings: Settings) -> Path:
    """Write the training section as the user's own preset: every value, so that it means the same
    when defaults change.

    Raises: SettingsError, for a name that cannot be one, or that a shipped preset has.
    """
    try:
        name = check_name(name, "preset")
    except WorkspaceError as error:
        raise SettingsError(str(error)) from None
    if (PRESETS / f"{name}.json").exists():
        raise SettingsError(
            f"preset: found '{name}', which ships with the program, expected another name; yours"
            " lie beside it"
        )
    own = {
        d.key: settings.get(d.name)
        for d in declarations()
        if d.section == "training" and d.key != "preset"
    }
    path = OWN_PRESETS / f"{name}.json"
    try:
        write_text(path, json.dumps({"training": own}, indent=1) + "\n")
    except WorkspaceError as error:
        raise SettingsError(str(error)) from None
    return path


def parse_assignment(text: str) -> tuple[str, str]:
    """`training.rank=8` to its two halves.  Raises: SettingsError."""
    name, equals, value = text.partition("=")
    if not equals:
        raise SettingsError(f"--set {text}: expected NAME=VALUE, such as training.rank=8")
    return declaration(name.strip()).name, value.strip()


def describe() -> Iterator[str]:
    """One line of help for each setting."""
    for d in declarations():
        default = ",".join(map(str, d.default)) if isinstance(d.default, tuple) else d.default
        choices = f" One of {d.allowed}." if d.choices else ""
        yield f"{d.name}={default}{' ' + d.unit if d.unit else ''}  {d.help}{choices}"
