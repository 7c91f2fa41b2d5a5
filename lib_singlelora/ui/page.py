"""The page's place in gradio: the app is mounted here, beside what only gradio can do.

The app (javascript/app) speaks to the HTTP API.  gradio keeps the tab itself, buttons that fill
other tabs of the host, and what only this host can do.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from ..errors import SingleLoraError
from ..service.service import Handover, Service
from . import compat

HIDDEN = "singlelora-hidden"


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
    page_key: lets the page use the API where only the API has users.
    """

    sends: Sequence[Send] = ()
    actions: Sequence[Action] = ()
    lacking: Mapping[str, str] = field(default_factory=dict)
    page_key: str = ""


def build(service: Service, extras: Extras | None = None) -> None:
    """Put the page into the gradio block that is open."""
    added = extras or Extras()
    if added.lacking:
        compat.html(lacking(added.lacking), "singlelora_lacking")
    key = html.escape(added.page_key, quote=True)
    compat.html(f'<div id="singlelora_app" data-key="{key}"></div>', "singlelora_place")
    note = compat.html("", "singlelora_note")
    with gr.Row():
        for action in added.actions:
            button = gr.Button(action.label, elem_id=action.elem_id, size="sm")
            button.click(_doer(action), None, [note], **compat.quiet())
    _sends(service, added.sends, note)


def tab(service: Service, extras: Extras) -> Any:
    """The page as a block of its own, as the WebUI wants a tab."""
    with gr.Blocks(analytics_enabled=False) as blocks:
        build(service, extras)
    return blocks


def _sends(service: Service, sends: Sequence[Send], note: Any) -> None:
    """Hidden buttons that the app presses, and the field in which it names the workspace."""
    workspace = compat.unsaved(
        gr.Textbox(elem_id="singlelora_workspace", elem_classes=[HIDDEN], label="Workspace")
    )
    for send in sends:
        button = gr.Button(send.label, elem_id=send.elem_id, elem_classes=[HIDDEN])
        button.click(_sender(service, send), [workspace], [note, *send.outputs], **compat.quiet())
        button.click(None, None, None, **compat.script(send.script))


def _doer(action: Action) -> Callable[[], list[Any]]:
    def do() -> list[Any]:
        try:
            return [line(action.run())]
        except SingleLoraError as error:
            return [line(str(error), bad=True)]

    return do


def _sender(service: Service, send: Send) -> Callable[[str], list[Any]]:
    def values(name: str) -> list[Any]:
        try:
            return ["", *send.values(service.handover(name))]
        except SingleLoraError as error:
            return [line(str(error), bad=True), *(gr.update() for _ in send.outputs)]

    return values


def line(text: str, bad: bool = False) -> str:
    """One line for the user, as HTML."""
    if not text:
        return ""
    kind = "singlelora-error" if bad else "singlelora-line"
    return f'<p class="{kind}" role="alert">{html.escape(text)}</p>'


def lacking(packages: Mapping[str, str]) -> str:
    """Packages that install.py could not install.  packages: name -> the command that does."""
    return "".join(
        f'<p class="singlelora-error" role="alert">Missing: {html.escape(name)}. What needs it'
        f" fails with an error. To install it, run <code>{html.escape(command)}</code> and"
        " restart the WebUI.</p>"
        for name, command in packages.items()
    )
