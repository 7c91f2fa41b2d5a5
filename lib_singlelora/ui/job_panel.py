"""The job panel as HTML: what is running, its progress, the time left."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any


def clock(seconds: float) -> str:
    """75 -> '1:15'; 3700 -> '1:01:40'."""
    total = round(seconds)
    minutes, rest = divmod(total, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def render(jobs: Sequence[Mapping[str, Any]]) -> str:
    """Running jobs in full; waiting ones, and the last finished one, in a line each."""
    running = [job for job in jobs if job["state"] == "running"]
    waiting = [job for job in jobs if job["state"] == "waiting"]
    ended = [job for job in jobs if job["state"] not in ("running", "waiting")]
    parts = [_running(job) for job in running]
    parts += [_line(f"{html.escape(job['title'])}: waiting") for job in waiting]
    if not running and ended:
        parts.append(_ended(ended[-1]))
    if not parts:
        parts.append(
            _line(
                "No job yet. Drop in a picture, give the character a trigger, and press Run"
                " everything."
            )
        )
    state = (running or waiting or ended or [{"state": "none"}])[-1]["state"]
    last = ended[-1]["id"] if ended else 0
    return (
        f'<div class="singlelora-job" data-state="{state}" data-ended="{last}"'
        f' role="status">{"".join(parts)}</div>'
    )


def _line(content: str, more: str = "") -> str:
    """A paragraph of HTML.  more: further classes."""
    return f'<p class="{" ".join(("singlelora-line", *more.split()))}">{content}</p>'


def _running(job: Mapping[str, Any]) -> str:
    percent = round(100 * job["fraction"])
    figures = [f"{clock(job['seconds'])} so far"]
    if job["eta"] is not None:
        figures.append(f"about {clock(job['eta'])} left in this stage")
    loss = job["values"].get("mean_loss", job["values"].get("loss"))
    if loss is not None:
        figures.append(f"loss {loss:.4f}")
    if "validation_loss" in job["values"]:
        figures.append(_validation(job["values"]))
    title = html.escape(job["title"])
    stage = html.escape(job["stage"] or "starting")
    bar = (
        f'<div class="singlelora-bar" role="progressbar" aria-valuenow="{percent}"'
        f' aria-valuemin="0" aria-valuemax="100"><div style="width:{percent}%"></div>'
        f"<span>{percent}%</span></div>"
    )
    return (
        f'<p class="singlelora-title"><b>{title}</b> · {stage}</p>{bar}'
        + _line(html.escape(job["message"]))
        + _line(" · ".join(figures), "singlelora-dim")
    )


def _validation(values: Mapping[str, float]) -> str:
    """'validation 0.1034, at the start 0.1270 (t200 0.21, t400 0.11, …)', later timesteps last."""
    bands = ", ".join(
        f"{name.removeprefix('validation_')} {value:.4f}"
        for name, value in values.items()
        if name.startswith("validation_t")
    )
    # A training that was resumed may have begun without a validation.
    start = (
        f", at the start {values['validation_start']:.4f}" if "validation_start" in values else ""
    )
    return f"validation {values['validation_loss']:.4f}{start} ({bands})"


def _ended(job: Mapping[str, Any]) -> str:
    title = html.escape(job["title"])
    text = f"<b>{title}</b>: {job['state']} after {clock(job['seconds'])}"
    if job["state"] == "failed":
        return _line(text) + f'<p class="singlelora-error">{html.escape(job["error"] or "")}</p>'
    if job["state"] == "cancelled":
        return _line(f"{text}; press the same button and it goes on where it stopped")
    return _line(text)


def summary(results: Mapping[str, Any] | None) -> str:
    """A workspace's results: the recommended LoRA, notes, and all LoRA files by name."""
    if results is None:
        return ""
    parts = [_recommended(results["recommendation"])] if results["recommendation"] else []
    if crop_notes := results.get("crop_notes"):
        parts.append(_details(f"{len(results['crops'])} crops: notes", crop_notes))
    if train_notes := list(dict.fromkeys(results.get("train_notes", ()))):
        parts.append(_details(f"Training: notes ({len(train_notes)})", train_notes))
    if rejected := results.get("rejected"):
        lines = [f"{name}: {'; '.join(reasons)}" for name, reasons in rejected.items()]
        pictures = "1 picture was" if len(rejected) == 1 else f"{len(rejected)} pictures were"
        parts.append(_details(f"{pictures} rejected from the regularization set", lines))
    if results["loras"]:
        names = " ".join(f"<code>{html.escape(name)}</code>" for name in results["loras"])
        parts.append(_line(f"LoRA files: {names}", "singlelora-loras"))
    if begun := [stage for stage, state in results["stages"].items() if state == "begun"]:
        stages = html.escape(", ".join(begun))
        parts.append(_line(f"Not finished: {stages}. Run continues there."))
    return f'<div class="singlelora-results">{"".join(parts)}</div>' if parts else ""


def _recommended(best: Mapping[str, Any]) -> str:
    tag = html.escape(f"<lora:{best['name']}:{best['strength']:g}>")
    reason = html.escape(best["reason"])
    return f'<p class="singlelora-take">Take <code>{tag}</code>: {reason}.</p>'


def _details(title: str, lines: Sequence[str]) -> str:
    """A folded list."""
    entries = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return (
        f'<details class="singlelora-notes"><summary>{html.escape(title)}</summary>'
        f"<ul>{entries}</ul></details>"
    )


def lacking(packages: Mapping[str, str]) -> str:
    """Packages that install.py could not install.  packages: name -> the command that does."""
    return "".join(
        f'<p class="singlelora-error" role="alert">Missing: {html.escape(name)}. What needs it'
        f" fails with an error. To install it, run <code>{html.escape(command)}</code> and"
        " restart the WebUI.</p>"
        for name, command in packages.items()
    )


def note(text: str, bad: bool = False) -> str:
    """One line for the user."""
    return (
        f'<p class="{"singlelora-error" if bad else "singlelora-line"}"'
        f' role="alert">{html.escape(text)}</p>'
        if text
        else ""
    )
