"""The memory budget: rows, advice, and the layout of a narrower checkpoint."""

from __future__ import annotations

from lib_singlelora.families.registry import FAMILIES, family_of
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.naming.blocks import SD1, SDXL
from lib_singlelora.stages.memory_budget import advice, budget_rows, layout_of, narrowed
from lib_singlelora.training.memory_plan import Computer, unet_numbers
from tests.small_sdxl import LAYOUT as SMALL_XL
from tests.small_sdxl import text_1_shapes, text_2_shapes, unet_shapes
from tests.training.test_trainer import settings


def test_a_narrower_checkpoints_layout_is_read_from_its_file(
    standalone_host: StandaloneHost,
) -> None:
    layout = layout_of(standalone_host.checkpoint)
    networks = standalone_host.networks
    assert layout.channels == networks.layout.channels
    assert layout.context == networks.layout.context
    assert unet_numbers(layout) == sum(p.numel() for p in networks.unet.parameters())


def test_a_narrow_xls_layout_is_read_too() -> None:
    shapes = dict((*unet_shapes(), *text_1_shapes(), *text_2_shapes()))
    assert narrowed(family_of(SDXL), shapes) == SMALL_XL


def test_a_file_that_tells_nothing_counts_as_full_size() -> None:
    for family in FAMILIES:
        assert narrowed(family, {}) == family.layout


def test_there_is_a_row_for_each_layout_and_side_with_and_without_checkpointing() -> None:
    options = settings(text_encoder_lr=0, rank=16)
    rows = budget_rows([SD1, SDXL], [512, 1024], options, Computer("GPU", True, 12 * 2**30))
    assert [(row.family, row.side, row.plan.checkpointing) for row in rows] == [
        (family, side, on)
        for family in ("sd1", "sdxl")
        for side in (512, 1024)
        for on in (False, True)
    ]
    assert [row.fits for row in rows[-2:]] == [False, True]
    assert "auto_checkpointing" in advice(rows[-2:], options, Computer("GPU", True, 12 * 2**30))
    assert "fits without" in advice(rows[:2], options, Computer("GPU", True, 12 * 2**30))
