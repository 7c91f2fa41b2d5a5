"""The command line's options for the regularization set: see what was put aside and why, take back,
put aside by hand.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..workspace.workspace import Workspace


def add_options(regularize: argparse.ArgumentParser) -> None:
    """Add them to the stage's own parser."""
    regularize.add_argument(
        "--list", action="store_true", help="only list the pictures, and why some were put aside"
    )
    regularize.add_argument(
        "--take-back",
        action="append",
        default=[],
        metavar="N",
        help="only take a rejected picture back, such as 7; may be given again",
    )
    regularize.add_argument(
        "--reject",
        action="append",
        default=[],
        metavar="N",
        help="only put a picture aside by hand",
    )


def is_review(options: argparse.Namespace) -> bool:
    """Whether the call is about pictures that are there, and draws nothing."""
    return bool(options.list or options.take_back or options.reject)


def run_review(options: argparse.Namespace) -> dict[str, Any]:
    """Do what the options ask.  Raises: WorkspaceError."""
    from ..curation.regularization import review

    workspace = Workspace(options.workspace, create=False)
    state = review(workspace.load_settings(), workspace, options.take_back, options.reject)
    return {
        "workspace": str(workspace.root),
        "kept": {str(path): own.prompt for path, own in state.kept.items()},
        "by_hand": [
            str(path) for path, own in {**state.kept, **state.rejected}.items() if own.by == "hand"
        ],
        "rejected": {str(path): list(own.reasons) for path, own in state.rejected.items()},
    }


def render(result: dict[str, Any]) -> str:
    """The result for people."""
    hand = set(result["by_hand"])
    lines = [
        f"{Path(path).stem}  kept{' by hand' * (path in hand)}  {prompt}"
        for path, prompt in result["kept"].items()
    ]
    lines += [
        f"{Path(path).stem}  rejected  {'; '.join(reasons)}"
        for path, reasons in result["rejected"].items()
    ]
    return "\n".join(
        [
            *lines,
            (
                f"{len(result['kept'])} kept, {len(result['rejected'])} rejected; --take-back N and"
                " --reject N change that; a later 'regularize' fills the set up"
            ),
        ]
    )
