"""The pictures of the validation: the prepared picture, or crops that are held out."""

from __future__ import annotations

import difflib
import random
from collections.abc import Sequence

from ..crops.buckets import Size, nearest_bucket
from ..errors import SettingsError, TrainingError
from ..imaging.load import picture_size
from ..settings.schema import Settings
from ..settings.training import TrainingSettings
from ..training.epoch_plan import Picture
from ..workspace.workspace import Workspace

SHARE = 5  # one crop in so many is held out


def split_validation(
    settings: Settings, workspace: Workspace, pictures: Sequence[Picture], buckets: list[Size]
) -> tuple[list[Picture], list[Picture]]:
    """(pictures to train on, pictures to validate on).

    Raises: TrainingError, when no crop is left to train on; SettingsError, for an unknown crop.
    """
    if settings.training.validation == "picture":
        return list(pictures), [_whole(settings, workspace, buckets)]
    if settings.training.validation == "holdout":
        crops = [picture for picture in pictures if not picture.regularization]
        held_out = _held_out(settings.training, crops)
        return [picture for picture in pictures if picture not in held_out], held_out
    return list(pictures), []


def _whole(settings: Settings, workspace: Workspace, buckets: list[Size]) -> Picture:
    """The prepared picture, as a validation picture."""
    character = settings.character
    path = workspace.prepared
    if not path.is_file():
        raise TrainingError(
            f"training.validation=picture: found no {path}, expected the prepared picture; call"
            " 'prepare' first, or set it to holdout or off"
        )
    return Picture(
        path,
        f"{character.trigger}, {character.class_token}",
        nearest_bucket(picture_size(path), buckets),
    )


def _held_out(options: TrainingSettings, crops: Sequence[Picture]) -> list[Picture]:
    """The crops that are not trained on: those of the settings, else one in SHARE at random."""
    if len(crops) < 2:
        raise TrainingError(
            f"training.validation=holdout: found {len(crops)} crop, expected two at least, one to"
            " train on and one to keep; set it to picture or off"
        )
    names = [picture.path.stem for picture in crops]
    chosen = set(options.validation_views)
    for name in options.validation_views:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
            raise SettingsError(
                f"training.validation_views: found no crop '{name}'; did you mean '{near[0]}'?"
                f" There are: {', '.join(sorted(set(names)))}"
            )
    if not chosen:
        ordered = sorted(set(names))
        generator = random.Random(f"{options.seed}/holdout")
        chosen = set(generator.sample(ordered, max(1, len(ordered) // SHARE)))
    held = [picture for picture in crops if picture.path.stem in chosen]
    if len(held) == len(crops):
        raise TrainingError(
            f"training.validation_views: found all {len(crops)} crops held out, expected some to"
            " train on; name fewer"
        )
    return held
