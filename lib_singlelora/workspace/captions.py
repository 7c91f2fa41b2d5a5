"""Reader of the stage `caption`: the tags that were seen in each crop, and those doubted."""

from __future__ import annotations

from ..captions.plausibility import Doubt
from .stage_record import StageRecord
from .workspace import Workspace


def seen_tags(workspace: Workspace) -> dict[str, list[str]]:
    """The taggers' tags of each crop by the stem of its file; empty without a tagger.

    They include the tags that captions leave to the trigger, not those that are doubted.
    """
    seen = workspace.record("caption").data.get("seen", {})
    return {str(name): list(tags) for name, tags in seen.items()}


def doubts_in(record: StageRecord) -> dict[str, list[Doubt]]:
    """The tags that each crop cannot show, with the reasons, by the stem of its file."""
    doubts = record.data.get("doubts", {})
    return {
        str(name): [Doubt(doubt["tag"], doubt["reason"]) for doubt in of_crop]
        for name, of_crop in doubts.items()
    }
