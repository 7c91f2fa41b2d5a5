"""The page's part on the dataset: picture, crops, captions, regularization set and trigger."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr

from ..errors import SingleLoraError
from ..service.dataset import DatasetService
from ..service.service import Service
from ..settings.schema import Settings
from . import compat, dataset_html, job_panel
from .forms import as_field_value

PARTS = ("picture", "crops", "captions", "regularization", "trigger")
SEPARATOR = " · "  # between a list item's name and what is said about it
ADD = "is the character"
TAKE = "is background"


class DatasetView:
    """One accordion per part; a part is hidden until its stage is done.

    fields: dotted name of a setting -> its component in the form, updated when a change here
        changes the setting.
    """

    def __init__(self, service: Service, workspace: Any, fields: Mapping[str, Any]) -> None:
        self.service = service
        self.desk = DatasetService(service)
        self.workspace = workspace
        self.fields = fields

    # Parts
    # ------------------------------------------------------------

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
            self.word = compat.unsaved(
                gr.Textbox(
                    label="Word",
                    elem_id="singlelora_word",
                    max_lines=1,
                    info="Empty: the character's trigger.",
                )
            )
            self.check = gr.Button("Check", elem_id="singlelora_check", size="sm")
            self.parts["trigger"] = [
                compat.html("", "singlelora_trigger_told"),
                gr.Gallery(
                    label="Pictures of the word alone", columns=4, height=200, visible=False
                ),
            ]

    def _picture(self) -> list[Any]:
        overlay = gr.Image(
            label="Artifacts", type="filepath", interactive=False, elem_id="singlelora_artifacts"
        )
        told = compat.html("", "singlelora_artifacts_told")
        self.artifacts = compat.unsaved(
            gr.CheckboxGroup([], label="Clean these", elem_id="singlelora_clean_these")
        )
        self.clean = gr.Button("Clean the ticked ones only", elem_id="singlelora_clean", size="sm")
        self.load = gr.Button(
            "Show the mask",
            elem_id="singlelora_load_mask",
            size="sm",
            visible=compat.PAINTER_MUST_BE_SEEN,
        )
        self.brush = compat.painter(
            "Mask: red is background; paint over what is wrong", "singlelora_mask", 420
        )
        self.side = compat.unsaved(
            gr.Radio([ADD, TAKE], value=ADD, label="What I painted", elem_id="singlelora_mask_side")
        )
        self.paint = gr.Button("Change the mask", elem_id="singlelora_paint", size="sm")
        return [overlay, told, self.artifacts, self.brush]

    def _crops(self) -> list[Any]:
        self.crops = gr.Gallery(label="Crops", elem_id="singlelora_crops", columns=4, height=260)
        told = compat.html("", "singlelora_crops_told")
        self.boxes = gr.Image(
            label="Their boxes: click two corners to draw one",
            type="pil",
            interactive=False,
            elem_id="singlelora_boxes",
            height=520,
        )
        self.crop_name = compat.unsaved(
            gr.Textbox(
                label="Crop",
                elem_id="singlelora_crop_name",
                max_lines=1,
                info="An existing crop, or a new name for your own.",
            )
        )
        with gr.Row():
            self.box = [
                compat.unsaved(
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
            self.move = gr.Button("Crop there", elem_id="singlelora_move", size="sm")
            self.leave = gr.Button("Leave this crop out", elem_id="singlelora_leave", size="sm")
        coverage = gr.Image(
            label="Coverage: white is in no crop, darker in more of them",
            type="filepath",
            interactive=False,
            elem_id="singlelora_coverage",
            height=320,
        )
        return [self.crops, told, self.boxes, coverage]

    def _captions(self) -> list[Any]:
        self.caption_of = compat.unsaved(
            gr.Dropdown([], label="Caption of", elem_id="singlelora_caption_of")
        )
        self.caption = compat.unsaved(
            gr.Textbox(label="Caption", lines=3, max_lines=8, elem_id="singlelora_caption_text")
        )
        self.count = compat.html("", "singlelora_count")
        self.save = gr.Button("Save this caption", elem_id="singlelora_save_caption", size="sm")
        self.traits = compat.unsaved(
            gr.CheckboxGroup(
                [],
                label=(
                    "Traits: ticked ones are pruned from captions and learned by the trigger. "
                    "Implausible tags: ticked ones are left out where the crop cannot show them"
                ),
                elem_id="singlelora_traits",
            )
        )
        self.leave_out = gr.Button(
            "Rewrite captions by these ticks", elem_id="singlelora_write_traits", size="sm"
        )
        with gr.Row():
            self.bulk = {
                key: compat.unsaved(
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
        self.kept = gr.Gallery(label="Kept", elem_id="singlelora_kept", columns=6, height=260)
        self.reject = gr.Button("Reject the selected one", elem_id="singlelora_reject", size="sm")
        self.rejected = gr.Gallery(
            label="Rejected", elem_id="singlelora_rejected", columns=6, height=260
        )
        self.take_back = gr.Button(
            "Take the selected one back", elem_id="singlelora_take_back", size="sm"
        )
        return [self.kept, self.rejected, compat.html("", "singlelora_regularization_told")]

    # Events
    # ------------------------------------------------------------

    def events(self, note: Any) -> None:
        """Connect the parts.  note: the component for one line to the user."""
        quiet = compat.quiet()
        name = self.workspace
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
        """The components that `show` updates."""
        return [component for part in PARTS for component in self.parts[part]]

    def marks(self, name: str) -> list[str]:
        """A text per part that changes whenever the part has to be updated."""
        checks = self._finished_trigger_checks(name)
        return [*self.desk.marks(name), str(checks[-1].number) if checks else ""]

    def show(self, name: str, marks: Sequence[str], before: Sequence[str | None]) -> list[Any]:
        """Updates of `outputs`: parts whose mark is the same as before stay as they are."""
        updates: list[Any] = []
        for part, mark, last in zip(PARTS, marks, before, strict=False):
            unchanged = [gr.update() for _ in self.parts[part]]
            if mark == last:
                updates += unchanged
            elif mark:
                updates += self._updated(part, name) or unchanged
            elif part == "trigger":
                updates += ["", gr.update(value=None, visible=False)]
            else:
                updates += [gr.update(visible=False), *unchanged[1:]]
        return updates

    def _updated(self, part: str, name: str) -> list[Any]:
        """The part's updates; none, with a warning on the page, where it cannot be read."""
        show: dict[str, Callable[[str], list[Any]]] = {
            "picture": self._show_picture,
            "crops": self._show_crops,
            "captions": self._show_captions,
            "regularization": self._show_regularization,
            "trigger": self._show_trigger,
        }
        try:
            return show[part](name)
        except SingleLoraError as error:
            compat.show_warning(str(error))
            return []

    def _show_picture(self, name: str) -> list[Any]:
        artifacts = self.desk.all(name)["artifacts"]
        picture = self.service.workspace(name).artifacts.with_suffix(".png")
        visible = bool(artifacts) and picture.exists()
        choices = [f"{item['name']}{SEPARATOR}{item['sentence']}" for item in artifacts]
        cleaned = [
            choice for choice, item in zip(choices, artifacts, strict=True) if item["cleaned"]
        ]
        return [
            gr.update(visible=True),
            gr.update(value=str(picture) if visible else None, visible=visible),
            dataset_html.artifacts(artifacts),
            gr.update(choices=choices, value=cleaned, visible=bool(artifacts)),
            gr.update(value=None if compat.PAINTER_MUST_BE_SEEN else self.desk.overlay(name)),
        ]

    def _show_crops(self, name: str) -> list[Any]:
        workspace = self.service.workspace(name)
        dataset = self.desk.all(name)
        gallery = [(str(workspace.root / crop["file"]), crop["name"]) for crop in dataset["crops"]]
        coverage = str(workspace.coverage) if workspace.coverage.exists() else None
        return [
            gr.update(visible=True),
            gallery,
            dataset_html.crops(dataset, workspace.load_settings().training.repeats),
            self.desk.boxes(name),
            gr.update(value=coverage, visible=bool(coverage)),
        ]

    def _show_captions(self, name: str) -> list[Any]:
        dataset = self.desk.all(name)
        traits = dataset["traits"]
        first = next(iter(dataset["captions"]), None)
        caption = dataset["captions"].get(first, {"text": "", "tokens": 0, "beyond": ""})
        labels = [dataset_html.trait(trait, SEPARATOR) for trait in traits]
        ticked = [label for label, trait in zip(labels, traits, strict=True) if trait["left_out"]]
        return [
            gr.update(visible=True),
            gr.update(choices=list(dataset["captions"]), value=first),
            caption["text"],
            dataset_html.count(
                caption["text"], caption["tokens"], caption["beyond"], dataset["limit"]
            ),
            gr.update(choices=labels, value=ticked, visible=bool(labels)),
            dataset_html.captions(dataset),
        ]

    def _show_regularization(self, name: str) -> list[Any]:
        root = self.service.workspace(name).root
        dataset = self.desk.all(name)
        pictures = dataset["regularization"]
        galleries = [
            [(str(root / item["file"]), item["name"]) for item in pictures if item["kept"] == kept]
            for kept in (True, False)
        ]
        return [
            gr.update(visible=True),
            *galleries,
            dataset_html.regularization(pictures, dataset["notes"]["regularize"]),
        ]

    def _show_trigger(self, name: str) -> list[Any]:
        result = self._finished_trigger_checks(name)[-1].job.result
        return [dataset_html.trigger(result), gr.update(value=result["pictures"], visible=True)]

    def _finished_trigger_checks(self, name: str) -> list[Any]:
        return [
            ticket
            for ticket in self.service.runner.tickets
            if ticket.job.title == f"{name}: trigger" and ticket.job.state == "done"
        ]

    # What buttons do
    # ------------------------------------------------------------

    def _do_clean(self, name: str, chosen: Sequence[str]) -> list[Any]:
        return self._settled(
            name,
            lambda: self.desk.clean(name, [text.partition(SEPARATOR)[0] for text in chosen]),
            ("prepare.clean_artifacts",),
            "prepare",
            "The picture is being prepared again.",
        )

    def _do_load(self, name: str) -> list[Any]:
        try:
            return [gr.update(value=self.desk.overlay(name)), job_panel.note("")]
        except SingleLoraError as error:
            return [gr.update(), job_panel.note(str(error), bad=True)]

    def _do_paint(self, name: str, painted: Any, side: str) -> list[Any]:
        def change() -> str:
            strokes = compat.strokes(painted)
            if strokes is None:
                return "Nothing is painted; paint over what is wrong first."
            self.desk.paint(name, strokes, side == ADD)
            return (
                "The mask is changed. Run only: Prepare the picture applies it to the background,"
                " Cut close-ups to the crops."
            )

        return [_message(change)]

    def _pick_crop(self, name: str, event: gr.SelectData) -> list[Any]:
        crops = self.desk.all(name)["crops"]
        crop = crops[min(_at(event), len(crops) - 1)]
        return [crop["name"], crop["name"], *crop.get("box", [0, 0, 0, 0])]

    def _click(self, name: str, before: Sequence[int], event: gr.SelectData) -> list[Any]:
        """The first click is one corner, the second the opposite one."""
        scale = self.desk.scale_of_boxes(name)
        point = [round(value * scale) for value in event.index]
        if len(before) != 2:
            return [point, *(gr.update() for _ in range(4))]
        left, right = sorted((before[0], point[0]))
        top, bottom = sorted((before[1], point[1]))
        return [[], left, top, right, bottom]

    def _do_move(self, values: dict[Any, Any]) -> list[Any]:
        name = values[self.workspace]
        left, top, right, bottom = (int(values[field] or 0) for field in self.box)
        return self._settled(
            name,
            lambda: self.desk.place(name, values[self.crop_name] or "", (left, top, right, bottom)),
            ("crop.boxes", "crop.views"),
            "crop",
            "The crops are being cut again.",
        )

    def _do_leave(self, name: str, crop: str) -> list[Any]:
        return self._settled(
            name,
            lambda: self.desk.leave_out(name, crop or ""),
            ("crop.boxes", "crop.views"),
            "crop",
            "The crops are being cut again.",
        )

    def _pick_caption(self, name: str, crop: str) -> list[Any]:
        text = self.desk.captions(name)["captions"].get(crop, {"text": ""})["text"]
        return [text, self._count(text)]

    def _count(self, text: str) -> str:
        return dataset_html.count(text, *self.desk.count(text))

    def _do_save(self, name: str, crop: str, text: str) -> list[Any]:
        def change() -> str:
            self.desk.write_caption(name, crop or "", text)
            return f"The caption of {crop} is saved; captioning keeps it."

        return [_message(change)]

    def _do_traits(self, name: str, ticked: Sequence[str]) -> list[Any]:
        return self._settled(
            name,
            lambda: self.desk.choose_traits(
                name, [label.rpartition(SEPARATOR)[0] for label in ticked]
            ),
            ("caption.keep", "caption.drop"),
            "caption",
            "Captions are being rewritten, except those edited by hand.",
        )

    def _do_edit(self, name: str, add: str, remove: str, replace: str) -> list[Any]:
        def change() -> None:
            tags = [
                [piece.strip() for piece in (text or "").split(",") if piece.strip()]
                for text in (add, remove, replace)
            ]
            self.desk.edit_tags(name, *tags)

        try:
            change()
        except SingleLoraError as error:  # the fields keep what was typed
            return [job_panel.note(str(error), bad=True), *(gr.update() for _ in self.bulk)]
        return [
            job_panel.note("All captions are changed; Undo reverts it."),
            *("" for _ in self.bulk),
        ]

    def _do_undo(self, name: str) -> list[Any]:
        def change() -> str:
            left = self.desk.undo(name)["undoable"]
            return f"The last change is undone; {left} more can be."

        return [_message(change)]

    def _picker(self, key: str) -> Callable[..., str]:
        def pick(name: str, event: gr.SelectData) -> str:
            names = [
                picture["name"]
                for picture in self.desk.all(name)["regularization"]
                if picture["kept"] == (key == "kept")
            ]
            return names[min(_at(event), len(names) - 1)] if names else ""

        return pick

    def _reviewer(self, key: str) -> Callable[[str, str], list[Any]]:
        def review(name: str, chosen: str) -> list[Any]:
            def change() -> str:
                if not chosen:
                    return "Click a picture first."
                reject = key == "kept"
                self.desk.review(name, [] if reject else [chosen], [chosen] if reject else [])
                return f"{chosen} is rejected." if reject else f"{chosen} is back in the set."

            return [_message(change), ""]

        return review

    def _do_check(self, name: str, word: str) -> list[Any]:
        def change() -> str:
            self.desk.check_trigger(name, (word or "").strip())
            return "The checkpoint is being tested; the result comes below 'Is the trigger free?'."

        return [_message(change)]

    def _settled(
        self,
        name: str,
        change: Callable[[], Settings],
        names: Sequence[str],
        stage: str,
        message: str,
    ) -> list[Any]:
        """Change settings and run their stage; a line for the user, then the form's new values."""
        try:
            settings = change()
            self.service.submit(name, stage)
        except SingleLoraError as error:
            return [job_panel.note(str(error), bad=True), *(gr.update() for _ in names)]
        return [
            job_panel.note(message),
            *(as_field_value(settings.get(setting)) for setting in names),
        ]


def _message(change: Callable[[], str]) -> str:
    """The change's message, or the error that refused it."""
    try:
        return job_panel.note(change())
    except SingleLoraError as error:
        return job_panel.note(str(error), bad=True)


def _at(event: gr.SelectData) -> int:
    return int(event.index)
