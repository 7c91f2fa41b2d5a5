"""What the program says, in the page's languages: every sentence of the modules named here has its
Japanese, and no list speaks of a sentence that the program does not say any more.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from lib_singlelora.settings.preset_files import PRESETS
from tests.ui.test_app import APP

LIBRARY = Path(__file__).parents[2] / "lib_singlelora"
# Whose reasons, notes and errors a user of the page often meets
SAID = (
    *("judge/reason.py", "metrics/rejection.py", "crops/coverage.py", "crops/symmetry.py"),
    *("imaging/artifacts.py", "imaging/background.py", "imaging/figure_count.py"),
    *("stages/prepare.py", "stages/prepare_artifacts.py", "stages/crop.py", "stages/regularize.py"),
    *("stages/caption.py", "stages/caption_doubts.py", "stages/memory_budget.py"),
    *("workspace/training_preset.py", "workspace/preset_origin.py", "service/trash.py"),
    *("service/new_workspace.py", "curation/regularization.py", "stages/trigger.py"),
    "curation/crop_name.py",
)
# No sentences: lists of words, log lines of one part, what only the command line's user meets
NONE = re.compile(
    r"girl boy woman man|%s|^\{0\} of \{1\}$|redo all|--trigger|^head out of frame$"
    r"|^what '\{0\}' changes$|^no such file$|^[ ;:]"  # what begins so is the end of another
)
JAPANESE = re.compile(r"[ぁ-んァ-ヶ一-龠]")
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs node")


def templates(path: Path) -> Iterator[str]:
    """The texts of a module without its docstrings, {0}, {1} … for what changes."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bodies = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, bodies) and node.body and isinstance(node.body[0], ast.Expr)
    }

    def below(node: ast.AST) -> Iterator[str]:
        if id(node) in docs:
            return
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            numbers = iter(range(99))
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else f"{{{next(numbers)}}}"
                for part in node.values
            )
            for part in node.values:
                if isinstance(part, ast.FormattedValue):
                    yield from below(part.value)
        else:
            for child in ast.iter_child_nodes(node):
                yield from below(child)

    yield from below(tree)


@cache
def everything_said() -> str:
    """Every text of the library."""
    texts = [
        re.sub(r"\{\d+\}", "\0", text) for path in LIBRARY.rglob("*.py") for text in templates(path)
    ]
    return "\n".join([*texts, *(path.read_text(encoding="utf-8") for path in shipped())])


def shipped() -> list[Path]:
    """The files of the presets, which give their reasons."""
    return sorted(PRESETS.glob("*.json"))


def known(language: str) -> list[tuple[str, str]]:
    """The list of a language, as node reads it."""
    told = in_node(
        f'const {{ sentences }} = await import(app + "texts/{language}-sentences.mjs");'
        "console.log(JSON.stringify(sentences));"
    )
    return [(theirs, ours) for theirs, ours in json.loads(told)]


def in_node(script: str, given: str = "") -> str:
    head = (
        "globalThis.window ??= {}; globalThis.navigator ??= { languages: [] };"
        f"const app = {json.dumps(APP.as_uri() + '/')};"
    )
    ran = subprocess.run(
        ["node", "--input-type=module", "--eval", head + script],
        input=given,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return ran.stdout


def translated(texts: list[str], language: str = "ja") -> list[str]:
    """What the page shows for these texts."""
    script = (
        'const { said } = await import(app + "sentences.mjs");'
        'const { speak } = await import(app + "words.mjs");'
        'const { readFileSync } = await import("node:fs");'
        f"speak({json.dumps(language)});"
        'console.log(JSON.stringify(JSON.parse(readFileSync(0, "utf-8")).map(said)));'
    )
    return list(json.loads(in_node(script, json.dumps(texts))))


@needs_node
def test_every_sentence_has_its_japanese() -> None:
    said = [
        text
        for module in SAID
        for text in templates(LIBRARY / module)
        if len(text.split()) >= 3 and not NONE.search(text)
    ]
    assert len(said) > 80
    # Directly after a word stands the end of a sentence, which may be empty.
    bare = [re.sub(r"(?<=[a-z]{2})(\{\d+\})+$", "", text) for text in said]
    filled = [re.sub(r"\{\d+\}", "7", text).strip(" ;,") for text in bare]
    shown = translated(filled)
    wrong = [
        (text, ours)
        for text, ours in zip(said, shown, strict=True)
        if not JAPANESE.search(ours) or re.search(r"\b[a-z]+ [a-z]+ [a-z]+\b", ours)
    ]
    assert wrong == []


@needs_node
@pytest.mark.parametrize("language", ["en", "ja"])
def test_no_list_speaks_of_what_is_not_said_any_more(language: str) -> None:
    library = everything_said()
    pieces = {
        theirs: [piece.strip(" ;,:.") for piece in re.split(r"\{\d+\}", theirs)]
        for theirs, _ in known(language)
    }
    gone = [
        theirs for theirs, parts in pieces.items() if any(part not in library for part in parts)
    ]
    assert gone == []


@needs_node
def test_every_preset_says_in_japanese_what_it_is_for() -> None:
    told = translated([json.loads(path.read_text("utf-8"))["about"] for path in shipped()])
    assert [text for text in told if not JAPANESE.search(text)] == []


@needs_node
@pytest.mark.parametrize("language", ["en", "ja"])
def test_no_value_is_lost(language: str) -> None:
    for theirs, ours in known(language):
        asked = set(re.findall(r"\{(\d+)\}", ours))
        assert asked <= set(re.findall(r"\{(\d+)\}", theirs)), theirs


@needs_node
def test_a_recommendation_is_said_in_japanese() -> None:
    reason = (
        "isabella-000006 at 0.8 with ALL: 5 of 7 traits (1.5 without the LoRA), obeys 90 % of the"
        " poses, views, places and clothes that the checkpoint obeys, shows 42 % of the traits"
        " in other poses and views (the checkpoint 9 %), copies least; as good as the best"
        " with 74 %, not told apart from isabella-000008 at 0.6 with OUTD and 3 more; the"
        " gentler is taken"
    )
    [shown] = translated([reason])
    assert "特徴 7 個中 5 個（LoRA なしでは 1.5）" in shown and "74 %" in shown
    assert "特徴の 42 %" in shown and "だけでは 9 %" in shown
    assert "isabella-000006" in shown and "isabella-000008" in shown and "他 3 件" in shown
    assert not re.search(r"[a-z]+ [a-z]+ [a-z]+", shown)


@needs_node
def test_an_error_is_said_by_its_setting_s_label() -> None:
    [shown] = translated(["training.rank: found 'x', expected a whole number"])
    assert shown.startswith("「") and "training.rank" in shown and "整数" in shown


@needs_node
def test_what_no_list_knows_is_shown_as_it_came() -> None:
    text = "a sentence that nobody wrote: with a colon; and (a, bracket)"
    assert translated([text]) == [text] and translated([text], "en") == [text]


@needs_node
def test_the_command_line_s_words_are_not_the_page_s() -> None:
    text = "24 pictures were put aside (broken 2); see them with 'regularize --list'"
    assert translated([text], "en") == [
        "24 pictures were put aside (broken 2); see them under Rejected"
    ]
