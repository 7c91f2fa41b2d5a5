"""Pictures that the real WebUI draws at once are those that it draws one by one."""

from __future__ import annotations

import pytest

from tests.webui.process import WebUI

pytestmark = pytest.mark.timeout(600)
PROMPTS = [
    ("1girl, red hair", "blurry"),
    ("1girl, blue hair, hat", ""),
    ("1girl, red hair, dress", "blurry"),
]
LONG = ", ".join(f"red hair, blue dress number {n}" for n in range(16))
ROUNDING = 2  # levels of 255


def draw(webui: WebUI, sampler: str = "Euler a", **more: object) -> dict[str, list[int]]:
    answer: dict[str, list[int]] = webui.ask(
        "/probe/batch", {"sampler": sampler, "prompts": PROMPTS, **more}
    )
    return answer


# Deterministic ones, ancestral noise, a Brownian tree, and one that starts anew in between
@pytest.mark.parametrize(
    "sampler", ["DPM++ 2M Karras", "Euler a", "DPM++ SDE", "Restart", "DDIM", "LCM", "UniPC"]
)
def test_a_picture_is_the_same_alone_and_in_company(webui: WebUI, sampler: str) -> None:
    if sampler not in webui.ask("/probe/samplers"):
        pytest.skip(f"this program has no {sampler}")
    answer = draw(webui, sampler)
    assert max(answer["apart"]) <= ROUNDING and all(answer["same_text"]), answer
    assert answer["different"] == len(PROMPTS)


@pytest.mark.parametrize("fill", ["original", "latent noise"])
def test_the_tries_of_an_inpainting_are_the_same_in_company(webui: WebUI, fill: str) -> None:
    # Forge's first picture of its kind is some levels beside what it draws of the same ever after
    draw(webui, inpaint=fill, prompts=[("1girl, red hair", "")])
    answer = draw(webui, inpaint=fill, prompts=[("1girl, red hair", "")] * 4)
    assert max(answer["apart"]) <= ROUNDING and all(answer["same_text"]), answer
    # Forge and reForge draw noise behind the mask by the last seed of a batch
    assert answer["sizes"] == ([4] if webui.kind == "webui" else [1] * 4)
    assert answer["different"] == 4


def test_prompts_of_one_length_are_drawn_together_and_others_apart(webui: WebUI) -> None:
    if webui.kind != "webui":
        pytest.skip("the lengths of encodings are known in the WebUI alone")
    assert draw(webui)["sizes"] == [3]
    mixed = [*PROMPTS, (LONG, ""), ("1girl AND 1girl, hat", ""), ("1girl, [hat:3]", "")]
    answer = draw(webui, prompts=mixed)
    assert answer["sizes"] == [3, 1, 1, 1], answer
    assert max(answer["apart"]) <= ROUNDING, answer


def test_the_adaptive_sampler_draws_one_by_one(webui: WebUI) -> None:
    if "DPM adaptive" not in webui.ask("/probe/samplers"):
        pytest.skip("this program has no adaptive sampler")
    answer = draw(webui, "DPM adaptive")
    assert answer["sizes"] == [1, 1, 1] and max(answer["apart"]) == 0
