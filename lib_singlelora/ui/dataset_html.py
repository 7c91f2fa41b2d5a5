"""What the page says of crops, captions, the regularization set and the trigger, as HTML."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any


def artifacts(found: Sequence[Mapping[str, Any]]) -> str:
    """The list beside the overlay."""
    if not found:
        return (
            '<p class="singlelora-line">Nothing was found that does not belong to the picture.</p>'
        )
    rows = [[own["name"], own["sentence"], "cleaned" if own["cleaned"] else ""] for own in found]
    return _table(("", "what, where, what it may become", ""), rows)


def crops(dataset: Mapping[str, Any], repeats: int) -> str:
    """Each crop's figures, the symmetry of the whole, the repeats."""
    rows = []
    for own in dataset["crops"]:
        if "pixels" not in own:
            rows.append([own["name"], "your own picture", "", "", "", ""])
            continue
        symmetry = own["symmetry"]
        rows.append(
            [
                own["name"],
                "×".join(map(str, own["pixels"])),
                "×".join(map(str, own["bucket"])),
                f"{own['enlarged']:g}×" if own["enlarged"] > 1 else "no",
                f"{own['confidence']:.0%}",
                "yes" if symmetry["flip"] else f"no: {', '.join(symmetry['differs'])}",
            ]
        )
    head = ("crop", "real pixels", "bucket", "enlarged", "confidence", "may be mirrored")
    lines = (
        [f"Repeats: {repeats} set, {dataset['repeats']} proposed."] if dataset["repeats"] else []
    )
    lines += [f"She as a whole: {dataset['symmetry']['sentence']}."] if dataset["symmetry"] else []
    warnings = [note for note in dataset["notes"]["prepare"] if note.startswith("warning:")]
    told = [*warnings, *lines, *dataset["notes"]["crop"], *dataset["notes"]["train"]]
    return _table(head, rows) + _lines(told)


def count(text: str, tokens: int, beyond: str, limit: int) -> str:
    """How many tokens a caption has, and what of it is beyond the limit."""
    told = (
        f"{tokens} of {limit} tokens"
        if tokens <= limit
        else f"{tokens} tokens, {tokens - limit} more than {limit}"
    )
    return f'<p class="singlelora-line"><b>{told}</b>: {marked(text, beyond)}</p>'


def marked(text: str, beyond: str) -> str:
    """The caption, with what is beyond the limit marked."""
    if not beyond or not text.endswith(beyond):
        return html.escape(text)
    return (
        f"{html.escape(text[: -len(beyond)])}<mark"
        f' class="singlelora-beyond">{html.escape(beyond)}</mark>'
    )


def captions(found: Mapping[str, Any]) -> str:
    """All captions, the frequency of their tags, what can be undone."""
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{own['tokens']}</td><td>{marked(own['text'], own['beyond'])}</td></tr>"
        for name, own in found["captions"].items()
    )
    tags = ", ".join(
        f"<code>{html.escape(tag)}</code> {number}" for tag, number in found["tags"].items()
    )
    return (
        "<div"
        f' class="singlelora-scroll"><table><tr><th>crop</th><th>tokens</th><th>caption</th></tr>{rows}</table></div><p'
        f' class="singlelora-line">{tags}</p>'
        + _lines([*found["unreadable"], f"{many(found['undoable'], 'change')} can be taken back."])
    )


def many(number: int, word: str) -> str:
    """A number and its word, in the plural where it is."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def regularization(pictures: Sequence[Mapping[str, Any]], notes: Sequence[str]) -> str:
    """Why pictures were put aside, and what to know of the set."""
    rows = [
        [own["name"], "; ".join(own["reasons"]), own["by"], own["prompt"]]
        for own in pictures
        if not own["kept"]
    ]
    return (_table(("", "put aside because", "by", "prompt"), rows) if rows else "") + _lines(notes)


def trigger(result: Mapping[str, Any]) -> str:
    """What is known of a word, and others."""
    word, departures = result["word"], result["departures"]
    verdict = "free" if result["free"] else "; ".join(result["reasons"])
    lines = [f"{word}: {many(result['tokens'], 'token')}; {verdict}."]
    for kind in ("ordinary", "meaningless"):
        less = sum(value < departures["trigger"] for value in departures[kind].values())
        lines.append(
            f"It moves the checkpoint more than {less} of {len(departures[kind])} {kind} words."
        )
    if departures["meaning"] is None:
        lines.append(
            "This checkpoint does not tell ordinary words from others by that; judge by the"
            " pictures."
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
