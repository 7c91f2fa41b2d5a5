"""All settings, declared once; form, command line, JSON, help, validation and `ss_*` are derived.

Settings.from_dict({"training": {"rnak": 8}})
-> SettingsError: unknown setting 'training.rnak'; did you mean 'training.rank'?
"""

from __future__ import annotations

import dataclasses
import difflib
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, get_type_hints

from ..errors import SettingsError
from .captions import CaptionSettings
from .character import CharacterSettings
from .crop import CropSettings
from .declare import Declaration
from .inpaint import InpaintSettings
from .judge import JudgeSettings
from .loopback import LoopbackSettings
from .plot import PlotSettings
from .prepare import PrepareSettings
from .preset_files import read_preset
from .quality import QualitySettings
from .regularization import RegularizationSettings
from .training import TrainingSettings

VERSION = 1
# Version n -> what turns its dictionary into one of version n + 1.
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
# Metadata that kohya writes as "None" instead of 0.
NONE_WHEN_OFF = (
    "ss_min_snr_gamma",
    "ss_noise_offset",
    "ss_multires_noise_iterations",
    "ss_network_dropout",
    "ss_scale_weight_norms",
)


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
    loopback: LoopbackSettings = field(default_factory=LoopbackSettings)
    quality: QualitySettings = field(default_factory=QualitySettings)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Settings:
        """Settings from a nested mapping; missing ones come from the preset, then the defaults.

        Raises: SettingsError, for an unknown name (with the nearest valid one), a wrong type, range
        or choice.
        """
        flat = flatten(migrate(dict(values)))
        preset = str(flat.get("training.preset", TrainingSettings.preset))
        checked = {
            name: declaration(name).check(value)
            for name, value in {**preset_values(preset), **flat}.items()
        }
        settings = cls._assemble(checked)
        settings.training.check()
        return settings

    @classmethod
    def _assemble(cls, checked: Mapping[str, Any]) -> Settings:
        by_section: dict[str, dict[str, Any]] = {section: {} for section in _sections()}
        for declared in declarations():
            if declared.name in checked:
                by_section[declared.section][declared.key] = checked[declared.name]
        settings = cls(
            **{section: kind(**by_section[section]) for section, kind in _sections().items()}
        )
        _check_character(settings.character, settings.caption.outfit_trigger)
        return settings

    def with_values(self, values: Mapping[str, Any]) -> Settings:
        """A copy with dotted names changed.  Raises: SettingsError, as `from_dict`."""
        return Settings.from_dict(nest({**self.changed(), **values}))

    def changed(self) -> dict[str, Any]:
        """Dotted names and values that the user set: what differs from preset and defaults."""
        base = Settings.from_dict({"training": {"preset": self.training.preset}})
        names = [declared.name for declared in declarations()]
        kept = {name: self.get(name) for name in names if self.get(name) != base.get(name)}
        return {**kept, "training.preset": self.training.preset}

    def changed_from_declared(self) -> dict[str, Any]:
        """Dotted names and values that differ from the declared defaults, whatever the preset."""
        return {
            declared.name: self.get(declared.name)
            for declared in declarations()
            if self.get(declared.name) != declared.default
        }

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values for JSON, with the version."""
        plain: dict[str, Any] = {"version": VERSION}
        for section in fields(self):
            values = dataclasses.asdict(getattr(self, section.name))
            plain[section.name] = {
                key: list(value) if isinstance(value, tuple) else value
                for key, value in values.items()
            }
        return plain

    def to_preset(self) -> dict[str, Any]:
        """The training section for a preset: every value, as defaults may change later."""
        values = {
            declared.key: self.get(declared.name)
            for declared in declarations()
            if declared.section == "training" and declared.key != "preset"
        }
        return {"training": values}

    def get(self, name: str) -> Any:
        """The value of a dotted name."""
        declared = declaration(name)
        return getattr(getattr(self, declared.section), declared.key)

    def class_unshown(self) -> str:
        """Why training shows no pictures of the class, as a sentence's part; "" where it does."""
        kind = self.training.regularization
        if kind in ("pictures", "both"):
            return ""
        return f"training.regularization is '{kind}', so training shows no pictures of the class"

    def metadata(self) -> dict[str, str]:
        """The `ss_*` entries of all settings that have one, as the strings that kohya writes."""
        entries = {}
        for declared in declarations():
            if declared.ss:
                value = self.get(declared.name)
                is_off = not value and declared.ss in NONE_WHEN_OFF
                entries[declared.ss] = "None" if is_off else str(value)
        return entries


def _check_character(character: CharacterSettings, outfit_trigger: str) -> None:
    """Refuse a trigger that is the class, which would name everyone else too, and one for both.

    Raises: SettingsError.
    """

    def normalized(word: str) -> str:
        # Full-width letters are the same tokens.
        return " ".join(unicodedata.normalize("NFKC", word).replace("_", " ").split()).casefold()

    if character.trigger and normalized(character.trigger) == normalized(character.class_token):
        raise SettingsError(
            f"character.trigger: found '{character.trigger}', which is the class too, expected a"
            " word that only the character has; choose another trigger, such as a name"
        )
    words = (normalized(character.trigger), normalized(character.class_token))
    if outfit_trigger and normalized(outfit_trigger) in words:
        raise SettingsError(
            f"caption.outfit_trigger: found '{outfit_trigger}', which is the trigger or the class"
            " too, expected a word of its own, such as 'isabella dress style'"
        )


@cache
def _sections() -> dict[str, Any]:
    """Section -> its class."""
    return get_type_hints(Settings)


@cache
def declarations() -> tuple[Declaration, ...]:
    """Every setting in the order of its declaration."""
    declared = []
    for section, kind in _sections().items():
        hints = get_type_hints(kind)
        for item in fields(kind):
            declared.append(
                Declaration(section, item.name, hints[item.name], item.default, **item.metadata)
            )
    return tuple(declared)


@cache
def group_of(name: str) -> str:
    """Heading of a setting's group: the first sentence of its class's docstring, no full stop."""
    section, _, key = name.partition(".")
    kind = next(
        base
        for base in _sections()[section].__mro__
        if key in vars(base).get("__annotations__", {})
    )
    return str(kind.__doc__).strip().partition(".")[0]


@cache
def _declarations_by_name() -> dict[str, Declaration]:
    return {declared.name: declared for declared in declarations()}


def declaration(name: str) -> Declaration:
    """The declaration of a dotted name.  Raises: SettingsError, naming the nearest valid one."""
    known = _declarations_by_name()
    if name in known:
        return known[name]
    same_key = [other for other in known if other.split(".")[1] == name.split(".")[-1]]
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5) or same_key
    hint = f"did you mean '{nearest[0]}'?" if nearest else "see the list in run --help"
    raise SettingsError(f"unknown setting '{name}'; {hint}")


def flatten(values: Mapping[str, Any]) -> dict[str, Any]:
    """{"a": {"b": 1}} to {"a.b": 1}.

    Raises: SettingsError, for an unknown section or one that is no mapping.
    """
    flat = {}
    for section, content in values.items():
        if section == "version":
            continue
        if "." in section:
            flat[section] = content
        elif section not in _sections():
            declaration(section)  # raises, with the nearest name
        elif not isinstance(content, Mapping):
            raise SettingsError(
                f"section '{section}': found {content!r}, expected a mapping of settings"
            )
        else:
            flat.update({f"{section}.{key}": value for key, value in content.items()})
    return flat


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """{"a.b": 1} to {"a": {"b": 1}}."""
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        section, _, key = name.partition(".")
        nested.setdefault(section, {})[key] = value
    return nested


def migrate(values: dict[str, Any]) -> dict[str, Any]:
    """Bring a dictionary of an older version up to date.

    Raises: SettingsError, for an unknown version.
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


def preset_values(name: str) -> dict[str, Any]:
    """Dotted names and values of a preset, shipped or the user's own.

    Raises: SettingsError, as `read_preset` and `flatten`.
    """
    return flatten(read_preset(name).values)


def parse_assignment(text: str) -> tuple[str, str]:
    """`training.rank=8` as name and value.  Raises: SettingsError."""
    name, equals, value = text.partition("=")
    if not equals:
        raise SettingsError(f"--set {text}: expected NAME=VALUE, such as training.rank=8")
    return declaration(name.strip()).name, value.strip()


def describe() -> Iterator[str]:
    """One line of help for each setting, with its value in a new workspace."""
    new = Settings.from_dict({})
    for declared in declarations():
        unit = f" {declared.unit}" if declared.unit else ""
        choices = f" One of {declared.allowed}." if declared.choices else ""
        value = declared.text_of(new.get(declared.name))
        yield f"{declared.name}={value}{unit}  {declared.help}{choices}"
