"""What a sheet varies: the settings' lists as dimensions, and each combination as a place."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..captions.prompt_bars import split_prompts
from ..captions.prompt_language import escape, prompt_of
from ..captions.prompt_sets import build_prompts
from ..errors import LoraFileError, LoraKeyError, SettingsError
from ..host import Host
from ..judge.cells import NO_LORA, CellSpec, LoraSource
from ..library.bake import bake_preset
from ..library.block_presets import known_presets
from ..library.choose import lora_of_workspace
from ..library.epochs import no_loras_error
from ..lora.files import read_lora
from ..settings.declare import SEEDS
from ..settings.schema import Settings
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
from ..workspace.kohya_folders import list_pictures, read_caption
from ..workspace.workspace import Workspace

MOST_PICTURES = 1000  # of a cell
MOST_ON_A_SHEET = 10_000  # pictures


@dataclass(frozen=True)
class Layout:
    """places: every cell in the order of drawing, those without the LoRA first.  tables: where they
    lie.

    base: label -> place, of the cells without the LoRA.
    main: the places that are compared to recommend one, all seeds in one.
    """

    places: tuple[CellSpec, ...]
    tables: tuple[Table, ...]
    by_spot: Mapping[Spot, CellSpec]
    base: tuple[tuple[str, CellSpec], ...]
    main: frozenset[CellSpec]
    prompts: tuple[tuple[str, str], ...]


def seeds_of(settings: Settings) -> tuple[int, ...]:
    """The seeds of a cell: one number is a count from `plot.first_seed` on, several are the seeds
    themselves.

    Raises: SettingsError, for none.
    """
    given = settings.plot.seeds
    if not given or given == (0,):
        raise SettingsError(
            "plot.seeds: found none, expected a count such as 2, or seeds such as 11,12,13"
        )
    if len(given) > 1 or given[0] > MOST_PICTURES:  # no count, so it is the seed itself
        return given
    return tuple((settings.plot.first_seed + i) % SEEDS for i in range(given[0]))


def seeds_note(settings: Settings) -> str:
    """A sentence where one number was taken as a seed and not as a count, else ''."""
    given = settings.plot.seeds
    if len(given) != 1 or given[0] <= MOST_PICTURES:
        return ""
    return (
        f"plot.seeds: {given[0]} is more than a count can be ({MOST_PICTURES}), so it is taken as"
        " that seed"
    )


def chosen_epochs(
    settings: Settings, workspace: Workspace, files: dict[int, Path]
) -> dict[int, Path]:
    """The epochs to plot.

    Raises: LoraFileError, when one is not there; SettingsError, for something else.
    """
    if not files:
        raise no_loras_error(workspace, "no trained epochs, expected LoRA files")
    text = settings.plot.epochs.strip()
    if text in ("", "all"):
        return files
    chosen = {}
    for piece in text.split(","):
        if not piece.strip().isdecimal():
            raise SettingsError(
                f"plot.epochs: found {text!r}, expected 'all' or numbers such as 2,4,6"
            )
        epoch = int(piece)
        if epoch not in files:
            there = ", ".join(map(str, files))
            raise LoraFileError(
                f"epoch {epoch}: found no file of it in model/, expected one of {there}; choose one"
                " of these"
            )
        chosen[epoch] = files[epoch]
    return chosen


def default_prompt(settings: Settings) -> str:
    """What the pictures show when nothing is asked for: the character, plainly."""
    character = settings.character
    return prompt_of(
        (
            character.trigger,
            character.class_token,
            "solo",
            "upper body",
            "looking at viewer",
            "simple background",
        )
    )


def prompts_of(settings: Settings, workspace: Workspace) -> tuple[str, ...]:
    """The prompts of the sheet: several, a set made of her captions and traits, both, or the one."""
    options, character = settings.plot, settings.character

    def named(prompt: str) -> str:
        return prompt.replace("{trigger}", escape(character.trigger)).replace(
            "{class}", escape(character.class_token)
        )

    asked = [named(prompt) for prompt in split_prompts(options.prompts)]
    if options.prompt_set != "none":
        captions = [read_caption(path) for path in list_pictures(workspace.image_folder(settings))]
        traits = {
            trait["tag"]: (trait["seen"], trait["visible"])
            for trait in workspace.record("caption").data.get("traits", ())
        }
        asked += build_prompts(
            options.prompt_set, character.trigger, character.class_token, captions, traits
        )
    return tuple(dict.fromkeys(asked)) or (named(options.prompt) or default_prompt(settings),)


def compared_files(settings: Settings, workspace: Workspace) -> dict[LoraSource, Path]:
    """The files of `plot.compare`, in its order.

    Raises: LoraFileError, WorkspaceError.
    """
    found = {}
    for number, text in enumerate(settings.plot.compare, 1):
        # A relative path starts at the workspace: ../isabella is version 1
        folder = workspace.root / Path(text).expanduser()
        path = lora_of_workspace(folder) if folder.is_dir() else folder
        if not path.is_file():
            raise LoraFileError(
                f"plot.compare: found no {text}, expected LoRA files or workspaces; check the path"
            )
        label = f"{folder.name}: {path.stem}" if folder.is_dir() else path.stem
        found[LoraSource.other_file(number, label)] = path
    return found


def _files_axis(sources: Iterable[LoraSource]) -> Dimension:
    return Dimension("epoch", tuple(sources), tuple(source.name for source in sources))


def _refine_axis(values: Sequence[float]) -> Dimension:
    own = tuple(values) or (0.0,)
    return Dimension(
        "refine", own, tuple(f"redrawn at {value:g}" if value else "as drawn" for value in own)
    )


def dimensions_of(
    settings: Settings, workspace: Workspace, host: Host, sources: Iterable[LoraSource]
) -> tuple[Dimension, ...]:
    """What may vary, in the order of drawing.  Raises: SettingsError."""
    options = settings.plot
    if not options.strengths or not options.presets:
        raise SettingsError(
            "plot.strengths and plot.presets: found none, expected at least one of each"
        )
    prompts, negatives = (
        prompts_of(settings, workspace),
        split_prompts(options.negative_prompts) or [options.negative_prompt],
    )
    samplers = options.samplers or (options.sampler,)
    for sampler in samplers:
        if sampler not in host.samplers:
            raise SettingsError(
                f"sampler: found {sampler!r}, expected one of {', '.join(host.samplers)}"
            )
    words = replacements(options.search_replace, *prompts, *negatives)
    own: Sequence[int | None] = (
        seeds_of(settings) if "seed" in (options.x, options.y, options.z) else (None,)
    )
    return (
        _files_axis(sources),
        make_dimension("preset", options.presets),
        make_dimension("strength", options.strengths),
        _refine_axis(options.refine),
        make_dimension(
            "checkpoint",
            options.checkpoints or ("",),
            [Path(name).stem or name for name in options.checkpoints] or [""],
        ),
        make_dimension("clip_skip", options.clip_skips or (settings.training.clip_skip,)),
        make_dimension("negative_prompt", negatives),
        make_dimension("prompt", prompts, prompt_labels(prompts)),
        make_dimension(
            "search_replace", [(words[0], word) for word in words] or [("", "")], words or [""]
        ),
        make_dimension("cfg_scale", options.cfg_scales or (options.cfg_scale,)),
        make_dimension("sampler", samplers),
        make_dimension("seed", own),
    )


def lay_out(
    settings: Settings, workspace: Workspace, host: Host, sources: Mapping[LoraSource, Path]
) -> Layout:
    """Every cell and its place on the sheet.

    sources: the LoRA files to draw with.
    Raises: SettingsError, PresetError, LoraFileError: before anything is drawn.
    """
    for name in settings.plot.checkpoints:
        host.other_checkpoint(name)
    dimensions, options = dimensions_of(settings, workspace, host, sources), settings.plot
    _check_size(
        dimensions, 1 if "seed" in (options.x, options.y, options.z) else len(seeds_of(settings))
    )
    found = lay_out_tables(dimensions, options.x, options.y, options.z)
    files = _files(
        sources, options.presets, workspace, known_presets(settings, host), host.checkpoint.path
    )
    beside = [each for each in dimensions if each.name not in LORA_AXES]
    base = {spot: _place(None, values_at(beside, spot)) for spot in all_spots(beside)}
    by_spot = {spot: _place(files, values_at(dimensions, spot)) for spot in all_spots(dimensions)}
    several = [len(each.values) > 1 for each in beside]
    names = [
        " · ".join(
            each.labels[i] for each, i, told in zip(beside, spot, several, strict=True) if told
        )
        for spot in base
    ]
    first = next(iter(base.values()))
    main = [
        place
        for place in (*base.values(), *by_spot.values())
        if beside_of(place) == beside_of(first)
    ]
    told = next(each for each in dimensions if each.name == "prompt")
    # Each checkpoint is loaded once, whatever else changes.
    order = {name: number for number, name in enumerate(options.checkpoints)}
    places = sorted(
        dict.fromkeys((*base.values(), *by_spot.values())),
        key=lambda place: order.get(place.checkpoint, 0),
    )
    return Layout(
        tuple(places),
        tuple(found),
        by_spot,
        tuple(zip(names, base.values(), strict=True)),
        frozenset(main),
        tuple(zip(told.labels, told.values, strict=True)),
    )


def _check_size(dimensions: Sequence[Dimension], seeds: int) -> None:
    """Raises: SettingsError, for more pictures than one sheet can show, before they are counted out
    one by one.
    """
    lengths = {each.name: len(each.values) for each in dimensions}
    lengths["seed"] = max(seeds, lengths["seed"])
    total = math.prod(lengths.values())
    if total > MOST_ON_A_SHEET:
        told = " x ".join(
            f"{count} {name.replace('_', ' ')}s"
            for name, count in sorted(lengths.items(), key=lambda item: -item[1])
            if count > 1
        )
        raise SettingsError(
            f"plot: found {total} pictures ({told}), expected {MOST_ON_A_SHEET} at most; shorten"
            " the longest lists, such as plot.epochs=2,4,6, and try the rest on a second sheet"
        )


def beside_of(place: CellSpec) -> tuple[Any, ...]:
    """What a place varies beside LoRA and seed."""
    return (
        place.checkpoint,
        place.prompt,
        place.negative_prompt,
        place.sampler,
        place.cfg_scale,
        place.clip_skip,
    )


def _place(files: Mapping[tuple[LoraSource, str], Path] | None, at: Mapping[str, Any]) -> CellSpec:
    search, word = at["search_replace"]
    prompt, negative = (
        text.replace(search, word) if search else text
        for text in (at["prompt"], at["negative_prompt"])
    )
    beside = (prompt, negative, at["sampler"], at["cfg_scale"], at["clip_skip"], at["seed"])
    if files is None:
        return CellSpec(NO_LORA, 0.0, "", None, *beside, checkpoint=at["checkpoint"])
    return CellSpec(
        at["epoch"],
        at["strength"],
        at["preset"],
        files[(at["epoch"], at["preset"])],
        *beside,
        checkpoint=at["checkpoint"],
        refine=at["refine"],
    )


def _files(
    sources: Mapping[LoraSource, Path],
    presets: Sequence[str],
    workspace: Workspace,
    known: Mapping[str, str],
    checkpoint: Path,
) -> dict[tuple[LoraSource, str], Path]:
    """The file of each source and preset; what is wrong with one is told now, not an hour later.

    Raises: LoraFileError.
    """
    loras = {source: read_lora(path) for source, path in sources.items()}
    counts = Counter(lora.layout.name for lora in loras.values())
    # Of as many, those that hosts can draw with
    usual = max(counts, key=lambda name: (counts[name], name != "sdxl"))
    for lora in loras.values():
        if lora.layout.name != usual:
            raise LoraKeyError(
                f"{lora.name}: found a LoRA for {lora.layout.name}, expected one for {usual} as the"
                " others are. Was it trained for another base model?"
            )
    return {
        (source, preset): bake_preset(path, loras[source], preset, workspace, known, checkpoint)
        for source, path in sources.items()
        for preset in presets
    }


def name_of(place: CellSpec) -> str:
    """A place in words."""
    seed = "" if place.seed is None else f", seed {place.seed}"
    return (place.words if place.has_lora else "without the LoRA") + seed
