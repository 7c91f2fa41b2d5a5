"""Machines that share units must have the same checkpoint."""

from __future__ import annotations

import platform
from typing import Any

from ..errors import CheckpointError
from ..host import Host
from .unit_queue import UnitQueue

SHOWN = 12  # characters of a hash


def checkpoint_entry(host: Host) -> dict[str, Any]:
    """What a plan says of the checkpoint."""
    checkpoint = host.checkpoint
    return {"name": checkpoint.name, "sha256": checkpoint.sha256, "path": str(checkpoint.path)}


def check_checkpoint(queue: UnitQueue, host: Host) -> None:
    """Raises: CheckpointError, telling both hashes, where the host has another checkpoint."""
    expected = queue.plan["checkpoint"]
    found = host.checkpoint
    if found.sha256 != expected["sha256"]:
        raise CheckpointError(
            f"{queue.name}: found checkpoint {found.name} ({found.sha256[:SHOWN]}) on"
            f" {platform.node()}, expected {expected['name']} ({expected['sha256'][:SHOWN]}), with"
            " which it was begun; pass that file with --checkpoint, or begin another with --name"
        )
