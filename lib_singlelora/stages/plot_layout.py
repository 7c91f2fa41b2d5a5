"""The layout of a sheet: the plan's lists as dimensions, each combination as a cell."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import LoraKeyError, SettingsError
from ..host import CheckpointInfo, Host
from ..judge.cells import NO_LORA, CellSpec, LoraSource
from ..library.bake import bake_preset, require_family
from ..lora.files import read_lora
from ..sheets.axes import (
    LORA_AXES,
    Dimension,
    Spot,
    Table,
    all_spots,
    lay_out_tables,
    make_dimension,
    prompt_labels,
    replacements,
    values_at,
)
from ..workspace.workspace import Workspace
from .plot_plan import SheetPlan

MOST_ON_A_SHEET = 10_000  # pictures


@dataclass(frozen=True)
class Layout:
    """The cells of a sheet and where they lie.

    places: every cell in the order of drawing, those without the LoRA first.
    tables: the tables, whose spots are keys of `by_spot`.
    by_spot: the cells with the LoRA.
    base: label and cell, of the cells without the LoRA.
    main: the cells that are compared to recommend one, all seeds in one.
    prompts: label and text of each prompt.
    """

    places: tuple[CellSpec, ...]
    tables: tuple[Table, ...]
    by_spot: Mapping[Spot, CellSpec]
    base: tuple[tuple[str, CellSpec], ...]
    main: frozenset[CellSpec]
    prompts: tuple[tuple[str, str], ...]


def dimensions_of(plan: SheetPlan, samplers: Sequence[str]) -> tuple[Dimension, ...]:
    """The dimensions of the sheet, in the order of drawing.

    samplers: those of the host.
    Raises: SettingsError.
    """
    options = plan.options
    if not options.strengths or not options.presets:
        raise SettingsError(
            "plot.strengths and plot.presets: found none, expected at least one of each"
        )
    chosen_samplers = options.samplers or (options.sampler,)
    for sampler in chosen_samplers:
        if sampler not in samplers:
            raise SettingsError(
                f"sampler: found {sampler!r}, expected one of {', '.join(samplers)}"
            )
    negatives = plan.negative_prompts
    words = replacements(options.search_replace, *plan.prompts, *negatives)
    pairs = [(words[0], word) for word in words] or [("", "")]
    checkpoint_names = [Path(name).stem or name for name in options.checkpoints] or [""]
    file_names = tuple(source.name for source in plan.sources)
    return (
        Dimension("epoch", tuple(plan.sources), file_names),
        make_dimension("preset", options.presets),
        make_dimension("strength", options.strengths),
        _refine_dimension(options.refine),
        make_dimension("checkpoint", options.checkpoints or ("",), checkpoint_names),
        make_dimension("clip_skip", options.clip_skips or (plan.clip_skip,)),
        make_dimension("negative_prompt", negatives),
        make_dimension("prompt", plan.prompts, prompt_labels(plan.prompts)),
        make_dimension("search_replace", pairs, words or [""]),
        make_dimension("cfg_scale", options.cfg_scales or (options.cfg_scale,)),
        make_dimension("sampler", chosen_samplers),
        make_dimension("seed", plan.seeds if plan.seed_is_an_axis else (None,)),
    )


def _refine_dimension(strengths: Sequence[float]) -> Dimension:
    values = tuple(strengths) or (0.0,)
    labels = tuple(f"redrawn at {value:g}" if value else "as drawn" for value in values)
    return Dimension("refine", values, labels)


def lay_out(plan: SheetPlan, workspace: Workspace, host: Host) -> Layout:
    """Every cell and its place on the sheet.

    Raises: SettingsError, PresetError, LoraFileError, CheckpointError: before anything is drawn.
    """
    options = plan.options
    # A missing one is reported now, not an hour later
    others = [host.other_checkpoint(name) for name in options.checkpoints]
    dimensions = dimensions_of(plan, host.samplers)
    _check_size(dimensions, 1 if plan.seed_is_an_axis else len(plan.seeds))
    sheet_tables = lay_out_tables(dimensions, options.x, options.y, options.z)
    files = _files(plan, workspace, host.checkpoint, others)
    without_lora = [axis for axis in dimensions if axis.name not in LORA_AXES]
    base = {spot: _place(None, values_at(without_lora, spot)) for spot in all_spots(without_lora)}
    by_spot = {spot: _place(files, values_at(dimensions, spot)) for spot in all_spots(dimensions)}
    everywhere = (*base.values(), *by_spot.values())
    first = next(iter(base.values()))
    main = [place for place in everywhere if beside_of(place) == beside_of(first)]
    prompts = next(axis for axis in dimensions if axis.name == "prompt")
    # Each checkpoint is loaded once, whatever else changes.
    order = {name: number for number, name in enumerate(options.checkpoints)}
    places = sorted(dict.fromkeys(everywhere), key=lambda place: order.get(place.checkpoint, 0))
    labels = [_label(without_lora, spot) for spot in base]
    return Layout(
        tuple(places),
        tuple(sheet_tables),
        by_spot,
        tuple(zip(labels, base.values(), strict=True)),
        frozenset(main),
        tuple(zip(prompts.labels, prompts.values, strict=True)),
    )


def _label(dimensions: Sequence[Dimension], spot: Spot) -> str:
    """The labels of what varies at a spot."""
    return " · ".join(
        axis.labels[index]
        for axis, index in zip(dimensions, spot, strict=True)
        if len(axis.values) > 1
    )


def _check_size(dimensions: Sequence[Dimension], seeds: int) -> None:
    """Refuse more pictures than one sheet can show, before they are listed one by one.

    Raises: SettingsError.
    """
    lengths = {axis.name: len(axis.values) for axis in dimensions}
    lengths["seed"] = max(seeds, lengths["seed"])
    total = math.prod(lengths.values())
    if total <= MOST_ON_A_SHEET:
        return
    longest_first = sorted(lengths.items(), key=lambda item: -item[1])
    factors = " x ".join(
        f"{count} {name.replace('_', ' ')}s" for name, count in longest_first if count > 1
    )
    raise SettingsError(
        f"plot: found {total} pictures ({factors}), expected {MOST_ON_A_SHEET} at most; shorten"
        " the longest lists, such as plot.epochs=2,4,6, and try the rest on a second sheet"
    )


def beside_of(place: CellSpec) -> tuple[Any, ...]:
    """The values of a cell beside LoRA and seed."""
    return (
        place.checkpoint,
        place.prompt,
        place.negative_prompt,
        place.sampler,
        place.cfg_scale,
        place.clip_skip,
    )


def _place(
    files: Mapping[tuple[LoraSource, str], Path] | None, values: Mapping[str, Any]
) -> CellSpec:
    """The cell with these values; without files one without the LoRA."""
    search, word = values["search_replace"]

    def replaced(text: str) -> str:
        return text.replace(search, word) if search else text

    beside = (
        replaced(values["prompt"]),
        replaced(values["negative_prompt"]),
        values["sampler"],
        values["cfg_scale"],
        values["clip_skip"],
        values["seed"],
    )
    if files is None:
        return CellSpec(NO_LORA, 0.0, "", None, *beside, checkpoint=values["checkpoint"])
    return CellSpec(
        values["epoch"],
        values["strength"],
        values["preset"],
        files[(values["epoch"], values["preset"])],
        *beside,
        checkpoint=values["checkpoint"],
        refine=values["refine"],
    )


def _files(
    plan: SheetPlan,
    workspace: Workspace,
    checkpoint: CheckpointInfo,
    others: Sequence[CheckpointInfo],
) -> dict[tuple[LoraSource, str], Path]:
    """The file of each source and preset; a mistake in one is reported now, not an hour later.

    Raises: LoraFileError, PresetError.
    """
    loras = {source: read_lora(path) for source, path in plan.sources.items()}
    counts = Counter(lora.layout.name for lora in loras.values())
    # Of equally many, those that the loaded checkpoint can draw with
    usual = max(counts, key=lambda name: (counts[name], name == checkpoint.family.name))
    for lora in loras.values():
        if lora.layout.name != usual:
            raise LoraKeyError(
                f"{lora.name}: found a LoRA for {lora.layout.name}, expected one for {usual} as the"
                " others are. Was it trained for another base model?"
            )
        for other in others:
            require_family(lora, other)
    return {
        (source, preset): bake_preset(
            path, loras[source], preset, workspace, plan.known_presets, checkpoint
        )
        for source, path in plan.sources.items()
        for preset in plan.options.presets
    }


def name_of(place: CellSpec) -> str:
    """A cell in words."""
    seed = "" if place.seed is None else f", seed {place.seed}"
    return (place.words if place.has_lora else "without the LoRA") + seed
