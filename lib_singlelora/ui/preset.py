"""The page's training preset: whose it is and why, and the fields that follow it.

The checkpoint may change at any time after the page was built.  The page's poll writes the sentence
about the preset anew; when that changes, the fields follow, but for those that were changed by
hand.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

import gradio as gr

from ..errors import SingleLoraError
from ..service.service import Service
from ..settings.preset_files import preset_names
from ..settings.schema import Settings, preset_values
from ..workspace.preset_origin import PRESET
from ..workspace.training_preset import PresetChoice
from . import compat
from .forms import as_field_value

State = dict[str, Any]  # base: the preset that the fields are based on; named: the user chose it


class PresetView:
    """The sentence, and the fields of training and of what else presets set.

    fields: dotted name -> component, filled while the page is built.
    choice: the preset that the form starts with.
    """

    def __init__(self, service: Service, fields: Mapping[str, Any], choice: PresetChoice) -> None:
        self.service = service
        self.fields = fields
        self.first = choice

    def build(self) -> None:
        """The sentence where everyone sees it, below the button that runs everything."""
        self.state = gr.State(self.state_of(self.first))
        self.sentence_shown = compat.html(_html(str(self.first)), "singlelora_preset")

    def build_beside(self) -> None:
        """The sentence beside the field."""
        self.beside = compat.html(_html(str(self.first)), "singlelora_preset_beside")

    @property
    def words(self) -> list[Any]:
        """The components of the sentence."""
        return [self.sentence_shown, self.beside]

    @property
    def outputs(self) -> list[Any]:
        """What `show` fills."""
        return [self.state, *self.words]

    def events(self, workspace: Any) -> None:
        """Follow the user's choice and the checkpoint.  workspace: its field."""
        preset = self.fields[PRESET]
        following = [self.fields[name] for name in self._following()]
        inputs = {workspace, self.state, preset, *following}
        outputs = [preset, *following, *self.outputs]

        def chosen(values: dict[Any, Any]) -> list[Any]:
            state = {"base": values[preset], "named": True}
            return [gr.update(), *self._fill(values, values[preset]), *self.show("", state)]

        def follow(values: dict[Any, Any]) -> list[Any]:
            name = self._name(values[workspace])
            state: State = values[self.state]
            choice = self._choice(name, state)
            if state["named"] or choice is None or choice.name == state["base"]:
                return [gr.update() for _ in outputs]
            filled = self._fill(values, choice.name, name)
            return [choice.name, *filled, *self.show(name, self.state_of(choice))]

        # `input`, not `change`: filling the form from a workspace must not overwrite its values
        # with the preset's.
        preset.input(chosen, inputs, outputs, **compat.quiet())
        self.sentence_shown.change(follow, inputs, outputs, **compat.quiet())

    def state_of(self, choice: PresetChoice) -> State:
        """The state of a form that was filled with this choice."""
        return {"base": choice.name, "named": choice.is_named}

    def is_named(self, values: Mapping[Any, Any]) -> bool:
        """True if the user chose the form's preset."""
        state: State = values[self.state]
        # The answer to the choice may still be on its way.
        return bool(state["named"] or values[self.fields[PRESET]] != state["base"])

    def show(self, name: str, state: State) -> list[Any]:
        """Values of `outputs`.  name: the workspace, "" for a new one."""
        return [state, *self.html(self.sentence(name, state))]

    def html(self, sentence: str) -> list[Any]:
        """Values of `words`."""
        return [_html(sentence)] * 2

    def sentence(self, name: str, state: State) -> str:
        """Whose preset the form has, and why, in one line.

        name: the workspace, "" for a new one.
        """
        choice = self._choice(name, state)
        return " ".join(str(choice).split()) if choice else ""

    def _choice(self, name: str, state: State) -> PresetChoice | None:
        """Whose preset the form has; None where the workspace cannot tell."""
        try:
            return self.service.preset_of_form(
                self._name(name), state["base"] if state["named"] else ""
            )
        except (SingleLoraError, OSError):
            return None  # it was deleted, or its settings are damaged: told where they are needed

    def _name(self, name: str) -> str:
        return name if name in self.service.names() else ""

    def _following(self) -> list[str]:
        """Every training setting, and those of other stages that some preset sets."""
        in_presets = {name for preset in preset_names() for name in preset_values(preset)}
        return [
            name
            for name in self.fields
            if name != PRESET and (name.startswith("training.") or name in in_presets)
        ]

    def _fill(self, values: Mapping[Any, Any], preset: str, name: str = "") -> list[Any]:
        """Values of the following fields with this preset; those changed by hand stay.

        name: the workspace, which knows what was set by hand to a preset's own value.
        """
        before = _of_preset(values[self.state]["base"])
        after = _of_preset(preset)
        by_hand = self.service.set_by_hand(name) if name else {}
        filled = []
        for setting in self._following():
            shown = values[self.fields[setting]]
            changed = not _equal(shown, as_field_value(before.get(setting)))
            kept = setting in by_hand and _equal(shown, as_field_value(by_hand[setting]))
            filled.append(gr.update() if changed or kept else as_field_value(after.get(setting)))
        return filled


def _of_preset(name: str) -> Settings:
    return Settings.from_dict({PRESET: name})


def _equal(shown: Any, value: Any) -> bool:
    """True if a field shows this value; a field of numbers may give 16.0 for 16, or text."""
    return bool(shown == value) or str(shown) == str(value)


def _html(sentence: str) -> str:
    """'embedded, because …' as HTML."""
    if not sentence:
        return ""
    name, _, why = sentence.partition(", ")
    return (
        f'<p class="singlelora-preset">Preset: <b>{html.escape(name)}</b>, {html.escape(why)}.</p>'
    )
