"""The accordion "LoRA files" in a real browser: what is in a file, a baked copy, a merge, a lower
rank.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("diffusers")
pytest.importorskip("playwright")
pytest.importorskip("uvicorn")

from lib_singlelora.lora.files import read_lora
from lib_singlelora.service.service import Service
from tests.browser import needs_chromium
from tests.ui.test_page import open_workspace, type_in

pytestmark = needs_chromium
QUICK = {
    "prepare.long_side": 256,
    "regularization.count": 0,
    "caption.tagger": "none",
    "crop.details": 0,
    "training.rank": 4,
    "training.epochs": 2,
    "training.repeats": 1,
    "training.preset": "recommended",
}


@pytest.fixture
def trained(page: Any, served: tuple[str, Service]) -> Iterator[tuple[Any, Service]]:
    open_workspace(page, served, "nora", QUICK, ("prepare", "crop", "caption", "train"))
    accordion = page.locator("#singlelora_files")
    accordion.locator("button.label-wrap").first.click()
    page.locator("#singlelora_look_file").wait_for()
    page.wait_for_timeout(1000)
    yield page, served[1]


def test_a_file_is_looked_into_baked_merged_and_cut(trained: tuple[Any, Service]) -> None:
    page, service = trained
    told = page.locator("#singlelora_files_told")
    made = service.workspace("nora").root / "model" / "made"
    page.locator("#singlelora_look_file").click()
    told.get_by_text("rank 4").first.wait_for()
    page.wait_for_function(
        "document.querySelector('#singlelora_file_blocks img')?.naturalWidth > 0"
    )
    before = set(made.glob("*.safetensors"))
    presses = [
        ("bake", lambda: type_in(page, {"bake_strength": "0.5"})),
        (
            "merge",
            lambda: [
                box.check()
                for box in page.locator("#singlelora_merge_files input[type=checkbox]").all()[:2]
            ],
        ),
        ("resize", lambda: type_in(page, {"resize_rank": "2"})),
    ]
    for button, prepare in presses:
        prepare()
        page.locator(f"#singlelora_{button}").click()
        for _ in range(60):
            if new := set(made.glob("*.safetensors")) - before:
                break
            page.wait_for_timeout(500)
        [file] = new
        before.add(file)
        told.get_by_text(f"<lora:{file.stem}:1>").first.wait_for()
        tensors = read_lora(file).tensors
        assert {
            tensor.shape[0] for name, tensor in tensors.items() if name.endswith("lora_down.weight")
        } == {2 if button == "resize" else 4}


def test_a_preset_that_there_is_not_is_told(trained: tuple[Any, Service]) -> None:
    page, _ = trained
    type_in(page, {"bake_preset": "1,2,3"})
    page.locator("#singlelora_bake").click()
    page.locator("#singlelora_files_told .singlelora-error", has_text="found").wait_for()
