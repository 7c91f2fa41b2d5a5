"""The command line's word for the config of a v-prediction checkpoint in the WebUI."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from ..jobs import Job
from .options import add_json


def add_parsers(words: Any) -> None:
    """Add the word to argparse's subparsers."""
    config = words.add_parser(
        "vconfig",
        help="write the .yaml by which AUTOMATIC1111's WebUI knows an SDXL checkpoint's"
        " v-prediction",
    )
    config.add_argument("checkpoint", type=Path, metavar="FILE", help="the checkpoint")
    add_json(config)
    config.set_defaults(run=run, render=render)


def run(options: argparse.Namespace, job: Job) -> dict[str, Any]:
    """Write the config beside the checkpoint.

    Raises:
        CheckpointError: the file does not say v-prediction, is of another family, or has a config.
    """
    # Here, for PyTorch comes with it
    from ..families.parameterization import parameterization_of
    from ..families.recognition import recognize
    from ..files.weights import UnreadableWeights, read_header
    from ..hosts import v_config

    path = options.checkpoint
    try:
        header = read_header(path)
    except UnreadableWeights as error:
        raise CheckpointError(
            f"{path.name}: found {error}, expected a checkpoint as .safetensors"
        ) from None
    family = recognize(header.shapes, path.name)
    told = parameterization_of(family, header.shapes, header.metadata)
    text = v_config.full_size(family)
    if text is None or told.prediction != "v_prediction":
        raise CheckpointError(
            f"{path.name}: found {family} with {told}, expected SDXL whose file says v-prediction;"
            " AUTOMATIC1111's WebUI needs no config for this one"
        )
    return {"config": str(v_config.write_beside(path.resolve(), text))}


def render(result: dict[str, Any]) -> str:
    """The result for people."""
    return f"{result['config']} is written; choose another checkpoint in the WebUI, then this one."
