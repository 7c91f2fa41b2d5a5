"""Reader of the stage `caption`: the tags that were seen in each crop."""

from __future__ import annotations

from .workspace import Workspace


def seen_tags(workspace: Workspace) -> dict[str, list[str]]:
    """The taggers' tags of each crop by the stem of its file; empty without a tagger.

    They include the tags that captions leave out.
    """
    seen = workspace.record("caption").data.get("seen", {})
    return {str(name): list(tags) for name, tags in seen.items()}
