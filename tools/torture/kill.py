"""SIGKILL at random moments of the whole job; the same command again; the files must be those of
the undisturbed job.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import signal
import struct
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from .job import checkpoint_in, ended, fresh, import_everything, prepared_child, whole_job

# What is allowed to differ: when it happened and how long it took.  Everything else is compared.
TIMES = (
    "ss_training_started_at",
    "ss_training_finished_at",
    "ss_session_id",
    "modelspec.date",
    "sshs_legacy_hash",
)
HASHES = re.compile(r"(?<![0-9a-zA-Z+])[0-9a-f]{8,64}(?![0-9a-zA-Z+=])")
NOT_COMPARED = ("log/events.jsonl", "log/events.1.jsonl", "log/pace.json")


@dataclass
class Killed:
    """Figures of a run.  differing: what was found wrong, a line each."""

    kills: int = 0
    jobs: int = 0
    while_writing: int = 0
    by_stage: dict[str, int] = field(default_factory=dict)
    differing: list[str] = field(default_factory=list)
    tracebacks: int = 0
    seconds: float = 0.0


def torture(state: Path, kills: int, seed: int = 0, until: float | None = None) -> Killed:
    """Kill the job `kills` times, or until the clock says `until`."""
    os.nice(10)
    state.mkdir(parents=True, exist_ok=True)
    checkpoint = checkpoint_in(state)
    workspace = state / "workspace"
    output = state / "output.txt"
    import_everything()
    chance = random.Random(seed)
    found = Killed()
    began = time.monotonic()
    wanted, lasts = _undisturbed(workspace, checkpoint, output)
    print(
        f"undisturbed: {lasts:.1f} s, {len(wanted)} files are compared", file=sys.stderr, flush=True
    )
    while found.kills < kills and (until is None or time.time() < until):
        _one_job(fresh(workspace), checkpoint, output, chance, lasts, found, kills)
        wrong = _difference(wanted, contents(workspace))
        found.differing += [f"job {found.jobs}: {line}" for line in wrong]
        if wrong:
            shutil.copytree(workspace, state / f"differs-{found.jobs}", dirs_exist_ok=True)
        found.seconds = round(time.monotonic() - began, 1)
        print(
            f"job {found.jobs}: {found.kills} kills {found.by_stage}, {len(found.differing)}"
            " differences",
            file=sys.stderr,
            flush=True,
        )
    return found


def _undisturbed(workspace: Path, checkpoint: Path, output: Path) -> tuple[dict[str, str], float]:
    started = time.monotonic()
    child = prepared_child(whole_job(fresh(workspace), checkpoint), output)
    status = ended(child, lambda: False)
    if status != 0:
        raise SystemExit(f"the undisturbed job ended with {status}; see {output}")
    return contents(workspace), time.monotonic() - started


def _one_job(
    workspace: Path,
    checkpoint: Path,
    output: Path,
    chance: random.Random,
    lasts: float,
    found: Killed,
    most: int,
) -> None:
    """One job, killed some times on its way, and then left to end."""
    found.jobs += 1
    for _ in range(chance.randint(1, 12)):
        if found.kills >= most:
            break
        if not _killed(workspace, checkpoint, output, chance, lasts, found):
            break
    child = prepared_child(whole_job(workspace, checkpoint), output)
    status = ended(child, lambda: False)
    if status != 0:
        found.differing.append(f"job {found.jobs}: after the kills it ended with {status}")
        found.tracebacks += status == 99


def _killed(
    workspace: Path,
    checkpoint: Path,
    output: Path,
    chance: random.Random,
    lasts: float,
    found: Killed,
) -> bool:
    """Start or go on, and kill; False when the job ended before.

    Half of the kills wait for a file that is being written, where most could be lost.
    """
    child = prepared_child(whole_job(workspace, checkpoint), output)
    moment = time.monotonic() + chance.uniform(0.0, lasts * 0.7)
    writing = chance.random() < 0.5

    def now() -> bool:
        return time.monotonic() > moment and (
            not writing or _is_writing(workspace) or time.monotonic() > moment + 2
        )

    status = ended(child, now)
    if status is not None:
        if status != 0:
            found.differing.append(f"job {found.jobs}: it ended with {status} before it was killed")
            found.tracebacks += status == 99
        return False
    found.while_writing += _is_writing(workspace)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    found.kills += 1
    stage = _stage(workspace)
    found.by_stage[stage] = found.by_stage.get(stage, 0) + 1
    return True


def _is_writing(workspace: Path) -> bool:
    return any(path.name.endswith(".tmp") for path in workspace.rglob(".*"))


def _stage(workspace: Path) -> str:
    """The stage that had begun and not ended."""
    for stage in ("prepare", "crop", "caption", "regularize", "train", "plot", "inpaint"):
        try:
            if not json.loads((workspace / "log" / f"{stage}.json").read_text(encoding="utf-8"))[
                "complete"
            ]:
                return stage
        except (OSError, ValueError, KeyError):
            return stage
    return "end"


def contents(workspace: Path) -> dict[str, str]:
    """Path -> what must be equal of every file: its hash, without times and without what is named
    by them.

    A LoRA's metadata tells when it was trained; pictures of the sheet and inpainted ones are named
    by the hash of the LoRA that drew them.  So hashes in names and texts count as one sign, and
    such pictures are told apart by what they show.
    """
    found: dict[str, str] = {}
    for path in sorted(workspace.rglob("*")):
        name = path.relative_to(workspace).as_posix()
        if not path.is_file() or name in NOT_COMPARED or path.suffix == ".lock":
            continue
        seen = _digest(path, name)
        place = HASHES.sub("#", name)
        if place != name:
            place = f"{place} {seen}"
            seen = str(int(found.get(place, "0")) + 1)
        found[place] = seen
    return found


def _digest(path: Path, name: str) -> str:
    if path.suffix == ".safetensors":
        return _lora(path)
    if path.name == "state.pt":
        return _snapshot(path)
    if name.startswith("log/") and path.suffix == ".json":
        return _record(path)
    if path.suffix == ".png":
        return _picture(path)
    data = path.read_bytes()
    if path.suffix in (".json", ".csv", ".html"):
        data = HASHES.sub("#", data.decode()).encode()
    return hashlib.sha256(data).hexdigest()


def _picture(path: Path) -> str:
    """Every pixel, and what is written into the file."""
    with Image.open(path) as image:
        told = HASHES.sub("#", repr((image.size, image.mode, sorted(image.info.items()))))
        return hashlib.sha256(told.encode() + image.tobytes()).hexdigest()


def _lora(path: Path) -> str:
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header: dict[str, Any] = json.loads(data[8 : 8 + length])
    metadata = {
        key: value for key, value in header.pop("__metadata__", {}).items() if key not in TIMES
    }
    told = json.dumps(
        [metadata, {key: value["shape"] for key, value in header.items()}], sort_keys=True
    )
    return hashlib.sha256(told.encode() + data[8 + length :]).hexdigest()


def _snapshot(path: Path) -> str:
    """Every number of a training's state, in an order that does not depend on its making."""
    import torch

    def told(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return hashlib.sha256(
                value.reshape(-1).contiguous().view(torch.uint8).numpy().tobytes()
            ).hexdigest()
        if isinstance(value, dict):
            return {str(key): told(each) for key, each in value.items() if key != "seconds"}
        return [told(each) for each in value] if isinstance(value, list | tuple) else str(value)

    return json.dumps(told(torch.load(path, map_location="cpu", weights_only=True)), sort_keys=True)


def _record(path: Path) -> str:
    """A stage's record: whether it is complete, and which files it made, those that tell no time
    with their hashes.
    """
    values = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict) or "files" not in values:
        return json.dumps(sorted(values))
    timed = (".safetensors", ".json", ".csv", ".html")
    files = sorted(
        (HASHES.sub("#", name), "" if name.endswith(timed) else digest)
        for name, digest in values["files"].items()
    )
    return json.dumps([values["complete"], files, sorted(values["data"])], sort_keys=True)


def _difference(wanted: dict[str, str], found: dict[str, str]) -> list[str]:
    lines = [f"{name} is missing" for name in wanted if name not in found]
    lines += [f"{name} should not be there" for name in found if name not in wanted]
    return lines + [
        f"{name} differs" for name in wanted if name in found and found[name] != wanted[name]
    ]
