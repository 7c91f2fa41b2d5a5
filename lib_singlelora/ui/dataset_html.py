"""The page's tables of artifacts, crops, captions, regularization set and trigger, as HTML."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any


def artifacts(found: Sequence[Mapping[str, Any]]) -> str:
    """The list beside the overlay."""
    if not found:
        return '<p class="singlelora-line">No artifacts were detected.</p>'
    rows = [
        [item["name"], item["sentence"], "cleaned" if item["cleaned"] else ""] for item in found
    ]
    return _table(("", "kind, place, effect on the LoRA", ""), rows)


def crops(dataset: Mapping[str, Any], repeats: int) -> str:
    """Figures of each crop, the symmetry of the whole figure, the repeats."""
    rows = []
    for crop in dataset["crops"]:
        if "pixels" not in crop:
            rows.append([crop["name"], "your own picture", "", "", "", ""])
            continue
        symmetry = crop["symmetry"]
        rows.append(
            [
                crop["name"],
                "×".join(map(str, crop["pixels"])),
                "×".join(map(str, crop["bucket"])),
                f"{crop['enlarged']:g}×" if crop["enlarged"] > 1 else "no",
                f"{crop['confidence']:.0%}",
                "yes" if symmetry["flip"] else f"no: {', '.join(symmetry['differs'])}",
            ]
        )
    head = ("crop", "real pixels", "bucket", "upscaled", "confidence", "may be mirrored")
    lines = (
        [f"Repeats: set to {repeats}, suggested {dataset['repeats']} suggested."]
        if dataset["repeats"]
        else []
    )
    lines += (
        [f"The whole figure: {dataset['symmetry']['sentence']}."] if dataset["symmetry"] else []
    )
    warnings = [note for note in dataset["notes"]["prepare"] if note.startswith("warning:")]
    notes = [*warnings, *lines, *dataset["notes"]["crop"], *dataset["notes"]["train"]]
    return _table(head, rows) + _lines(notes)


def count(text: str, tokens: int, beyond: str, limit: int) -> str:
    """A caption's number of tokens, and the part of it beyond the limit."""
    summary = (
        f"{tokens} of {limit} tokens"
        if tokens <= limit
        else f"{tokens} tokens, {tokens - limit} above the limit of {limit}"
    )
    return f'<p class="singlelora-line"><b>{summary}</b>: {marked(text, beyond)}</p>'


def marked(text: str, beyond: str) -> str:
    """The caption, with the part beyond the limit marked."""
    if not beyond or not text.endswith(beyond):
        return html.escape(text)
    mark = f'<mark class="singlelora-beyond">{html.escape(beyond)}</mark>'
    return html.escape(text[: -len(beyond)]) + mark


def trait(found: Mapping[str, Any], separator: str) -> str:
    """The label of a trait or of an implausible tag, which begins with the tag.

    separator: what stands behind the tag.
    """
    if found["reason"]:
        return f"{found['tag']}{separator}implausible, {found['reason']}"
    return f"{found['tag']}{separator}{found['category']}, {found['seen']} of {found['visible']}"


def captions(found: Mapping[str, Any]) -> str:
    """All captions, the frequency of their tags, the number of changes that can be undone."""
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{caption['tokens']}</td>"
        f"<td>{marked(caption['text'], caption['beyond'])}</td></tr>"
        for name, caption in found["captions"].items()
    )
    tags = ", ".join(
        f"<code>{html.escape(tag)}</code> {number}" for tag, number in found["tags"].items()
    )
    head = "<tr><th>crop</th><th>tokens</th><th>caption</th></tr>"
    return (
        f'<div class="singlelora-scroll"><table>{head}{rows}</table></div>'
        f'<p class="singlelora-line">{tags}</p>'
        + _lines([*found["unreadable"], f"{many(found['undoable'], 'change')} can be undone."])
    )


def many(number: int, word: str) -> str:
    """A number and its noun: 1 change, 2 changes."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def regularization(pictures: Sequence[Mapping[str, Any]], notes: Sequence[str]) -> str:
    """Rejected pictures with the reasons, and notes on the set."""
    rows = [
        [item["name"], "; ".join(item["reasons"]), item["by"], item["prompt"]]
        for item in pictures
        if not item["kept"]
    ]
    table = _table(("", "rejected because", "by", "prompt"), rows) if rows else ""
    return table + _lines(notes)


def trigger(result: Mapping[str, Any]) -> str:
    """The verdict on a trigger word, and other suggestions."""
    word = result["word"]
    departures = result["departures"]
    verdict = "free" if result["free"] else "; ".join(result["reasons"])
    lines = [f"{word}: {many(result['tokens'], 'token')}; {verdict}."]
    for kind in ("ordinary", "meaningless"):
        less = sum(value < departures["trigger"] for value in departures[kind].values())
        lines.append(
            f"It changes pictures more than {less} of {len(departures[kind])} {kind} words."
        )
    if departures["meaning"] is None:
        lines.append(
            "On this checkpoint that does not separate ordinary words from meaningless ones; judge"
            " by the pictures."
        )
    return _lines([*lines, f"Free words: {', '.join(result['suggestions'])}."])


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f'<div class="singlelora-scroll"><table><tr>{top}</tr>{body}</table></div>'


def _lines(lines: Sequence[str]) -> str:
    return "".join(f'<p class="singlelora-line">{html.escape(line)}</p>' for line in lines)
