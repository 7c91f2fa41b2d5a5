"""The page's part on LoRA files: summary, baking of block weights, merging, resizing."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from ..errors import SingleLoraError
from ..service.lora_files import LoraFilesService
from ..service.service import Service
from . import compat, job_panel


class LoraFilesView:
    """One accordion, hidden until something is trained.  outputs: what `show` gives values for."""

    def __init__(self, service: Service, workspace: Any) -> None:
        self.desk = LoraFilesService(service)
        self.workspace = workspace
        self.outputs: list[Any] = []

    def build(self) -> None:
        """Put it into the gradio block that is open."""
        with gr.Accordion(
            "LoRA files", open=False, visible=False, elem_id="singlelora_files"
        ) as whole:
            self.lora = compat.unsaved(gr.Dropdown([], label="LoRA", elem_id="singlelora_file"))
            self.look = gr.Button("Summary", elem_id="singlelora_look_file", size="sm")
            self.picture = gr.Image(
                label="Strength of its blocks",
                type="filepath",
                interactive=False,
                visible=False,
                elem_id="singlelora_file_blocks",
            )
            with gr.Row():
                self.preset = compat.unsaved(
                    gr.Textbox(
                        "OUTD",
                        label="Block preset",
                        elem_id="singlelora_bake_preset",
                        max_lines=1,
                        min_width=90,
                        info="A name, or 17 or 26 values.",
                    )
                )
                self.strength = compat.unsaved(
                    gr.Number(
                        0.8, label="Strength", elem_id="singlelora_bake_strength", min_width=60
                    )
                )
            self.bake = gr.Button("Bake into a copy", elem_id="singlelora_bake", size="sm")
            self.several = compat.unsaved(
                gr.CheckboxGroup([], label="Epochs to merge", elem_id="singlelora_merge_files")
            )
            self.method = compat.unsaved(
                gr.Radio(
                    ["average", "ema"],
                    value="average",
                    label="Method",
                    elem_id="singlelora_merge_method",
                    info="ema: later epochs count more.",
                )
            )
            self.merge = gr.Button("Merge", elem_id="singlelora_merge", size="sm")
            self.rank = compat.unsaved(
                gr.Number(8, label="Rank", precision=0, elem_id="singlelora_resize_rank")
            )
            self.resize = gr.Button(
                "Resize a copy to this rank", elem_id="singlelora_resize", size="sm"
            )
            self.told = compat.html("", "singlelora_files_told")
        self.outputs = [whole, self.lora, self.several]

    def events(self) -> None:
        """Connect the parts."""
        quiet = compat.quiet()
        name = self.workspace
        results = [self.told, self.lora, self.several]
        self.look.click(self._look, [name, self.lora], [self.told, self.picture], **quiet)
        self.bake.click(self._bake, [name, self.lora, self.preset, self.strength], results, **quiet)
        self.merge.click(self._merge, [name, self.several, self.method], results, **quiet)
        self.resize.click(self._resize, [name, self.lora, self.rank], results, **quiet)

    def show(self, name: str) -> list[Any]:
        """Values of `outputs` for a workspace."""
        names = list(self.desk.files(name))
        last = names[-1] if names else None
        return [
            gr.update(visible=bool(names)),
            gr.update(choices=names, value=last),
            gr.update(choices=names, value=[]),
        ]

    def _look(self, name: str, lora: str | None) -> list[Any]:
        try:
            summary = self.desk.summary(name, lora or "")
        except SingleLoraError as error:
            return [job_panel.note(str(error), bad=True), gr.update(visible=False)]
        path = self.desk.service.file(name, summary["picture"])
        return [job_panel.note(summary["description"]), gr.update(value=str(path), visible=True)]

    def _bake(self, name: str, lora: str | None, preset: str, strength: float | None) -> list[Any]:
        return self._written(
            name,
            lambda: self.desk.bake(
                name, lora or "", preset or "ALL", 1.0 if strength is None else strength
            ),
        )

    def _merge(self, name: str, loras: Sequence[str], method: str) -> list[Any]:
        return self._written(name, lambda: self.desk.merge(name, loras, method))

    def _resize(self, name: str, lora: str | None, rank: int | None) -> list[Any]:
        return self._written(name, lambda: self.desk.resize(name, lora or "", int(rank or 0)))

    def _written(self, name: str, make: Callable[[], dict[str, Any]]) -> list[Any]:
        try:
            result = make()
        except SingleLoraError as error:
            return [job_panel.note(str(error), bad=True), gr.update(), gr.update()]
        names = list(self.desk.files(name))
        tag = html.escape(f"<lora:{result['name']}:1>")
        text = html.escape(f"{result['told']}. It lies in {result['file']}.")
        line = f'<p class="singlelora-line" role="alert"><code>{tag}</code> {text}</p>'
        return [line, gr.update(choices=names), gr.update(choices=names)]
