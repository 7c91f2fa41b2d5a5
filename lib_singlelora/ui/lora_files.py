"""The page's part on LoRA files: what is in one, block weights baked in, epochs merged, a smaller
rank.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from ..errors import SingleLoraError
from ..service.lora_files import LoraFilesService
from ..service.service import Service
from . import compat, panel


class LoraFilesView:
    """One accordion, hidden until something is trained.  outputs: what `show` gives values for."""

    def __init__(self, service: Service, workspace: Any) -> None:
        self.desk, self.workspace = LoraFilesService(service), workspace
        self.outputs: list[Any] = []

    def build(self) -> None:
        """Put it into the gradio block that is open."""
        with gr.Accordion(
            "LoRA files", open=False, visible=False, elem_id="singlelora_files"
        ) as whole:
            self.lora = _own(gr.Dropdown([], label="LoRA", elem_id="singlelora_file"))
            self.look = gr.Button("What is in it", elem_id="singlelora_look_file", size="sm")
            self.picture = gr.Image(
                label="Its blocks",
                type="filepath",
                interactive=False,
                visible=False,
                elem_id="singlelora_file_blocks",
            )
            with gr.Row():
                self.preset = _own(
                    gr.Textbox(
                        "OUTD",
                        label="Block preset",
                        elem_id="singlelora_bake_preset",
                        max_lines=1,
                        min_width=90,
                        info="A name, or 17 or 26 values.",
                    )
                )
                self.strength = _own(
                    gr.Number(
                        0.8, label="Strength", elem_id="singlelora_bake_strength", min_width=60
                    )
                )
            self.bake = gr.Button("Bake them into a copy", elem_id="singlelora_bake", size="sm")
            self.several = _own(
                gr.CheckboxGroup([], label="Epochs to merge", elem_id="singlelora_merge_files")
            )
            self.method = _own(
                gr.Radio(
                    ["average", "ema"],
                    value="average",
                    label="How",
                    elem_id="singlelora_merge_method",
                    info="ema: later epochs count more.",
                )
            )
            self.merge = gr.Button("Merge them", elem_id="singlelora_merge", size="sm")
            self.rank = _own(
                gr.Number(8, label="Rank", precision=0, elem_id="singlelora_resize_rank")
            )
            self.resize = gr.Button(
                "Cut a copy to this rank", elem_id="singlelora_resize", size="sm"
            )
            self.told = compat.html("", "singlelora_files_told")
        self.outputs = [whole, self.lora, self.several]

    def events(self) -> None:
        """Connect the parts."""
        quiet, name = compat.quiet(), self.workspace
        made = [self.told, self.lora, self.several]
        self.look.click(self._look, [name, self.lora], [self.told, self.picture], **quiet)
        self.bake.click(self._bake, [name, self.lora, self.preset, self.strength], made, **quiet)
        self.merge.click(self._merge, [name, self.several, self.method], made, **quiet)
        self.resize.click(self._resize, [name, self.lora, self.rank], made, **quiet)

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
            found = self.desk.summary(name, lora or "")
        except SingleLoraError as error:
            return [panel.note(str(error), bad=True), gr.update(visible=False)]
        path = self.desk.service.file(name, found["picture"])
        return [panel.note(found["description"]), gr.update(value=str(path), visible=True)]

    def _bake(self, name: str, lora: str | None, preset: str, strength: float | None) -> list[Any]:
        return self._made(
            name,
            lambda: self.desk.bake(
                name, lora or "", preset or "ALL", 1.0 if strength is None else strength
            ),
        )

    def _merge(self, name: str, loras: Sequence[str], method: str) -> list[Any]:
        return self._made(name, lambda: self.desk.merge(name, loras, method))

    def _resize(self, name: str, lora: str | None, rank: int | None) -> list[Any]:
        return self._made(name, lambda: self.desk.resize(name, lora or "", int(rank or 0)))

    def _made(self, name: str, make: Callable[[], dict[str, Any]]) -> list[Any]:
        try:
            found = make()
        except SingleLoraError as error:
            return [panel.note(str(error), bad=True), gr.update(), gr.update()]
        names = list(self.desk.files(name))
        tag = html.escape(f"<lora:{found['name']}:1>")
        text = html.escape(f"{found['told']}. It lies in {found['file']}.")
        told = f'<p class="singlelora-line" role="alert"><code>{tag}</code> {text}</p>'
        return [told, gr.update(choices=names), gr.update(choices=names)]


def _own(component: Any) -> Any:
    """Our own component whose value the WebUI's ui-config.json must leave alone."""
    component.do_not_save_to_config = True
    return component
