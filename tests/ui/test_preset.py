"""The page's form follows the checkpoint's preset; what was changed by hand stays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

pytest.importorskip("gradio")

import gradio as gr

from lib_singlelora.host import AskedPreset, Host
from lib_singlelora.service.service import Service
from lib_singlelora.settings.schema import Settings
from lib_singlelora.ui.forms import fields_of, values_of
from lib_singlelora.ui.page import NEW
from lib_singlelora.ui.preset import PresetView
from lib_singlelora.workspace.stage_record import StageRecord

PICTURE = Path(__file__).parent.parent / "data" / "astronaut.png"
EMBEDDED = AskedPreset("embedded", "singlelora")
FULL = AskedPreset("recommended", "v1-5")


@dataclass
class SwitchedHost:
    """A host whose checkpoint the user switches."""

    asked_preset: AskedPreset


class Form:
    """The page's fields as a browser holds them: values by component."""

    def __init__(self, service: Service) -> None:
        self.service = service
        settings, choice = service.settings_and_preset()
        self.fields: dict[str, Any] = {}
        self.view = PresetView(service, self.fields, choice)
        with gr.Blocks() as blocks:
            self.workspace = gr.Dropdown([NEW], value=NEW)
            self.view.build()
            self.view.build_beside()
            for section in ("caption", "training", "regularization"):
                self.fields.update(fields_of(section, settings))
            self.view.events(self.workspace)
        self.values = dict(zip(self.fields.values(), values_of(settings, self.fields), strict=True))
        self.values |= {self.workspace: NEW, self.view.state: self.view.state_of(choice)}
        self.handlers = [
            function.fn
            for function in (blocks.fns.values() if isinstance(blocks.fns, dict) else blocks.fns)
        ]

    def __getitem__(self, name: str) -> Any:
        return self.values[self.fields[name]]

    def type(self, name: str, value: object) -> None:
        self.values[self.fields[name]] = value

    def answer(self, number: int) -> None:
        """Take in what a handler answers: 0 to a chosen preset, 1 to another sentence."""
        following = [self.fields[name] for name in self.view._following()]
        outputs = [self.fields["training.preset"], *following, *self.view.outputs]
        for component, value in zip(outputs, self.handlers[number](self.values), strict=True):
            if not (isinstance(value, dict) and "__type__" in value):
                self.values[component] = value

    def choose_preset(self, name: str) -> None:
        self.type("training.preset", name)
        self.answer(0)

    def poll(self) -> str:
        name = self.values[self.workspace]
        sentence = self.view.sentence("" if name == NEW else name, self.values[self.view.state])
        self.answer(1)
        return sentence

    def open(self, name: str) -> None:
        self.values[self.workspace] = name
        settings, choice = self.service.settings_and_preset(name)
        self.values |= dict(
            zip(self.fields.values(), values_of(settings, self.fields), strict=True)
        )
        self.values[self.view.state] = self.view.state_of(choice)


@pytest.fixture
def host() -> SwitchedHost:
    return SwitchedHost(AskedPreset())


@pytest.fixture
def form(host: SwitchedHost, tmp_path: Path) -> Form:
    return Form(Service(cast(Host, host), lambda: tmp_path / "workspaces"))


def test_the_form_takes_the_preset_of_a_checkpoint_that_came_later(
    form: Form, host: SwitchedHost
) -> None:
    assert "no checkpoint was loaded yet" in form.poll()
    assert (form["training.preset"], form["training.rank"]) == ("recommended", 16)
    host.asked_preset = EMBEDDED
    assert form.poll() == (
        "embedded, because the loaded checkpoint 'singlelora' asks for it (its metadata)"
    )
    assert (form["training.preset"], form["training.rank"]) == ("embedded", 32)
    assert (form["training.buckets"], form["caption.outfit"]) == (False, "prune")
    host.asked_preset = FULL
    assert "'v1-5' asks for no other" in form.poll()
    assert (form["training.preset"], form["training.rank"]) == ("recommended", 16)
    assert form["training.buckets"] is True


def test_what_was_changed_by_hand_stays_when_the_preset_changes(
    form: Form, host: SwitchedHost
) -> None:
    form.type("training.rank", 7)
    host.asked_preset = EMBEDDED
    form.poll()
    assert (form["training.rank"], form["training.alpha"]) == (7, 32)
    form.choose_preset("quick")
    assert (form["training.rank"], form["training.alpha"], form["training.epochs"]) == (7, 8, 4)


def test_a_chosen_preset_stays_and_the_sentence_says_what_the_checkpoint_asks_for(
    form: Form, host: SwitchedHost
) -> None:
    form.choose_preset("article")
    host.asked_preset = EMBEDDED
    assert form.poll() == (
        "article, because you chose it. The loaded checkpoint 'singlelora' asks for 'embedded'"
    )
    assert (form["training.preset"], form["training.text_encoder_lr"]) == ("article", 0.0005)
    assert form.view.is_named(form.values)


def test_a_choice_whose_answer_is_on_its_way_counts(form: Form) -> None:
    assert not form.view.is_named(form.values)
    form.type("training.preset", "quick")
    assert form.view.is_named(form.values)


def test_an_open_workspace_follows_until_its_training_has_begun(
    form: Form, host: SwitchedHost
) -> None:
    host.asked_preset = EMBEDDED
    name = form.service.start(PICTURE, "eileen", "woman")
    form.service.change(name, {"training.alpha": 32})  # by hand, though it is the preset's own
    form.open(name)
    assert (form["training.preset"], form["training.rank"]) == ("embedded", 32)
    host.asked_preset = FULL
    form.poll()
    assert (form["training.preset"], form["training.rank"]) == ("recommended", 16)
    assert form["training.alpha"] == 32
    form.service.change(name, {"plot.steps": 9})
    form.service.workspace(name).save_record(StageRecord("train", "begun"))
    host.asked_preset = EMBEDDED
    form.open(name)
    assert "As training has begun" in form.poll()
    assert form["training.preset"] == "recommended"


def test_a_deleted_workspace_and_a_broken_file_leave_the_form_alone(form: Form) -> None:
    name = form.service.start(PICTURE, "eileen", "woman")
    form.open(name)
    form.service.workspace(name).settings_file.write_text("{", encoding="utf-8")
    assert form.poll() == "" and form["training.preset"] == "recommended"
    form.service.workspace(name).settings_file.unlink()
    assert "no checkpoint was loaded yet" in form.poll()


def test_a_form_sent_off_before_it_followed_is_trained_with_the_checkpoints_preset(
    form: Form, host: SwitchedHost
) -> None:
    host.asked_preset = EMBEDDED
    form.type("training.epochs", 2)
    name = form.service.start(PICTURE, "eileen", "woman")
    given = {setting: form[setting] for setting in form.fields}
    saved = form.service.change_by_form(name, given, form.view.is_named(form.values))
    expected = Settings.from_dict(
        {
            "training": {"preset": "embedded", "epochs": 2},
            "character": {"trigger": "eileen", "class_token": "woman"},
        }
    )
    assert saved == expected
