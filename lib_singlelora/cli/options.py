"""Options that several subcommands have."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Add `--checkpoint FILE`."""
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="Stable Diffusion 1, 2 or SDXL, .safetensors or .ckpt",
    )


def add_assignments(parser: argparse.ArgumentParser) -> None:
    """Add `--set NAME=VALUE`, which may be given several times."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting, such as training.rank=8",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument(
        "--json", action="store_true", help="print the result as one JSON object and nothing else"
    )


def add_workspace(parser: argparse.ArgumentParser) -> None:
    """Add `--workspace DIR`, which must be given."""
    parser.add_argument(
        "--workspace", type=Path, required=True, metavar="DIR", help="the character's folder"
    )
