"""Form fields from the declarations of settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_origin

import gradio as gr

from ..settings.declare import Declaration, join_list
from ..settings.preset_files import preset_names, shipped_presets
from ..settings.schema import Settings, declarations, group_of
from . import compat

TITLES = {
    "prepare": "Prepare the picture",
    "crop": "Cut close-ups",
    "caption": "Caption",
    "regularization": "Regularization set",
    "training": "Train",
    "plot": "Plot",
    "inpaint": "Inpaint",
}
# Sections without a stage of their own -> the section under which they are shown
BELOW = {"judge": "plot", "loopback": "inpaint"}
# Sections that are not named like their stage
STAGE_OF = {"regularization": "regularize", "training": "train"}
# What most users touch; the other settings are folded away under their groups' headings.
FIRST = {
    section: tuple(keys.split())
    for section, keys in {
        "prepare": "long_side upscaler clean_artifacts mask background",
        "caption": "tagger outfit general_threshold prune",
        "regularization": "count template steps sampler filter",
        "training": (
            "preset epochs repeats unet_lr text_encoder_lr rank alpha batch_size algorithm "
            "optimizer scheduler block_weights regularization sample_every"
        ),
        "plot": "strengths presets epochs seeds prompt prompt_set x y z steps sampler",
        "inpaint": "prompt count strength denoise redraw area fill lora preset steps",
    }.items()
}


def field(declared: Declaration, value: Any) -> Any:
    """The component for one setting, with this value in it."""
    unit = f" ({declared.unit})" if declared.unit else ""
    common: dict[str, Any] = {
        "label": declared.label + unit,
        "info": declared.help,
        "elem_id": f"singlelora_{declared.name.replace('.', '_')}",
    }
    kind = declared.kind
    if declared.name == "training.preset":
        shipped = [f"{preset.name}: {preset.about}" for preset in shipped_presets()]
        common["info"] = " ".join((declared.help, *shipped))
        component = gr.Dropdown(preset_names(), value=value, **common)
    elif kind is bool:
        component = gr.Checkbox(value=value, **common)
    elif declared.choices and get_origin(kind) is not tuple:
        component = gr.Dropdown(
            list(declared.choices), value=value, allow_custom_value=bool(declared.pattern), **common
        )
    elif get_origin(kind) is tuple or kind is str:
        component = gr.Textbox(value=as_field_value(value), max_lines=4, **common)
    else:
        component = gr.Number(value=value, precision=0 if kind is int else None, **common)
    # The workspace keeps its settings; the WebUI's ui-config.json must not change them
    return compat.unsaved(component)


def as_field_value(value: Any) -> Any:
    """A setting's value as its field shows it."""
    return join_list(value) if isinstance(value, tuple) else value


def fields_of(section: str, settings: Settings) -> dict[str, Any]:
    """Dotted name -> component for every setting of a section, in the open gradio block."""
    members = [
        declared
        for declared in declarations()
        if BELOW.get(declared.section, declared.section) == section
    ]
    first = FIRST.get(section, tuple(declared.key for declared in members))
    top = [d for d in members if d.section == section and d.key in first]
    top.sort(key=lambda declared: first.index(declared.key))
    fields = {d.name: field(d, settings.get(d.name)) for d in top}
    folded: dict[str, list[Declaration]] = {}
    for declared in members:
        if declared.name not in fields:
            folded.setdefault(group_of(declared.name), []).append(declared)
    for title, group in folded.items():
        with gr.Accordion(title, open=False, elem_classes=["singlelora-more"]):
            fields.update({d.name: field(d, settings.get(d.name)) for d in group})
    return fields


def values_of(settings: Settings, fields: Mapping[str, Any]) -> list[Any]:
    """The values of these fields, in their order."""
    return [as_field_value(settings.get(name)) for name in fields]
