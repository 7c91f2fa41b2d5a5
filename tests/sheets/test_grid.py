"""Sheets and what pixels tell."""

import numpy as np
import pytest
from PIL import Image

from lib_singlelora.metrics.similarity import check_pixels, colour_histogram, invalid_reason
from lib_singlelora.sheets.grid import Cell, Grid, draw_sheet, folded, font, length, wrap

RED = Image.new("RGB", (64, 64), "red")
BLUE = Image.new("RGB", (64, 64), "blue")


def grid(**values: object) -> Grid:
    defaults = {
        "title": "Blocks",
        "rows": ("epoch 1", "epoch 2"),
        "columns": ("0.5", "1"),
        "cells": ((Cell((RED,)), Cell((BLUE,), mark=True)), (Cell((BLUE,)), None)),
    }
    return Grid(**{**defaults, **values})


def test_wrapped_lines_fit_and_lose_nothing() -> None:
    text = "a prompt of many words and one_very_long_word_that_no_line_can_hold_" + "x" * 80
    lines = wrap(text, 150, font(16))
    assert all(length(line, font(16)) <= 150 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def pixels(sheet: Image.Image, colour: tuple[int, int, int]) -> int:
    return int((np.asarray(sheet) == colour).all(axis=2).sum())


def test_every_picture_is_there_at_the_cells_size() -> None:
    sheet = draw_sheet("title", "under it", [grid()], 128)
    assert pixels(sheet, (255, 0, 0)) >= 120 * 120
    assert pixels(sheet, (0, 0, 255)) >= 2 * 120 * 120
    assert pixels(sheet, (22, 163, 74)) > 4 * 128  # the recommended cell's frame


def test_nothing_touches_the_edges_whatever_the_labels() -> None:
    long = grid(
        columns=("a strength with a very long name", "1"),
        rows=("an epoch with a name that must be wrapped", "2"),
        cells=((Cell((RED, BLUE, RED)), Cell((BLUE,))), (None, None)),
    )
    sheet = np.asarray(draw_sheet("t" * 200, "words " * 60, [long, grid()], 128))
    for edge in (sheet[:2], sheet[-2:], sheet[:, :2], sheet[:, -2:]):
        assert (edge == 255).all()


def test_a_sheet_of_many_columns_is_folded_and_stays_readable() -> None:
    columns = tuple(f"prompt {i} of many words" for i in range(40))
    wide = grid(
        rows=("epoch 1",), columns=columns, cells=(tuple(Cell((RED,), f"{i}") for i in range(40)),)
    )
    parts = folded(wide, 14)
    assert [column for part in parts for column in part.columns] == list(columns)
    assert [cell for part in parts for cell in part.cells[0]] == list(wide.cells[0])
    assert max(len(part.columns) for part in parts) - min(len(part.columns) for part in parts) <= 1
    sheet = draw_sheet("t", "s", [wide], 64)
    assert sheet.width < 16 * 80 and pixels(sheet, (255, 0, 0)) >= 40 * 64 * 64


def test_ten_pictures_make_a_block_and_a_long_note_is_wrapped() -> None:
    block = grid(
        rows=("epoch 1",),
        columns=("1",),
        cells=((Cell((RED,) * 10, "a note that is far longer than its cell " * 4),),),
    )
    sheet = draw_sheet("t", "s", [block], 64, ["the legend"])
    assert pixels(sheet, (255, 0, 0)) == 10 * 64 * 64 and sheet.width <= 420
    assert not (np.asarray(sheet)[:, -3:] != 255).any()


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (Image.new("RGB", (64, 64), (90, 90, 90)), "blank"),
        (
            Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)),
            "noise",
        ),
        (
            Image.merge(
                "RGB",
                [
                    Image.linear_gradient("L").point(lambda v, t=t: 255 * (v > t))
                    for t in (20, 128, 240)
                ],
            ),
            "burnt colours",
        ),
        (Image.merge("RGB", [Image.linear_gradient("L")] * 3), ""),
    ],
)
def test_invalid_pictures_are_named(image: Image.Image, why: str) -> None:
    assert invalid_reason(image) == why


def test_the_same_picture_shares_all_colours_and_another_none() -> None:
    assert check_pixels(RED, colour_histogram(RED)).similarity == 1
    assert check_pixels(BLUE, colour_histogram(RED)).similarity == 0


def test_the_mask_leaves_the_background_out() -> None:
    half = Image.new("RGB", (64, 64), "blue")
    half.paste("red", (0, 0, 32, 64))
    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 32, 64))
    np.testing.assert_allclose(colour_histogram(half, mask), colour_histogram(RED), atol=1e-9)
