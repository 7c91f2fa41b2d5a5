"""The page: the picture, each stage's settings, the job panel, the results.

Its texts stand beside their fields here and in the other files of this room; the labels and help of
settings are in `settings/`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from ..errors import SingleLoraError
from ..jobs import Ticket
from ..service.service import RUN, Handover, Service, view_of
from . import compat, job_panel
from .dataset import DatasetView
from .forms import STAGE_OF, TITLES, fields_of, values_of
from .lora_files import LoraFilesView
from .preset import PresetView

NEW = "(new character)"
POLL = 1.0  # seconds
SHOWN = 24  # newest pictures in the gallery


@dataclass(frozen=True)
class Send:
    """A place that takes a result, such as the WebUI's img2img.

    outputs: its gradio components.
    values: the values for them.
    script: JavaScript that switches to its tab.
    """

    label: str
    elem_id: str
    outputs: Sequence[Any]
    values: Callable[[Handover], list[Any]]
    script: str


@dataclass(frozen=True)
class Action:
    """Something that only this host can do.

    run: does it; returns a line for the user.
    """

    label: str
    elem_id: str
    run: Callable[[], str]


@dataclass(frozen=True)
class Extras:
    """What a host adds to the page.

    sends: places that take a result.
    actions: further buttons.
    lacking: missing package -> the command that installs it.
    """

    sends: Sequence[Send] = ()
    actions: Sequence[Action] = ()
    lacking: Mapping[str, str] = field(default_factory=dict)


def build(service: Service, extras: Extras | None = None) -> None:
    """Put the page into the gradio block that is open."""
    _Page(service, extras or Extras()).build()


def tab(service: Service, extras: Extras) -> Any:
    """The page as a block of its own, as the WebUI wants a tab."""
    with gr.Blocks(analytics_enabled=False) as blocks:
        build(service, extras)
    return blocks


class _Page:
    def __init__(self, service: Service, extras: Extras) -> None:
        self.service = service
        self.extras = extras
        self.first, choice = service.settings_and_preset()
        self.fields: dict[str, Any] = {}
        self.preset = PresetView(service, self.fields, choice)

    def build(self) -> None:
        if self.extras.lacking:
            compat.html(job_panel.lacking(self.extras.lacking), "singlelora_lacking")
        with gr.Row(elem_id="singlelora_columns"):
            with gr.Column(scale=1, min_width=320):
                self._character()
                stages = self._stages()
            self.dataset = DatasetView(self.service, self.workspace, self.fields)
            self.bench = LoraFilesView(self.service, self.workspace)
            with gr.Column(scale=1, min_width=320):
                self._panel()
                self.dataset.build()
                self._results()
                self.bench.build()
        self._events(stages)

    # Parts
    # ------------------------------------------------------------

    def _character(self) -> None:
        self.workspace = compat.unsaved(
            gr.Dropdown(
                [NEW, *self.service.names()],
                value=NEW,
                label="Workspace",
                elem_id="singlelora_workspace",
                info="Continue with a character, or start a new one.",
            )
        )
        self.picture = compat.picture("Picture of the character", "singlelora_picture", height=300)
        with gr.Row():
            self.trigger = compat.unsaved(
                gr.Textbox(
                    label="Trigger",
                    elem_id="singlelora_trigger",
                    max_lines=1,
                    info="Word that will stand for the character in prompts.",
                )
            )
            self.class_token = compat.unsaved(
                gr.Textbox(
                    "girl",
                    label="Class",
                    elem_id="singlelora_class",
                    max_lines=1,
                    info="What the character is: girl, boy, woman, dragon.",
                )
            )
        self.everything = gr.Button("Run everything", variant="primary", elem_id="singlelora_run")
        self.preset.build()
        self.note = compat.html("", "singlelora_note")

    def _stages(self) -> dict[str, Any]:
        buttons = {}
        self.force = compat.unsaved(
            gr.Checkbox(
                False,
                label="Redo finished stages, overwriting manual edits",
                elem_id="singlelora_force",
            )
        )
        for section, title in TITLES.items():
            stage = STAGE_OF.get(section, section)
            with gr.Accordion(title, open=False, elem_id=f"singlelora_{stage}"):
                if section == "training":
                    self.preset.build_beside()
                self.fields.update(fields_of(section, self.first))
                if section == "inpaint":
                    self.inpaint_picture = compat.picture(
                        "Picture to inpaint (empty: the prepared one)",
                        "singlelora_inpaint_picture",
                        height=200,
                    )
                    self.inpaint_mask = compat.picture(
                        "Mask, white is redrawn (empty: the head)",
                        "singlelora_inpaint_mask",
                        height=200,
                    )
                    self.suggest = gr.Button(
                        "Suggest a prompt", elem_id="singlelora_suggest", size="sm"
                    )
                if section == "plot":
                    self.plan = gr.Button(
                        "How long will it take?", elem_id="singlelora_plan", size="sm"
                    )
                    self.show_presets = gr.Button(
                        "Show the block presets", elem_id="singlelora_show_presets", size="sm"
                    )
                    self.presets = gr.Image(
                        label="Block presets",
                        type="filepath",
                        elem_id="singlelora_presets",
                        interactive=False,
                        visible=False,
                    )
                buttons[stage] = gr.Button(f"Run only: {title}", elem_id=f"singlelora_run_{stage}")
        self.action_buttons = [
            (action, gr.Button(action.label, elem_id=action.elem_id))
            for action in self.extras.actions
        ]
        return buttons

    def _panel(self) -> None:
        self.job = compat.html(self._job_html(), "singlelora_job")
        self.cancel = gr.Button("Cancel", elem_id="singlelora_cancel", variant="stop")
        self.newest = gr.Gallery(
            label="Newest pictures", elem_id="singlelora_newest", columns=4, height=260
        )

    def _results(self) -> None:
        self.results = compat.html("", "singlelora_results")
        self.sheet = gr.Image(
            label="Sheet",
            show_label=False,
            type="filepath",
            elem_id="singlelora_sheet",
            interactive=False,
            visible=False,
        )
        self.page_file = gr.File(
            label="Sheet as a page", elem_id="singlelora_page", interactive=False, visible=False
        )
        self.inpainted = gr.Gallery(
            label="Inpainted", elem_id="singlelora_inpainted", columns=4, height=260, visible=False
        )
        with gr.Row(visible=False, elem_id="singlelora_chosen") as self.chosen_row:
            self.keep = gr.Button("Keep the chosen picture", elem_id="singlelora_keep")
            self.again = gr.Button("Train on it too: next version", elem_id="singlelora_again")
            self.judged = gr.Button(
                "Draw more and let the judge choose: next version", elem_id="singlelora_judged"
            )
            self.go_on = compat.unsaved(
                gr.Checkbox(
                    False,
                    label="The next version continues from this LoRA",
                    elem_id="singlelora_go_on",
                )
            )
            self.repeats = compat.unsaved(
                gr.Number(
                    0,
                    label="Repeats of that picture",
                    precision=0,
                    elem_id="singlelora_again_repeats",
                    min_width=80,
                    info="0: half of the other crops' repeats.",
                )
            )
            self.other = gr.File(
                label="Or another picture of the character: from the sheet, txt2img, img2img",
                elem_id="singlelora_other",
                file_types=["image"],
            )
        self.send_buttons = []
        with gr.Row():
            self.send_buttons = [
                (send, gr.Button(send.label, elem_id=send.elem_id)) for send in self.extras.sends
            ]

    # Events
    # ------------------------------------------------------------

    def _events(self, stages: dict[str, Any]) -> None:
        inputs = {
            self.workspace,
            self.picture,
            self.trigger,
            self.class_token,
            self.force,
            self.inpaint_picture,
            self.inpaint_mask,
            self.preset.state,
            *self.fields.values(),
        }
        for word, button in {RUN: self.everything, **stages}.items():
            button.click(
                self._runner(word), inputs, [self.workspace, self.note, self.job], **compat.quiet()
            )
        shown = [
            self.results,
            self.sheet,
            self.page_file,
            self.inpainted,
            self.chosen_row,
            *self.bench.outputs,
        ]
        picked = gr.State(0)
        self.inpainted.select(_index, None, [picked], **compat.quiet())
        self.keep.click(
            self._keep, [self.workspace, picked, self.other], [self.note], **compat.quiet()
        )
        self.again.click(
            self._again,
            [self.workspace, picked, self.other, self.repeats, self.go_on],
            [self.note, self.job],
            **compat.quiet(),
        )
        self.judged.click(
            self._judged,
            {self.workspace, self.go_on, self.preset.state, *self.fields.values()},
            [self.note, self.job],
            **compat.quiet(),
        )
        self.plan.click(
            self._plan,
            {self.workspace, self.preset.state, *self.fields.values()},
            [self.note],
            **compat.quiet(),
        )
        self.bench.events()
        self.show_presets.click(
            self._presets, [self.workspace], [self.presets, self.note], **compat.quiet()
        )
        self.suggest.click(
            self._suggest,
            [self.workspace, self.inpaint_picture, self.inpaint_mask],
            [self.fields["inpaint.prompt"], self.note],
            **compat.quiet(),
        )
        self.workspace.change(
            self._chosen,
            {self.workspace, self.preset.state},
            [
                self.picture,
                self.trigger,
                self.class_token,
                *self.fields.values(),
                *self.preset.outputs,
                *shown,
            ],
            **compat.quiet(),
        )
        # A new picture is a new character, whatever workspace was open.
        self.picture.upload(lambda: NEW, None, [self.workspace], **compat.quiet())
        self.preset.events(self.workspace)
        self.cancel.click(self._cancel, None, [self.note, self.job], **compat.quiet())
        seen = gr.State("")
        compat.poll(
            POLL,
            "singlelora_poll",
            self._poll,
            [self.workspace, seen, self.preset.state],
            [
                self.workspace,
                self.job,
                self.newest,
                *self.preset.words,
                *shown,
                *self.dataset.outputs,
                seen,
            ],
        )
        self.dataset.events(self.note)
        for action, button in self.action_buttons:
            button.click(self._doer(action), None, [self.note], **compat.quiet())
        for send, button in self.send_buttons:
            button.click(
                self._sender(send), [self.workspace], [self.note, *send.outputs], **compat.quiet()
            )
            button.click(None, None, None, **compat.script(send.script))

    def _runner(self, word: str) -> Callable[[dict[Any, Any]], list[Any]]:
        def run(values: dict[Any, Any]) -> list[Any]:
            try:
                name, ticket = self._submit(word, values)
            except SingleLoraError as error:
                return [gr.update(), job_panel.note(str(error), bad=True), self._job_html()]
            except OSError as error:
                return [
                    gr.update(),
                    job_panel.note(f"{error.filename}: {error.strerror}", bad=True),
                    self._job_html(),
                ]
            ahead = sum(
                1
                for other in self.service.runner.tickets
                if other.number < ticket.number and other.job.state in ("waiting", "running")
            )
            queued = f"Queued behind {ahead} other job{'s' if ahead > 1 else ''}." if ahead else ""
            return [
                gr.update(choices=[NEW, *self.service.names()], value=name),
                job_panel.note(queued),
                self._job_html(),
            ]

        return run

    def _submit(self, word: str, values: dict[Any, Any]) -> tuple[str, Ticket[dict[str, Any]]]:
        name = values[self.workspace]
        picture = values[self.picture]
        if name == NEW:
            if not picture:
                raise SingleLoraError(
                    "found no picture, expected one: drop it into the field, or choose a workspace"
                )
            trigger, class_token = (
                (values[field] or "").strip() for field in (self.trigger, self.class_token)
            )
            name = self.service.start(Path(picture), trigger, class_token)
        self._save_form(name, values)
        image = values[self.inpaint_picture] if word == "inpaint" else None
        mask = values[self.inpaint_mask] if word == "inpaint" else None
        return name, self.service.submit(
            name,
            word,
            bool(values[self.force]),
            Path(image) if image else None,
            Path(mask) if mask else None,
        )

    def _save_form(self, name: str, values: dict[Any, Any]) -> None:
        given = {key: _given(values[component]) for key, component in self.fields.items()}
        self.service.change_by_form(name, given, self.preset.is_named(values))

    def _chosen(self, values: dict[Any, Any]) -> list[Any]:
        name = values[self.workspace]
        state = values[self.preset.state]
        if name == NEW or name not in self.service.names():
            empty = [gr.update() for _ in range(3 + len(self.fields))]
            return [*empty, *self.preset.show("", state), *self._shown(None)]
        settings, choice = self.service.settings_and_preset(name)
        original = self.service.workspace(name).original()
        return [
            str(original) if original else None,
            settings.character.trigger,
            settings.character.class_token,
            *values_of(settings, self.fields),
            *self.preset.show(name, self.preset.state_of(choice)),
            *self._shown(name),
        ]

    def _cancel(self) -> list[Any]:
        active = [
            ticket
            for ticket in self.service.runner.tickets
            if ticket.job.state in ("waiting", "running")
        ]
        if not active:
            return [job_panel.note("Nothing is running."), self._job_html()]
        self.service.cancel(active[-1].number)
        return [
            job_panel.note(
                f"{active[-1].job.title}: stops at the next safe point; finished work is kept."
            ),
            self._job_html(),
        ]

    def _picked(self, name: str, index: int, other: Any) -> str:
        """Keep the dropped picture, else the chosen one of the gallery; its path in the workspace.

        Raises: SingleLoraError, where there is neither.
        """
        if other:
            return self.bench.desk.accept(name, Path(getattr(other, "name", other)))
        pictures = self.service.results(name)["inpainted"]
        if not pictures:
            raise SingleLoraError(
                "found no inpainted picture, expected one; press Run only: Inpaint"
            )
        root = self.service.workspace(name).root
        chosen = Path(pictures[min(index, len(pictures) - 1)]).relative_to(root).as_posix()
        return self.service.accept(name, [chosen])[0]

    def _keep(self, name: str, index: int, other: Any) -> list[Any]:
        try:
            kept = self._picked(name, index, other)
        except SingleLoraError as error:
            return [job_panel.note(str(error), bad=True)]
        return [job_panel.note(f"Kept, with its parameters: {kept}")]

    def _again(
        self, name: str, index: int, other: Any, repeats: int | None, go_on: bool
    ) -> list[Any]:
        try:
            picture = self._picked(name, index, other)
            version = self.service.next_version(name)
            self.service.loopback(
                name, picture, max(0, int(repeats or 0)), "last" if go_on else "zero"
            )
        except SingleLoraError as error:
            return [job_panel.note(str(error), bad=True), self._job_html()]
        return [
            job_panel.note(
                f"The picture is added to the workspace {version}; choose it when that is done, and"
                " press Run only: Train."
            ),
            self._job_html(),
        ]

    def _judged(self, values: dict[Any, Any]) -> list[Any]:
        name = values[self.workspace]
        try:
            version = self.service.next_version(name)
            self._save_form(name, values)
            self.service.judged_loopback(name, start="last" if values[self.go_on] else "zero")
        except SingleLoraError as error:
            return [job_panel.note(str(error), bad=True), self._job_html()]
        return [
            job_panel.note(
                f"Candidates are drawn and judged (Inpaint: Judged loopback has the settings), and"
                f" the workspace {version} is trained; choose it when that is done, and press Run"
                " only: Plot."
            ),
            self._job_html(),
        ]

    def _plan(self, values: dict[Any, Any]) -> list[Any]:
        name = values[self.workspace]
        try:
            if name == NEW:
                raise SingleLoraError(
                    "found no workspace selected, expected one with a trained LoRA; press Run only:"
                    " Train first"
                )
            self._save_form(name, values)
            return [job_panel.note(self.bench.desk.plan(name)["plan"])]
        except SingleLoraError as error:
            return [job_panel.note(str(error), bad=True)]

    def _presets(self, name: str) -> list[Any]:
        try:
            path = self.bench.desk.presets_picture("" if name == NEW else name)
        except SingleLoraError as error:
            return [gr.update(), job_panel.note(str(error), bad=True)]
        return [gr.update(value=str(path), visible=True), ""]

    def _suggest(self, name: str, picture: str | None, mask: str | None) -> list[Any]:
        try:
            return [
                self.service.suggest(
                    name, Path(picture) if picture else None, Path(mask) if mask else None
                ),
                "",
            ]
        except SingleLoraError as error:
            return [gr.update(), job_panel.note(str(error), bad=True)]

    def _doer(self, action: Action) -> Callable[[], list[Any]]:
        def do() -> list[Any]:
            try:
                return [job_panel.note(action.run())]
            except SingleLoraError as error:
                return [job_panel.note(str(error), bad=True)]

        return do

    def _sender(self, send: Send) -> Callable[[str], list[Any]]:
        def values(name: str) -> list[Any]:
            try:
                return ["", *send.values(self.service.handover(name))]
            except SingleLoraError as error:
                return [job_panel.note(str(error), bad=True), *(gr.update() for _ in send.outputs)]

        return values

    def _poll(self, name: str, seen: str, preset: dict[str, Any]) -> list[Any]:
        """Update the panel, and preset, pictures and results only where they changed.

        Anything else would close a picture that the user has opened.  A page that was just loaded
        (seen is empty) opens the workspace of the running job, and lists the workspaces that were
        made after the page was built.
        """
        tickets = self.service.runner.tickets
        newest = self.service.runner.running or next(iter(tickets[-1:]), None)
        running = self.service.runner.running
        names = self.service.names()
        chosen: dict[str, Any] = {}
        if not seen and name == NEW and running and running.job.title.rpartition(":")[0] in names:
            name = running.job.title.rpartition(":")[0]
            chosen = {"value": name}
        pictures = (
            [str(path) for path in newest.job.newest(SHOWN) if path.exists()] if newest else []
        )
        states = [
            (ticket.number, ticket.job.state, ticket.job.view().progress.stage)
            for ticket in tickets
        ]
        marks = self.dataset.marks(name)
        words = self.preset.sentence("" if name == NEW else name, preset)
        now = [str(pictures), str(names), str(states), name, words, *marks]
        before = seen.split("\n") if seen else [""] * len(now)
        gallery = pictures if now[0] != before[0] else gr.update()
        if now[1] != before[1]:
            chosen["choices"] = [NEW, *names]
        shown = (
            self._shown(name)
            if now[2:4] != before[2:4]
            else [gr.update() for _ in range(5 + len(self.bench.outputs))]
        )
        # Another workspace is shown completely, so that nothing of the last one stays.
        dataset = self.dataset.show(
            name, marks, before[5:] if before[3] == name else [None] * len(marks)
        )
        preset_words = self.preset.html(words) if words != before[4] else [gr.update()] * 2
        return [
            gr.update(**chosen),
            self._job_html(),
            gallery,
            *preset_words,
            *shown,
            *dataset,
            "\n".join(now),
        ]

    def _job_html(self) -> str:
        return job_panel.render([view_of(ticket) for ticket in self.service.runner.tickets])

    def _shown(self, name: str | None) -> list[Any]:
        if name is None or name not in self.service.names():
            return [
                "",
                *(gr.update(value=None, visible=False) for _ in range(3)),
                gr.update(visible=False),
                *self.bench.show(""),
            ]
        results = self.service.results(name)
        return [
            job_panel.summary(results),
            *(
                gr.update(value=results[key] or None, visible=bool(results[key]))
                for key in ("sheet", "page", "inpainted")
            ),
            gr.update(visible=bool(results["loras"])),
            *self.bench.show(name),
        ]


def _index(event: gr.SelectData) -> int:
    """Index of the picture that was clicked in a gallery."""
    return int(event.index)


def _given(value: Any) -> Any:
    """The value of a field; an emptied number field gives None, which counts as empty text."""
    return "" if value is None else value
