"""Loss terms that compare with the frozen checkpoint: what they need."""

from __future__ import annotations

from collections.abc import Sequence

from ..captions.text import split_tags
from ..errors import TrainingError
from ..settings.training import TrainingSettings
from .epoch_plan import Picture


def check_terms(settings: TrainingSettings, pictures: Sequence[Picture]) -> None:
    """Check that the pictures have what the loss terms need.

    Raises: TrainingError, naming the picture and what to do.
    """
    character = [picture for picture in pictures if not picture.regularization]
    if settings.masked_prior_weight:
        without = [picture for picture in character if picture.mask is None]
        if without:
            raise TrainingError(
                f"training.masked_prior_weight: {len(without)} of {len(character)} pictures have no"
                f" mask (first: {without[0].path.name}), expected one for each; make crops of the"
                " prepared picture, take your own pictures out, or set it to 0"
            )
    if settings.dop_weight:
        nameless = [picture for picture in character if not picture.class_token.strip()]
        if nameless:
            raise TrainingError(
                "training.dop_weight: found no class to put in the trigger's place, expected one;"
                " set character.class_token, or set it to 0"
            )
        if not any(picture.trigger in split_tags(picture.caption) for picture in character):
            raise TrainingError(
                "training.dop_weight: no caption has the trigger"
                f" '{character[0].trigger if character else ''}', expected it in at least one:"
                " there is nothing to replace by the class; caption the pictures, or set it to 0"
            )
