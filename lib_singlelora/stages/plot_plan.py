"""The plan of a sheet, read once before anything is drawn: files, prompts, seeds, presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..captions.prompt_bars import split_prompts
from ..crops.buckets import training_resolution
from ..errors import LoraFileError, SettingsError
from ..files.fileio import file_hash
from ..host import Host
from ..judge.cells import LoraSource
from ..library.block_presets import known_presets, preset_key
from ..library.choose import lora_of_workspace
from ..library.epochs import epoch_files, no_loras_error
from ..settings.declare import SEEDS
from ..settings.plot import PlotSettings
from ..settings.schema import Settings
from ..workspace.workspace import Workspace
from .plot_prompt import prompts_of

MOST_PICTURES = 1000  # in a cell; a larger number in `plot.seeds` is a seed, not a count


@dataclass(frozen=True)
class SheetPlan:
    """The plan of one sheet, as settings, workspace and host are when the stage begins.

    options: the section `plot` of the settings.
    clip_skip: that of the training, used where `plot.clip_skips` names none.
    sources: the LoRA files: the chosen epochs, then the files of `plot.compare`.
    hashes: SHA-256 of each source's file.
    prompts: at least one.
    seeds: those of a cell.
    known_presets: block weights by the name of their preset.
    size: side of a picture, pixels.
    """

    options: PlotSettings
    clip_skip: int
    sources: Mapping[LoraSource, Path]
    hashes: Mapping[LoraSource, str]
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    known_presets: Mapping[str, str]
    size: int

    @property
    def epochs(self) -> dict[int, Path]:
        """The files of this workspace's epochs."""
        return {source.number: path for source, path in self.sources.items() if source.is_epoch}

    @property
    def negative_prompts(self) -> tuple[str, ...]:
        """At least one, which may be empty."""
        return tuple(split_prompts(self.options.negative_prompts)) or (
            self.options.negative_prompt,
        )

    @property
    def seed_is_an_axis(self) -> bool:
        """True where each cell holds one seed."""
        return "seed" in (self.options.x, self.options.y, self.options.z)

    @property
    def seeds_note(self) -> str:
        """A sentence where one number was taken as a seed and not as a count, else ''."""
        numbers = self.options.seeds
        if len(numbers) != 1 or numbers[0] <= MOST_PICTURES:
            return ""
        return (
            f"plot.seeds: {numbers[0]} is more than a count can be ({MOST_PICTURES}), so it is"
            " taken as that seed"
        )

    def preset_key(self, preset: str) -> str:
        """The key by which the block weights of a preset are told from others."""
        return preset_key(preset, self.known_presets)


def read_plan(settings: Settings, workspace: Workspace, host: Host) -> SheetPlan:
    """The plan of the sheet.

    Raises: LoraFileError, PresetError, SettingsError, WorkspaceError.
    """
    epochs = chosen_epochs(settings.plot, workspace, epoch_files(workspace, settings))
    sources = {LoraSource.epoch(number): path for number, path in epochs.items()}
    sources |= compared_files(settings.plot, workspace)
    return SheetPlan(
        options=settings.plot,
        clip_skip=settings.training.clip_skip,
        sources=sources,
        hashes={source: file_hash(path) for source, path in sources.items()},
        prompts=prompts_of(settings, workspace),
        seeds=seeds_of(settings.plot),
        known_presets=known_presets(settings, host),
        size=training_resolution(settings, host),
    )


def seeds_of(options: PlotSettings) -> tuple[int, ...]:
    """The seeds of a cell: one number is a count from `first_seed` on, several are seeds.

    Raises: SettingsError, for none.
    """
    numbers = options.seeds
    if not numbers or numbers == (0,):
        raise SettingsError(
            "plot.seeds: found none, expected a count such as 2, or seeds such as 11,12,13"
        )
    if len(numbers) > 1 or numbers[0] > MOST_PICTURES:
        return numbers
    return tuple((options.first_seed + i) % SEEDS for i in range(numbers[0]))


def chosen_epochs(
    options: PlotSettings, workspace: Workspace, files: Mapping[int, Path]
) -> dict[int, Path]:
    """The epochs to plot, of those on disk.

    Raises: LoraFileError, for an epoch without a file; SettingsError, for something else.
    """
    if not files:
        raise no_loras_error(workspace, "no trained epochs, expected LoRA files")
    text = options.epochs.strip()
    if text in ("", "all"):
        return dict(files)
    chosen = {}
    for piece in text.split(","):
        if not piece.strip().isdecimal():
            raise SettingsError(
                f"plot.epochs: found {text!r}, expected 'all' or numbers such as 2,4,6"
            )
        epoch = int(piece)
        if epoch not in files:
            available = ", ".join(map(str, files))
            raise LoraFileError(
                f"epoch {epoch}: found no file of it in model/, expected one of {available};"
                " choose one of these"
            )
        chosen[epoch] = files[epoch]
    return chosen


def compared_files(options: PlotSettings, workspace: Workspace) -> dict[LoraSource, Path]:
    """The files of `plot.compare`, in its order.

    Raises: LoraFileError, WorkspaceError.
    """
    sources = {}
    for number, text in enumerate(options.compare, 1):
        # A relative path starts at the workspace: ../isabella is version 1
        folder = workspace.root / Path(text).expanduser()
        path = lora_of_workspace(folder) if folder.is_dir() else folder
        if not path.is_file():
            raise LoraFileError(
                f"plot.compare: found no {text}, expected LoRA files or workspaces; check the path"
            )
        label = f"{folder.name}: {path.stem}" if folder.is_dir() else path.stem
        sources[LoraSource.other_file(number, label)] = path
    return sources
