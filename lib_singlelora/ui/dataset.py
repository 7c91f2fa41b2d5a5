"""The page's part on the data set: artifacts and mask, crops, captions, regularization set,
trigger; seen and changed by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr

from ..errors import SingleLoraError
from ..service.dataset import DatasetService
from ..service.service import Service
from ..settings.schema import Settings
from . import compat, dataset_html, panel
from .forms import shown

PARTS = ("picture", "crops", "captions", "regularization", "trigger")
SEPARATOR = " · "  # between what a box of a list means and what is told of it
ADD, TAKE = "is hers", "is background"


class DatasetView:
    """One accordion for each part; a part is hidden until its stage is done.

    fields: of the form, by the dotted names of settings; those that a change here changes are
        filled anew.
    """

    def __init__(self, service: Service, workspace: Any, fields: Mapping[str, Any]) -> None:
        self.service, self.desk = service, DatasetService(service)
        self.workspace, self.fields = workspace, fields

    # Parts
    # -----------------------------------------------------------------------------------------------------------

    def build(self) -> None:
        """Put the parts into the gradio block that is open."""
        self.picked = {key: gr.State("") for key in ("crop", "kept", "rejected")}
        self.corner = gr.State([])
        self.parts: dict[str, list[Any]] = {}
        for part, title, make in (
            ("picture", "Look: artifacts and mask", self._picture),
            ("crops", "Look: crops", self._crops),
            ("captions", "Look: captions", self._captions),
            ("regularization", "Look: regularization set", self._regularization),
        ):
            with gr.Accordion(
                title, open=False, visible=False, elem_id=f"singlelora_look_{part}"
            ) as accordion:
                self.parts[part] = [accordion, *make()]
        with gr.Accordion("Is the trigger free?", open=False, elem_id="singlelora_look_trigger"):
            self.word = _own(
                gr.Textbox(
                    label="Word", elem_id="singlelora_word", max_lines=1, info="Empty: her trigger."
                )
            )
            self.check = gr.Button("Check", elem_id="singlelora_check", size="sm")
            self.parts["trigger"] = [
                compat.html("", "singlelora_trigger_told"),
                gr.Gallery(label="What the word alone draws", columns=4, height=200, visible=False),
            ]

    def _picture(self) -> list[Any]:
        overlay = gr.Image(
            label="Artifacts", type="filepath", interactive=False, elem_id="singlelora_artifacts"
        )
        told = compat.html("", "singlelora_artifacts_told")
        self.artifacts = _own(
            gr.CheckboxGroup([], label="Clean these", elem_id="singlelora_clean_these")
        )
        self.clean = gr.Button(
            "Clean the chosen ones, and no others", elem_id="singlelora_clean", size="sm"
        )
        self.load = gr.Button(
            "Show the mask",
            elem_id="singlelora_load_mask",
            size="sm",
            visible=compat.PAINTER_MUST_BE_SEEN,
        )
        self.brush = compat.painter(
            "Mask: what is red is background; paint over what is wrong", "singlelora_mask", 420
        )
        self.side = _own(
            gr.Radio([ADD, TAKE], value=ADD, label="What I painted", elem_id="singlelora_mask_side")
        )
        self.paint = gr.Button("Change the mask", elem_id="singlelora_paint", size="sm")
        return [overlay, told, self.artifacts, self.brush]

    def _crops(self) -> list[Any]:
        self.crops = gr.Gallery(label="Crops", elem_id="singlelora_crops", columns=4, height=260)
        told = compat.html("", "singlelora_crops_told")
        self.boxes = gr.Image(
            label="Where they are: a click on two corners makes a box",
            type="pil",
            interactive=False,
            elem_id="singlelora_boxes",
            height=520,
        )
        self.crop_name = _own(
            gr.Textbox(
                label="Crop",
                elem_id="singlelora_crop_name",
                max_lines=1,
                info="One of them, or a new name for a crop of your own.",
            )
        )
        with gr.Row():
            self.box = [
                _own(
                    gr.Number(
                        0,
                        label=side,
                        precision=0,
                        elem_id=f"singlelora_box_{side.lower()}",
                        min_width=60,
                    )
                )
                for side in ("Left", "Top", "Right", "Bottom")
            ]
        with gr.Row():
            self.move = gr.Button("Cut it there", elem_id="singlelora_move", size="sm")
            self.leave = gr.Button("Leave this crop out", elem_id="singlelora_leave", size="sm")
        coverage = gr.Image(
            label="How often each place is in a crop: white never, the darker the oftener",
            type="filepath",
            interactive=False,
            elem_id="singlelora_coverage",
            height=320,
        )
        return [self.crops, told, self.boxes, coverage]

    def _captions(self) -> list[Any]:
        self.caption_of = _own(gr.Dropdown([], label="Caption of", elem_id="singlelora_caption_of"))
        self.caption = _own(
            gr.Textbox(label="Caption", lines=3, max_lines=8, elem_id="singlelora_caption_text")
        )
        self.count = compat.html("", "singlelora_count")
        self.save = gr.Button("Save this caption", elem_id="singlelora_save_caption", size="sm")
        self.traits = _own(
            gr.CheckboxGroup(
                [],
                label="Hers: ticked is left out of the captions, so that the trigger brings it",
                elem_id="singlelora_traits",
            )
        )
        self.leave_out = gr.Button(
            "Write captions by these ticks", elem_id="singlelora_write_traits", size="sm"
        )
        with gr.Row():
            self.bulk = {
                key: _own(
                    gr.Textbox(
                        label=label, elem_id=f"singlelora_tags_{key}", max_lines=1, min_width=90
                    )
                )
                for key, label in (
                    ("add", "Add to all"),
                    ("remove", "Remove from all"),
                    ("replace", "Replace old=new"),
                )
            }
        with gr.Row():
            self.edit = gr.Button("Change all captions", elem_id="singlelora_edit_tags", size="sm")
            self.undo = gr.Button("Undo", elem_id="singlelora_undo", size="sm")
        return [
            self.caption_of,
            self.caption,
            self.count,
            self.traits,
            compat.html("", "singlelora_captions_told"),
        ]

    def _regularization(self) -> list[Any]:
        self.kept = gr.Gallery(label="They stay", elem_id="singlelora_kept", columns=6, height=260)
        self.reject = gr.Button("Put the chosen one aside", elem_id="singlelora_reject", size="sm")
        self.rejected = gr.Gallery(
            label="Put aside", elem_id="singlelora_rejected", columns=6, height=260
        )
        self.take_back = gr.Button(
            "Take the chosen one back", elem_id="singlelora_take_back", size="sm"
        )
        return [self.kept, self.rejected, compat.html("", "singlelora_regularization_told")]

    # Events
    # ----------------------------------------------------------------------------------------------------------

    def events(self, note: Any) -> None:
        """Connect the parts.  note: where one line for the user goes."""
        quiet, name = compat.quiet(), self.workspace
        fields = self.fields
        self.clean.click(
            self._do_clean,
            [name, self.artifacts],
            [note, fields["prepare.clean_artifacts"]],
            **quiet,
        )
        self.load.click(self._do_load, [name], [self.brush, note], **quiet)
        self.paint.click(self._do_paint, [name, self.brush, self.side], [note], **quiet)
        self.crops.select(
            self._pick_crop, [name], [self.picked["crop"], self.crop_name, *self.box], **quiet
        )
        self.boxes.select(self._click, [name, self.corner], [self.corner, *self.box], **quiet)
        box_fields = [fields["crop.boxes"], fields["crop.views"]]
        self.move.click(
            self._do_move, {name, self.crop_name, *self.box}, [note, *box_fields], **quiet
        )
        self.leave.click(self._do_leave, [name, self.crop_name], [note, *box_fields], **quiet)
        self.caption_of.input(
            self._pick_caption, [name, self.caption_of], [self.caption, self.count], **quiet
        )
        self.caption.change(self._count, [self.caption], [self.count], **quiet)
        self.save.click(self._do_save, [name, self.caption_of, self.caption], [note], **quiet)
        pruned = [fields["caption.keep"], fields["caption.drop"]]
        self.leave_out.click(self._do_traits, [name, self.traits], [note, *pruned], **quiet)
        self.edit.click(
            self._do_edit, [name, *self.bulk.values()], [note, *self.bulk.values()], **quiet
        )
        self.undo.click(self._do_undo, [name], [note], **quiet)
        for key, gallery, button in (
            ("kept", self.kept, self.reject),
            ("rejected", self.rejected, self.take_back),
        ):
            gallery.select(self._picker(key), [name], [self.picked[key]], **quiet)
            button.click(
                self._reviewer(key), [name, self.picked[key]], [note, self.picked[key]], **quiet
            )
        self.check.click(self._do_check, [name, self.word], [note], **quiet)

    @property
    def outputs(self) -> list[Any]:
        """What `show` fills."""
        return [component for part in PARTS for component in self.parts[part]]

    def marks(self, name: str) -> list[str]:
        """One text for each part that changes when it has to be shown anew."""
        ended = [
            ticket
            for ticket in self.service.runner.tickets
            if ticket.job.title == f"{name}: trigger" and ticket.job.state == "done"
        ]
        return [*self.desk.marks(name), str(ended[-1].number) if ended else ""]

    def show(self, name: str, marks: Sequence[str], before: Sequence[str | None]) -> list[Any]:
        """Updates of `outputs`: of each part whose mark has changed, nothing of the others."""
        found: list[Any] = []
        for index, part in enumerate(PARTS):
            mark, own = marks[index], self.parts[part]
            if mark == before[index]:
                found += [gr.update() for _ in own]
            elif not mark:
                found += (
                    [gr.update(visible=False), *(gr.update() for _ in own[1:])]
                    if part != "trigger"
                    else ["", gr.update(value=None, visible=False)]
                )
            else:
                try:
                    found += getattr(self, f"_show_{part}")(name)
                except SingleLoraError as error:
                    found += [gr.update(), *(gr.update() for _ in own[1:])]
                    compat.show_warning(str(error))
        return found

    def _show_picture(self, name: str) -> list[Any]:
        workspace, found = self.service.workspace(name), self.desk.all(name)["artifacts"]
        picture = workspace.artifacts.with_suffix(".png")
        seen = bool(found) and picture.exists()
        choices = [f"{own['name']}{SEPARATOR}{own['sentence']}" for own in found]
        cleaned = [choice for choice, own in zip(choices, found, strict=True) if own["cleaned"]]
        return [
            gr.update(visible=True),
            gr.update(value=str(picture) if seen else None, visible=seen),
            dataset_html.artifacts(found),
            gr.update(choices=choices, value=cleaned, visible=bool(found)),
            gr.update(value=None if compat.PAINTER_MUST_BE_SEEN else self.desk.overlay(name)),
        ]

    def _show_crops(self, name: str) -> list[Any]:
        workspace, found = self.service.workspace(name), self.desk.all(name)
        gallery = [(str(workspace.root / own["file"]), own["name"]) for own in found["crops"]]
        coverage = str(workspace.coverage) if workspace.coverage.exists() else None
        return [
            gr.update(visible=True),
            gallery,
            dataset_html.crops(found, workspace.load_settings().training.repeats),
            self.desk.boxes(name),
            gr.update(value=coverage, visible=bool(coverage)),
        ]

    def _show_captions(self, name: str) -> list[Any]:
        found = self.desk.all(name)
        first = next(iter(found["captions"]), None)
        own = found["captions"].get(first, {"text": "", "tokens": 0, "beyond": ""})
        labels = [
            f"{t['tag']}{SEPARATOR}{t['category']}, {t['seen']} of {t['visible']}"
            for t in found["traits"]
        ]
        ticked = [
            label for label, trait in zip(labels, found["traits"], strict=True) if trait["left_out"]
        ]
        return [
            gr.update(visible=True),
            gr.update(choices=list(found["captions"]), value=first),
            own["text"],
            dataset_html.count(own["text"], own["tokens"], own["beyond"], found["limit"]),
            gr.update(choices=labels, value=ticked, visible=bool(labels)),
            dataset_html.captions(found),
        ]

    def _show_regularization(self, name: str) -> list[Any]:
        workspace, found = self.service.workspace(name), self.desk.all(name)
        pictures = {
            kept: [
                (str(workspace.root / own["file"]), own["name"])
                for own in found["regularization"]
                if own["kept"] == kept
            ]
            for kept in (True, False)
        }
        return [
            gr.update(visible=True),
            pictures[True],
            pictures[False],
            dataset_html.regularization(found["regularization"], found["notes"]["regularize"]),
        ]

    def _show_trigger(self, name: str) -> list[Any]:
        ended = [
            ticket.job.result
            for ticket in self.service.runner.tickets
            if ticket.job.title == f"{name}: trigger" and ticket.job.state == "done"
        ]
        return [
            dataset_html.trigger(ended[-1]),
            gr.update(value=ended[-1]["pictures"], visible=True),
        ]

    # What buttons do
    # -------------------------------------------------------------------------------------------------

    def _do_clean(self, name: str, chosen: Sequence[str]) -> list[Any]:
        return self._settled(
            name,
            lambda: self.desk.clean(name, [text.partition(SEPARATOR)[0] for text in chosen]),
            ("prepare.clean_artifacts",),
            "prepare",
            "The picture is prepared anew.",
        )

    def _do_load(self, name: str) -> list[Any]:
        try:
            return [gr.update(value=self.desk.overlay(name)), panel.note("")]
        except SingleLoraError as error:
            return [gr.update(), panel.note(str(error), bad=True)]

    def _do_paint(self, name: str, painted: Any, side: str) -> list[Any]:
        def change() -> str:
            strokes = compat.strokes(painted)
            if strokes is None:
                return "Nothing is painted; paint over what is wrong first."
            self.desk.paint(name, strokes, side == ADD)
            return (
                "The mask is changed; Run only: Prepare the picture lays the background by it, Cut"
                " close-ups looks at it."
            )

        return [_told(change)]

    def _pick_crop(self, name: str, event: gr.SelectData) -> list[Any]:
        crops = self.desk.all(name)["crops"]
        own = crops[min(_at(event), len(crops) - 1)]
        return [own["name"], own["name"], *own.get("box", [0, 0, 0, 0])]

    def _click(self, name: str, before: Sequence[int], event: gr.SelectData) -> list[Any]:
        """The first click is one corner, the second the opposite one."""
        scale = self.desk.scale_of_boxes(name)
        point = [round(value * scale) for value in event.index]
        if len(before) != 2:
            return [point, *(gr.update() for _ in range(4))]
        (left, right), (top, bottom) = sorted((before[0], point[0])), sorted((before[1], point[1]))
        return [[], left, top, right, bottom]

    def _do_move(self, values: dict[Any, Any]) -> list[Any]:
        name = values[self.workspace]
        left, top, right, bottom = (int(values[field] or 0) for field in self.box)
        return self._settled(
            name,
            lambda: self.desk.place(name, values[self.crop_name] or "", (left, top, right, bottom)),
            ("crop.boxes", "crop.views"),
            "crop",
            "The crops are cut anew.",
        )

    def _do_leave(self, name: str, crop: str) -> list[Any]:
        return self._settled(
            name,
            lambda: self.desk.leave_out(name, crop or ""),
            ("crop.boxes", "crop.views"),
            "crop",
            "The crops are cut anew.",
        )

    def _pick_caption(self, name: str, crop: str) -> list[Any]:
        own = self.desk.captions(name)["captions"].get(crop, {"text": ""})
        return [own["text"], self._count(own["text"])]

    def _count(self, text: str) -> str:
        return dataset_html.count(text, *self.desk.count(text))

    def _do_save(self, name: str, crop: str, text: str) -> list[Any]:
        def change() -> str:
            self.desk.write_caption(name, crop or "", text)
            return f"The caption of {crop} is saved; 'caption' leaves it as it is."

        return [_told(change)]

    def _do_traits(self, name: str, ticked: Sequence[str]) -> list[Any]:
        return self._settled(
            name,
            lambda: self.desk.choose_traits(
                name, [label.rpartition(SEPARATOR)[0] for label in ticked]
            ),
            ("caption.keep", "caption.drop"),
            "caption",
            "Captions are written anew, but those edited by hand.",
        )

    def _do_edit(self, name: str, add: str, remove: str, replace: str) -> list[Any]:
        def change() -> str:
            words = [
                [piece.strip() for piece in (text or "").split(",") if piece.strip()]
                for text in (add, remove, replace)
            ]
            self.desk.edit_tags(name, *words)
            return "All captions are changed; Undo takes it back."

        told = _told(change)
        return [told, *(["", "", ""] if "singlelora-error" not in told else [gr.update()] * 3)]

    def _do_undo(self, name: str) -> list[Any]:
        def change() -> str:
            left = self.desk.undo(name)["undoable"]
            return f"The last change is taken back; {left} more can be."

        return [_told(change)]

    def _picker(self, key: str) -> Callable[..., str]:
        def pick(name: str, event: gr.SelectData) -> str:
            own = [
                own["name"]
                for own in self.desk.all(name)["regularization"]
                if own["kept"] == (key == "kept")
            ]
            return own[min(_at(event), len(own) - 1)] if own else ""

        return pick

    def _reviewer(self, key: str) -> Callable[[str, str], list[Any]]:
        def review(name: str, chosen: str) -> list[Any]:
            def change() -> str:
                if not chosen:
                    return "Click a picture first."
                aside = key == "kept"
                self.desk.review(name, [] if aside else [chosen], [chosen] if aside else [])
                return f"{chosen} is put aside." if aside else f"{chosen} is back in the set."

            return [_told(change), ""]

        return review

    def _do_check(self, name: str, word: str) -> list[Any]:
        def change() -> str:
            self.desk.check_trigger(name, (word or "").strip())
            return "The checkpoint is asked; the answer comes below 'Is the trigger free?'."

        return [_told(change)]

    def _settled(
        self, name: str, change: Callable[[], Settings], names: Sequence[str], stage: str, told: str
    ) -> list[Any]:
        """Change settings and run their stage: a line for the user, then what the form's fields
        show now.
        """
        try:
            settings = change()
            self.service.submit(name, stage)
        except SingleLoraError as error:
            return [panel.note(str(error), bad=True), *(gr.update() for _ in names)]
        return [panel.note(told), *(shown(settings.get(each)) for each in names)]


def _told(change: Callable[[], str]) -> str:
    """What the change says, or why it cannot be."""
    try:
        return panel.note(change())
    except SingleLoraError as error:
        return panel.note(str(error), bad=True)


def _at(event: gr.SelectData) -> int:
    return int(event.index)


def _own(component: Any) -> Any:
    """Our own component whose value the WebUI's ui-config.json must leave alone."""
    component.do_not_save_to_config = True
    return component
