"""Prompts from a dynamicprompts template, one new draw for each picture.

dynamicprompts leaves what it does not know in the prompt as it is; here that is an error, told before any drawing.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

from dynamicprompts.generators import RandomPromptGenerator
from dynamicprompts.wildcards import WildcardManager
from pyparsing import ParseBaseException

from ..errors import WildcardError

SHIPPED = Path(__file__).parent / "wildcards"
_WILDCARD = re.compile(r"__([^\s{}$#(]+?)(?:\([^)]*\))?__")
_BRACED = re.compile(r"\{+\s*([\w/.-]+?)\s*\}+")


class WildcardPrompts:
    """Draws prompts from a template.

    folders: the user's own wildcard folders; a name that they have hides the shipped one.
    Raises: WildcardError, for an unknown wildcard, a mistaken `{{expression_wildcard}}`, a cycle, or a file that is not
    UTF-8.
    """

    def __init__(self, template: str, folders: Iterable[Path] = ()) -> None:
        self.template = template
        own = [folder for folder in folders if folder.is_dir()]
        self._manager = WildcardManager(root_map={"": [SHIPPED, *own]})  # Of equal names the last one counts.
        self._checked: set[str] = set()
        if not template.strip():
            raise WildcardError("template: found nothing, expected a prompt such as '1girl, solo, __expression__'")
        self.names = sorted(self._manager.get_collection_names())
        self._check_braces(template)
        self._check_wildcards(template, ())
        self.draw(0)

    def draw(self, seed: int) -> str:
        """The prompt of a seed; the same seed gives the same prompt.  Raises: WildcardError."""
        generator = RandomPromptGenerator(self._manager)
        try:
            prompt = generator.generate(self.template, 1, seeds=[seed])[0]
        except (ParseBaseException, ValueError, KeyError, RecursionError, StopIteration, IndexError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise WildcardError(f"template: cannot be resolved ({reason}); check its braces and variables") from None
        return re.sub(r"\s*,(\s*,)+", ",", re.sub(r"\s+", " ", prompt)).strip(" ,")

    def _check_braces(self, template: str) -> None:
        for found in _BRACED.finditer(template):
            word = found.group(1).strip("_")
            name = word.removesuffix("_wildcard")
            if name != word or name in self.names:
                near = self._nearest(name)
                raise WildcardError(f"template: found '{found.group(0)}', which dynamicprompts takes literally; "
                                    f"write '__{near or name}__'") from None

    def _check_wildcards(self, text: str, chain: tuple[str, ...]) -> None:
        for found in _WILDCARD.finditer(text):
            name = found.group(1).lstrip("~@")
            if name in chain:
                way = " → ".join((*chain[chain.index(name):], name))
                raise WildcardError(f"wildcard '{name}': found a cycle ({way}), expected an end; take one of them out")
            if name in self._checked:
                continue
            values = self._values(name)
            if not values:
                near = self._nearest(name)
                meant = f"did you mean '__{near}__'? " if near else ""
                raise WildcardError(f"unknown wildcard '__{name}__'; {meant}There are: {', '.join(self.names)}")
            for value in values:
                self._check_wildcards(value, (*chain, name))
            self._checked.add(name)

    def _values(self, name: str) -> list[str]:
        for collection in self._manager.match_collections(name):
            path = getattr(collection, "_path", None)
            if isinstance(path, Path):
                _check_encoding(path)
        return [str(value) for value in self._manager.get_values(name).string_values]

    def _nearest(self, name: str) -> str | None:
        found = difflib.get_close_matches(name, self.names, n=1, cutoff=0.0)
        return found[0] if found else None


def wildcard_folders(names: Iterable[str]) -> list[Path]:
    """The user's own folders.  Raises: WildcardError, for one that is not there."""
    found = [Path(name).expanduser() for name in names]
    for folder in found:
        if not folder.is_dir():
            raise WildcardError(f"regularization.wildcards: found no folder '{folder}', expected one with .txt files; check the "
                                "path")
    return found


def _check_encoding(path: Path) -> None:
    """Raises: WildcardError, when a file is not UTF-8; dynamicprompts would drop the letters."""
    try:
        path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise WildcardError(f"{path.name}: found a byte that is not UTF-8 (position {error.start}), expected UTF-8; "
                            "save the file as UTF-8") from None
    except OSError as error:
        raise WildcardError(f"{path}: cannot be read ({error.strerror}); mend it or take it away") from None
