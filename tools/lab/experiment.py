"""An experiment, as its file says it: what varies, on which characters, with which seeds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_singlelora.files.fileio import fingerprint
from lib_singlelora.settings.schema import Settings

from .subjects import Subject, known_subjects

KEYS = frozenset("about common recipes characters seeds strengths compare_with".split())


@dataclass(frozen=True)
class Recipe:
    """The settings of a training, beside those that all of an experiment share."""

    name: str
    about: str
    values: dict[str, Any]

    def settings(self, subject: Subject, seed: int) -> Settings:
        """The whole settings of one training."""
        return Settings.from_dict(
            {
                "character.trigger": subject.name,
                "character.class_token": "girl",
                "training.preset": "embedded",
                "training.seed": seed,
                **self.values,
            }
        )


@dataclass(frozen=True)
class Run:
    """One training of an experiment."""

    subject: Subject
    recipe: Recipe
    seed: int

    @property
    def key(self) -> str:
        """The name of its folder; the same for the same settings, whatever the experiment."""
        values = fingerprint(self.recipe.values)[:10]
        return f"{self.subject.name}-{self.seed}-{values}"


@dataclass(frozen=True)
class Experiment:
    """name: of its file.  compare_with: the recipe beside which the others are shown."""

    name: str
    about: str
    recipes: tuple[Recipe, ...]
    subjects: tuple[Subject, ...]
    seeds: tuple[int, ...]
    strengths: tuple[float, ...]
    compare_with: str

    def runs(self) -> list[Run]:
        """All trainings: every recipe on one character before the next, one seed before the next.

        So what is finished early can be compared.
        """
        return [
            Run(subject, recipe, seed)
            for seed in self.seeds
            for subject in self.subjects
            for recipe in self.recipes
        ]


def read_experiment(path: Path) -> Experiment:
    """The experiment of a JSON file.

    recipes: each name gives settings; the key `about` is its description.
    common: settings that all recipes start from.
    characters: names, `all`, `rendered` or `drawings`.
    Raises: SystemExit, for what the file should not hold.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SystemExit(f"{path}: found {error}, expected an experiment as JSON") from error
    if not isinstance(data, dict) or not isinstance(data.get("recipes"), dict):
        raise SystemExit(f"{path}: found no recipes, expected a JSON object with some by name")
    if wrong := sorted(set(data) - KEYS):
        raise SystemExit(f"{path}: found {', '.join(wrong)}, expected {', '.join(sorted(KEYS))}")
    common = data.get("common", {})
    recipes = tuple(
        Recipe(
            name,
            values.get("about", ""),
            {**common, **{key: value for key, value in values.items() if key != "about"}},
        )
        for name, values in data["recipes"].items()
    )
    names = [recipe.name for recipe in recipes]
    compare_with = data.get("compare_with", names[0])
    if compare_with not in names:
        raise SystemExit(f"{path}: compare_with is {compare_with!r}, expected one of {names}")
    return Experiment(
        path.stem,
        data.get("about", ""),
        recipes,
        _subjects(data.get("characters", "rendered"), path),
        tuple(data.get("seeds", (1, 2, 3))),
        tuple(data.get("strengths", (0.7, 1.0))),
        compare_with,
    )


def _subjects(given: str | list[str], path: Path) -> tuple[Subject, ...]:
    known = known_subjects()
    groups = {
        "all": list(known),
        "rendered": [name for name, subject in known.items() if subject.character],
        "drawings": [name for name, subject in known.items() if not subject.character],
    }
    names = groups.get(given, [given]) if isinstance(given, str) else given
    if wrong := [name for name in names if name not in known]:
        raise SystemExit(
            f"{path}: found no character {', '.join(wrong)}, expected some of {', '.join(known)}"
        )
    return tuple(known[name] for name in names)
