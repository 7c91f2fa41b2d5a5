"""The sheet's page: what is in the file, and what it does in a real browser."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lib_singlelora.sheets
from lib_singlelora.metrics.ranking import CRITERIA
from lib_singlelora.sheets.page import Page, PageCell, PageTable, write_page
from tests.browser import CHROMIUM
from tests.ui.test_sentences import LIBRARY, NONE, templates

NASTY = "</script><script>alert(1)</script> \"quoted\" & 'so' <b>"


def noisy(path: Path, seed: int) -> Path:
    """A drawing-like picture with grain: what compresses worst of what a sheet shows."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 255, (8, 8, 3)).repeat(16, 0).repeat(16, 1)
    Image.fromarray(
        (blocks + rng.integers(-12, 12, (128, 128, 3))).clip(0, 255).astype(np.uint8)
    ).save(path)
    return path


def write_example(
    folder: Path, presets: int, epochs: int, strengths: int, seeds: int = 2, text: str = "isa, girl"
) -> tuple[Path, Page]:
    """A page with pictures beside it in 'cells #1'; its scores fall from cell to cell."""
    (folder / "cells #1").mkdir()
    total = presets * epochs * strengths
    number = iter(range(total + 1))

    def cell(name: str) -> PageCell:
        i = next(number)
        pictures = tuple(
            noisy(folder / "cells #1" / f"{i}-{seed}.png", i * seeds + seed)
            for seed in range(seeds)
        )
        share = 1 - i / total
        return PageCell(
            name,
            text,
            "Euler · CFG 7",
            pictures,
            tuple(range(1, seeds + 1)),
            {"retention": share, "copying": share},
            f"{i} of {total} traits",
            "blank" if i == 1 else "",
            i == 2,
            {"hat": f"{i}/{seeds}"},
            spread={"retention": 0.05},
            further={90: pictures[0], 91: pictures[-1]} if i == 2 else {},
        )

    base = PageTable("Without the LoRA", ("",), ("",), ((cell("without the LoRA"),),))
    rows = tuple(f"epoch {e}" for e in range(epochs))
    columns = tuple(f"strength {s}" for s in range(strengths))
    tables = [
        PageTable(
            f"Blocks: {p}",
            rows,
            columns,
            tuple(
                tuple(cell(f"epoch {e}, {p} at {s}") for s in range(strengths))
                for e in range(epochs)
            ),
        )
        for p in range(presets)
    ]
    source = noisy(folder / "source.png", 9999)
    page = Page(
        "isa: epochs and strengths", text, (base, *tables), source, "epoch 0 at 1: it keeps most"
    )
    write_page(folder / "sheet.html", page)
    return folder / "sheet.html", page


class Links(HTMLParser):
    """Every address that the page itself would load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href")]


def facts(page: Path) -> dict[str, Any]:
    found = re.search(
        r'<script type="application/json" id="data">(.*?)</script>',
        page.read_text(encoding="utf-8"),
        re.S,
    )
    assert found
    values: dict[str, Any] = json.loads(found[1])
    return values


def test_a_cell_that_was_not_drawn_leaves_its_place_empty(tmp_path: Path) -> None:
    _, page = write_example(tmp_path, 1, 2, 3)
    base, table = page.tables
    holes = replace(table, cells=((None, *table.cells[0][1:]), table.cells[1]))
    path = tmp_path / "holes.html"
    write_page(path, replace(page, tables=(base, holes)))
    text = path.read_text(encoding="utf-8")
    assert text.count("<td class=none>") == 1 and len(re.findall(r"data-i=\d", text)) == 1 + 5
    assert [cell["name"] for cell in facts(path)["cells"]][1] == "epoch 0, 0 at 1"
    assert "data-i=1><div class=name>epoch 0, 0 at 1" in text


def test_a_page_of_240_pictures_stays_below_three_megabytes_and_needs_nothing_else(
    tmp_path: Path,
) -> None:
    path, page = write_example(tmp_path, 3, 10, 4)
    assert sum(len(cell.pictures) for cell in page.cells) == 242
    assert path.stat().st_size <= 3_000_000
    links = Links()
    links.feed(path.read_text(encoding="utf-8"))
    assert len(links.found) >= 242 and all(link.startswith("data:") for link in links.found)
    assert "http" not in re.sub(r"data:image/[^\"]+", "", path.read_text(encoding="utf-8"))


def test_full_pictures_are_linked_from_where_the_page_lies(tmp_path: Path) -> None:
    path, _ = write_example(tmp_path, 1, 1, 2, 1)
    named = facts(path)["cells"]
    assert [own["files"] for own in named] == [[f"cells%20%231/{i}-0.png"] for i in range(3)]
    assert [own["seeds"] for own in named] == [[1]] * 3 and facts(path)["source"] == "source.png"
    assert [own["base"] for own in named] == [True, False, False]


def test_no_text_can_break_the_page(tmp_path: Path) -> None:
    path, _ = write_example(tmp_path, 1, 1, 1, 1, text=NASTY)
    assert facts(path)["cells"][1]["prompt"] == NASTY
    assert "<script>alert" not in path.read_text(encoding="utf-8")


def test_one_cell_without_scores_makes_a_page_too(tmp_path: Path) -> None:
    path, page = write_example(tmp_path, 1, 1, 1, 1)
    bare = tuple(
        replace(
            table, cells=tuple(tuple(replace(own, scores={}) for own in row) for row in table.cells)
        )
        for table in page.tables
    )
    write_page(path, replace(page, tables=bare, reason=""))
    assert facts(path)["names"] == [] and "class=best-line" not in path.read_text("utf-8")


# Languages
# ---------------------------------------------------------------------------------------------

SHEETS = Path(lib_singlelora.sheets.__file__).parent
JAPANESE = re.compile(r"[ぁ-んァ-ヶ一-龠]")


def in_japanese() -> dict[str, str]:
    return dict(json.loads((SHEETS / "page.ja.json").read_text(encoding="utf-8")))


def test_every_text_of_the_page_itself_has_its_japanese() -> None:
    marked = re.findall(r"<[^>]*\bdata-t\b[^>]*>[^<{]*", (SHEETS / "page.html").read_text("utf-8"))
    texts = {tag.rpartition(">")[2].strip() for tag in marked}
    texts |= {
        text for tag in marked for text in re.findall(r'(?:title|aria-label|alt)="(.*?)"', tag)
    }
    script = (SHEETS / "page.js").read_text(encoding="utf-8")
    texts |= set(re.findall(r'\bt\("(.*?)"', script)) | {"Show", "Recommended: {0}."}
    texts |= {*CRITERIA, "colours"}
    said = {text for text in texts if re.search("[a-z]", text)}
    assert len(said) > 30 and said - set(in_japanese()) == set()


def test_what_the_app_says_too_is_said_in_its_words() -> None:
    lists = (SHEETS.parents[1] / "javascript/app/texts/ja-sentences.mjs").read_text("utf-8")
    apps = dict(re.findall(r'^    \["(.*)", "(.*)"\],$', lists, re.MULTILINE))
    own = {theirs.replace("{#", "{"): ours for theirs, ours in in_japanese().items()}
    shared = set(apps) & set(own)
    assert len(shared) > 10
    assert {text: own[text] for text in shared} == {text: apps[text] for text in shared}


def read_in(browser: Any, url: str, locale: str) -> Any:
    context = browser.new_context(offline=True, locale=locale)
    opened = context.new_page()
    opened.goto(url)
    return opened


def test_the_page_speaks_the_browser_s_language_and_leaves_prompts_alone(
    browser: Any, tmp_path: Path
) -> None:
    prompt = "isabella, flat, noise, 3 of 4 traits"
    path, page = write_example(tmp_path, 1, 2, 2, text=prompt)
    reason = (
        "epoch 6 at 0.8 with ALL: 5 of 7 traits (1.5 without the LoRA), obeys 90 % of the poses,"
        " views, places and clothes that the checkpoint obeys, shows 42 % of the traits in other"
        " poses and views (the checkpoint 9 %), copies least; as good as the best"
        " with 74 %, not told apart from epoch 8 at 0.6 with OUTD and 3 more; the gentler is taken"
    )
    about = f"{prompt} · 20 steps · CFG 7 · seeds 1, 2"
    write_page(path, replace(page, reason=reason, text=about))
    opened = read_in(browser, path.as_uri(), "ja-JP")
    assert opened.locator("html").get_attribute("lang") == "ja"
    assert opened.locator(".about").inner_text() == (
        f"{prompt} · 20 ステップ · CFG 7 · シード 1, 2"
    )
    opened.locator("#filters summary").click()
    opened.locator(".pic").nth(2).click()
    told = opened.locator("body").inner_text().replace(prompt, "")
    assert "特徴 7 個中 5 個（LoRA なしでは 1.5）" in told and "エポック 8、強度 0.6" in told
    assert not re.search(r"[A-Za-z]{3,} [A-Za-z]{3,}", told)
    assert opened.locator("#facts .small, #facts small").inner_text() == prompt
    opened.context.close()


def test_the_page_around_it_decides_before_the_browser(browser: Any, tmp_path: Path) -> None:
    path, _ = write_example(tmp_path, 1, 1, 1)
    for asked, locale, word in (("ja", "en-US", "表示"), ("en", "ja-JP", "Show")):
        opened = read_in(browser, f"{path.as_uri()}?lang={asked}", locale)
        assert opened.locator("#show-best").inner_text() == word
        opened.context.close()
    opened = read_in(browser, path.as_uri(), "fr-FR")
    assert opened.locator("#show-best").inner_text() == "Show"
    opened.context.close()


def test_every_reason_of_a_recommendation_is_said_in_japanese(browser: Any, tmp_path: Path) -> None:
    """As the judge writes them, 7 for what changes."""
    reasons = LIBRARY / "judge" / "reason.py"
    said = [text for text in templates(reasons) if len(text.split()) > 2 and not NONE.search(text)]
    notes = [re.sub(r"\{\d+\}", "7", text).strip(" ;,") for text in said]
    path, page = write_example(tmp_path, 1, 1, len(notes))
    base, table = page.tables
    row = tuple(replace(own, note=note) for own, note in zip(table.cells[0], notes, strict=True))
    write_page(path, replace(page, tables=(base, replace(table, cells=(row,)))))
    opened = read_in(browser, path.as_uri(), "ja-JP")
    shown = opened.locator(".note").all_inner_texts()[1:]
    assert len(shown) == len(notes) > 5
    wrong = [
        text
        for text in shown
        if not JAPANESE.search(text) or re.search(r"[a-z]{2,} [a-z]{2,} [a-z]{2,}", text)
    ]
    assert wrong == []
    opened.context.close()


# In a browser
# ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("needs Chromium on the PATH")
    with sync.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """A page of nine cells with two seeds each, opened from the disk; the console stays clean."""
    path, _ = write_example(tmp_path, 2, 2, 2)
    context = browser.new_context(viewport={"width": 1280, "height": 800}, offline=True)
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on(
        "console",
        lambda said: problems.append(said.text) if said.type in ("error", "warning") else None,
    )
    opened.goto(path.as_uri())
    yield opened
    context.close()
    assert problems == []


def shown(page: Any) -> list[int]:
    """Numbers of the cells that are to be seen, in their order."""
    found: list[int] = page.eval_on_selector_all(
        ".cell:not(.out)", "cells => cells.map(cell => +cell.dataset.i)"
    )
    return found


def test_cells_are_sorted_by_a_score_and_go_back_to_their_tables(page: Any) -> None:
    assert shown(page) == list(range(9))
    page.select_option("#sort", "copying")
    assert shown(page) == list(range(8, -1, -1))  # less copying is better
    page.select_option("#sort", "retention")
    assert shown(page) == list(range(9)) and page.locator("#flow .cell").count() == 9
    page.select_option("#sort", "")
    assert (
        page.locator("#tables td .cell").count() == 9 and page.locator("#flow .cell").count() == 0
    )


def slide(page: Any, name: str, value: int) -> None:
    page.eval_on_selector(
        f"input[name={name}]", f"s => {{ s.value = {value}; s.dispatchEvent(new Event('input')); }}"
    )


def test_cells_below_a_score_are_hidden_until_the_slider_is_back(page: Any) -> None:
    slide(page, "retention", 60)
    assert shown(page) == [0, 1, 2, 3] and "4 of 9" in page.inner_text("#count")
    slide(page, "copying", 80)
    assert shown(page) == [2, 3]
    slide(page, "retention", 0)
    slide(page, "copying", 100)
    assert len(shown(page)) == 9
    page.locator("summary").click()
    page.check("#whole")
    assert 1 not in shown(page)


def shown_name(page: Any) -> str:
    """Name of the cell in the large view."""
    return str(page.inner_text("#name"))


def test_keys_walk_from_cell_to_cell_and_escape_closes(page: Any) -> None:
    page.locator("[data-i='1'] .pic").first.click()
    assert shown_name(page) == "epoch 0, 0 at 0 · seed 1"
    assert page.evaluate("document.getElementById('large').src").endswith("cells%20%231/1-0.png")
    for key, name in (
        ("ArrowRight", "epoch 0, 0 at 0 · seed 2"),
        ("ArrowRight", "epoch 0, 0 at 1 · seed 1"),
        ("ArrowDown", "epoch 1, 0 at 1 · seed 1"),
        ("ArrowDown", "epoch 0, 1 at 1 · seed 1"),
        ("ArrowLeft", "epoch 0, 1 at 0 · seed 2"),
        ("ArrowUp", "epoch 1, 0 at 0 · seed 2"),
    ):
        page.keyboard.press(key)
        assert shown_name(page) == name
    page.keyboard.press("Escape")
    assert not page.locator("#view").is_visible()
    # The browser tells of the closing in a task of its own, a moment after the large view has gone.
    page.wait_for_function("document.activeElement.closest('.cell').dataset.i === '3'")
    page.keyboard.press("ArrowRight")  # without the large view the keys move the focus
    assert page.evaluate("document.activeElement.closest('.cell').dataset.i") == "4"
    page.keyboard.press("Enter")
    assert shown_name(page) == "epoch 1, 0 at 1 · seed 1"


def test_hidden_cells_are_walked_over(page: Any) -> None:
    page.locator("summary").click()
    page.check("#whole")  # cell 1 is invalid
    page.locator("[data-i='0'] .pic").nth(1).click()
    page.keyboard.press("ArrowRight")
    assert shown_name(page) == "epoch 0, 0 at 1 · seed 1"


def test_the_large_picture_stands_beside_the_source_or_the_checkpoint_alone(page: Any) -> None:
    page.locator("[data-i='4'] .pic").nth(1).click()
    other = "document.getElementById('other').src"
    assert page.evaluate(other).endswith("/source.png")
    page.select_option("#against", "base")
    assert page.evaluate(other).endswith("cells%20%231/0-1.png")
    page.select_option("#against", "none")
    assert not page.locator("#other").is_visible()
    assert "hat 4/2" in page.inner_text("#facts")


def test_what_a_picture_is_stands_beside_the_pointer(page: Any) -> None:
    page.locator("[data-i='2'] .pic").nth(1).hover()
    text = page.inner_text("#tip")
    assert all(
        piece in text
        for piece in ("epoch 0, 0 at 1 · seed 2", "Euler", "retention 75 ± 5 %", "copying 75 %")
    )


def test_headers_stay_in_sight(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 500})
    page.evaluate("document.querySelector('main').scrollTo(120, 420)")
    top, left = (
        page.evaluate(f"document.querySelector('main').getBoundingClientRect().{side}")
        for side in ("top", "left")
    )
    tops = page.eval_on_selector_all(
        "thead th:nth-child(2)", "all => all.map(th => th.getBoundingClientRect().top)"
    )
    lefts = page.eval_on_selector_all(
        "tbody th", "all => all.map(th => th.getBoundingClientRect().left)"
    )
    assert any(abs(y - top) < 2 for y in tops) and all(abs(x - left) < 2 for x in lefts)


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_hangs_over_the_edge(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator(".pic").first.click()
    assert page.evaluate("document.getElementById('view').scrollWidth") <= width


def test_dark_follows_the_system_until_the_button_is_pressed(page: Any) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(paper)
    assert dark != light
    page.click("#theme")
    assert page.evaluate(paper) == light
    page.click("#theme")
    assert page.evaluate(paper) == dark


def test_a_page_moved_away_from_its_pictures_shows_its_thumbnails(
    browser: Any, tmp_path: Path
) -> None:
    path, _ = write_example(tmp_path, 1, 1, 1)
    shutil.rmtree(tmp_path / "cells #1")
    opened = browser.new_page()
    opened.goto(path.as_uri())
    opened.locator(".pic").nth(2).click()
    opened.wait_for_function(
        "large => large.src.startsWith('data:') && large.naturalWidth",
        arg=opened.query_selector("#large"),
    )
    opened.close()


def test_only_the_front_and_what_it_is_compared_with_can_be_shown(
    browser: Any, tmp_path: Path
) -> None:
    path, page = write_example(tmp_path, 1, 2, 2, 1)
    marked = tuple(
        replace(
            table,
            cells=tuple(
                tuple(replace(own, front="epoch 1, 0 at 1" in own.name) for own in row)
                for row in table.cells
            ),
        )
        for table in page.tables
    )
    write_page(path, replace(page, tables=marked))
    opened = browser.new_page()
    opened.goto(path.as_uri())
    opened.click("#filters summary")
    opened.check("#front")
    assert shown(opened) == [0, 2, 4]  # the checkpoint alone, the recommended one, the front
    opened.close()
