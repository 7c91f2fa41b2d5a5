"""A page with a message only."""

from __future__ import annotations

from typing import Any

import gradio as gr


def notice(text: str) -> Any:
    """A block with a piece of HTML."""
    with gr.Blocks(analytics_enabled=False) as blocks:
        gr.HTML(text)
    return blocks
