"""The state of a training outside the repository: checkpoints, log and curve.

A kill loses minutes at most.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, Protocol

import torch


def default_state() -> Path:
    """SINGLELORA_WORLD_STATE, or ~/.cache/singlelora/world."""
    return Path(os.environ.get("SINGLELORA_WORLD_STATE", "~/.cache/singlelora/world")).expanduser()


class Training(Protocol):
    """One stage.

    Step k draws its data and its noise from k alone, so that a resumed run equals an uninterrupted
    one.
    """

    name: str
    step: int

    def advance(self) -> dict[str, float]:
        """One optimizer step; what to log."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Store:
    """A folder with <stage>.pt, <stage>.jsonl and <stage>.png."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, name: str, state: Any) -> None:
        """Written beside, then renamed."""
        path = self.folder / f"{name}.pt"
        part = path.with_suffix(".pt.part")
        with part.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)

    def load(self, name: str) -> Any | None:
        path = self.folder / f"{name}.pt"
        return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None

    def log(self, stage: str, **values: float) -> None:
        with (self.folder / f"{stage}.jsonl").open("a") as file:
            file.write(json.dumps({k: round(v, 6) for k, v in values.items()}) + "\n")

    def note(self, **values: Any) -> dict[str, Any]:
        """What was noted of this state, such as the machine it is made on; values are added."""
        path = self.folder / "note.json"
        found: dict[str, Any] = (
            json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        )
        if values:
            found |= values
            path.write_text(json.dumps(found), encoding="utf-8")
        return found

    def seconds(self, stage: str) -> float:
        """Machine time that the stage has had, all sittings together."""
        log = self.folder / f"{stage}.jsonl"
        return (
            sum(json.loads(line).get("seconds", 0.0) for line in log.read_text().splitlines())
            if log.exists()
            else 0.0
        )

    def curve(self, stage: str) -> None:
        """Draws the loss over the steps as a small picture."""
        from PIL import Image, ImageDraw

        log = self.folder / f"{stage}.jsonl"
        rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        points = [(r["step"], r["loss"]) for r in rows if "loss" in r]
        if len(points) < 2:
            return
        top = sorted(v for _, v in points)[int(len(points) * 0.98)]
        low = min(v for _, v in points)
        picture = Image.new("RGB", (640, 320), "white")
        draw = ImageDraw.Draw(picture)
        xy = [
            (40 + 580 * s / points[-1][0], 300 - 280 * (min(v, top) - low) / max(top - low, 1e-9))
            for s, v in points
        ]
        draw.line(xy, fill=(66, 106, 208), width=1)
        draw.line([(40, 20), (40, 300), (620, 300)], fill="black")
        draw.text(
            (44, 4),
            f"{stage}: loss {points[-1][1]:.4f} at step {points[-1][0]}; axis {low:.4f} to"
            f" {top:.4f}",
            fill="black",
        )
        picture.save(self.folder / f"{stage}.png")


def run(
    training: Training, store: Store, minutes: float, steps: int | None = None, every: float = 120.0
) -> None:
    """Advances a stage until its time or steps are over; saves every so many seconds and at the
    end.

    minutes: of this call; inf for no limit.
    steps: total, earlier calls counted in.
    """
    state = store.load(training.name)
    if state is not None:
        training.load_state_dict(state)
    start = saved = logged = time.monotonic()
    sums: dict[str, float] = {}
    count = 0

    def flush() -> None:
        nonlocal count, logged
        if count:
            now = time.monotonic()
            store.log(
                training.name,
                step=training.step,
                **{k: v / count for k, v in sums.items()},
                seconds=now - logged,
            )
            sums.clear()
            count = 0
            logged = now

    while time.monotonic() - start < minutes * 60 and (steps is None or training.step < steps):
        for key, value in training.advance().items():
            sums[key] = sums.get(key, 0.0) + value
        count += 1
        if count >= 25:
            flush()
        if time.monotonic() - saved > every:
            flush()
            store.save(training.name, training.state_dict())
            store.curve(training.name)
            saved = time.monotonic()
    flush()
    store.save(training.name, training.state_dict())
    store.curve(training.name)
