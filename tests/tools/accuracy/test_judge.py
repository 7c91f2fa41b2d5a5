"""The judge's benchmark: its truth, its correlation, its checks."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

pytest.importorskip("diffusers")
pytest.importorskip("skia")

from tools.accuracy.judge.__main__ import summary, told
from tools.accuracy.judge.truth import CHARACTERS, likeness, spearman
from tools.world.scenes.scene import render
from tools.world.scenes.spec import Scene


def test_the_truth_knows_a_character_from_the_others_and_does_not_mind_the_background() -> None:
    def drawn(name: str) -> Image.Image:
        scene = Scene((CHARACTERS[name],), "standing", "front", "upper body", "green", True, 9)
        return Image.fromarray(render(scene, 128).pixels)

    assert likeness(drawn("isabella"), "isabella", "upper body") > 0.97
    assert all(
        likeness(drawn(name), "isabella", "upper body") < 0.75
        for name in CHARACTERS
        if name != "isabella"
    )


def test_correlation_is_of_ranks() -> None:
    assert spearman([1, 2, 3], [1, 10, 1000]) == pytest.approx(1) and spearman(
        [1, 2, 3], [3, 2, 1]
    ) == pytest.approx(-1)
    # By hand: ranks 0.5 0.5 2 and 0 1.5 1.5
    assert spearman([1, 1, 2], [5, 6, 6]) == pytest.approx(0.5)
    assert spearman([1, 1], [1, 2]) == 0


def row(
    condition: str,
    epoch: int,
    retention: float,
    copying: float = 0.0,
    flexibility: float = 1.0,
    damage: float = 0.0,
) -> dict[str, Any]:
    return {
        "character": "isabella",
        "condition": condition,
        "epoch": epoch,
        "steps": epoch,
        "retention": retention,
        "truth": retention,
        "copying": copying,
        "flexibility": flexibility,
        "damage": damage,
    }


def test_checks_fail_when_an_overfit_lora_is_not_flagged() -> None:
    rows = [
        row("untrained", 0, 0.1),
        row("usual", 1, 0.3),
        row("usual", 6, 0.8, 0.4),
        row("overfit", 1, 0.9, 0.7),
        row("overfit", 3, 0.01, 0.0, 0.5, 0.9),
    ]
    good = summary(rows)
    assert good["passed"] and good["loras"] == 4 and len(good["checks"]) == 5
    for wrong, check in (
        (row("overfit", 3, 0.01, 0.0, 1.0, 0.9), "3: obeys less"),
        (row("overfit", 3, 0.01, 0.0, 0.5), "3: is harmed"),
        (row("overfit", 1, 0.9, 0.1), "1: copies more"),
    ):
        bad = summary(
            [one for one in rows if (one["condition"], one["epoch"]) != ("overfit", wrong["epoch"])]
            + [wrong]
        )
        assert not bad["passed"] and f"NO   isabella, 100 repeats, epoch {check}" in told(rows, bad)
