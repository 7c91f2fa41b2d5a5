"""The job panel: what runs, how far it is, how long it takes, as HTML."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

STATES = {
    "waiting": "waits",
    "running": "running",
    "done": "done",
    "failed": "failed",
    "cancelled": "cancelled",
}


def clock(seconds: float) -> str:
    """75 -> '1:15'; 3700 -> '1:01:40'."""
    total = round(seconds)
    hours, minutes, rest = total // 3600, total // 60 % 60, total % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def render(jobs: Sequence[Mapping[str, Any]]) -> str:
    """The newest running job in full, waiting ones and the last that ended in a line."""
    running = [job for job in jobs if job["state"] == "running"]
    waiting = [job for job in jobs if job["state"] == "waiting"]
    ended = [job for job in jobs if job["state"] not in ("running", "waiting")]
    parts = [_running(job) for job in running]
    parts += [
        f'<p class="singlelora-line">{html.escape(job["title"])}: waits for its turn</p>'
        for job in waiting
    ]
    if not running and ended:
        parts.append(_ended(ended[-1]))
    if not parts:
        parts.append(
            '<p class="singlelora-line">No job yet. Drop in a picture, name her, and press Run'
            " everything.</p>"
        )
    state = (running or waiting or ended or [{"state": "none"}])[-1]["state"]
    last = ended[-1]["id"] if ended else 0
    return (
        f'<div class="singlelora-job" data-state="{state}" data-ended="{last}"'
        f' role="status">{"".join(parts)}</div>'
    )


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
    return (
        f'<p class="singlelora-title"><b>{html.escape(job["title"])}</b> ·'
        f' {html.escape(job["stage"] or "starting")}</p><div class="singlelora-bar"'
        f' role="progressbar" aria-valuenow="{percent}" aria-valuemin="0" aria-valuemax="100"><div'
        f' style="width:{percent}%"></div><span>{percent}%</span></div><p'
        f' class="singlelora-line">{html.escape(job["message"])}</p><p class="singlelora-line'
        f' singlelora-dim">{" · ".join(figures)}</p>'
    )


def _validation(values: Mapping[str, float]) -> str:
    """'validation 0.1034, at the start 0.1270 (t200 0.21, t400 0.11, …)': the noisier the later."""
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
    text = (
        f"<b>{html.escape(job['title'])}</b>: {STATES[job['state']]} after {clock(job['seconds'])}"
    )
    if job["state"] == "failed":
        return (
            f'<p class="singlelora-line">{text}</p><p'
            f' class="singlelora-error">{html.escape(job["error"] or "")}</p>'
        )
    hint = (
        "; press the same button and it goes on where it stopped"
        if job["state"] == "cancelled"
        else ""
    )
    return f'<p class="singlelora-line">{text}{hint}</p>'


def summary(results: Mapping[str, Any] | None) -> str:
    """What a workspace holds: the LoRA files by the names prompts use, and which to take."""
    if results is None:
        return ""
    begun = [stage for stage, state in results["stages"].items() if state == "begun"]
    parts = []
    if results["recommendation"]:
        best = results["recommendation"]
        tag = html.escape(f"<lora:{best['name']}:{best['strength']:g}>")
        parts.append(
            f'<p class="singlelora-take">Take <code>{tag}</code>:'
            f" {html.escape(best['reason'])}.</p>"
        )
    if results.get("crop_notes"):
        lines = "".join(f"<li>{html.escape(line)}</li>" for line in results["crop_notes"])
        parts.append(
            f'<details class="singlelora-notes"><summary>{len(results["crops"])} crops: what to'
            f" know of them</summary><ul>{lines}</ul></details>"
        )
    if notes := list(dict.fromkeys(results.get("train_notes", ()))):
        lines = "".join(f"<li>{html.escape(line)}</li>" for line in notes)
        parts.append(
            '<details class="singlelora-notes"><summary>Training: what to look at'
            f" ({len(notes)})</summary><ul>{lines}</ul></details>"
        )
    if results.get("rejected"):
        lines = "".join(
            f"<li>{html.escape(name)}: {html.escape('; '.join(reasons))}</li>"
            for name, reasons in results["rejected"].items()
        )
        parts.append(
            f'<details class="singlelora-notes"><summary>{len(results["rejected"])} regularization'
            f" pictures were put aside</summary><ul>{lines}</ul></details>"
        )
    if results["loras"]:
        names = " ".join(f"<code>{html.escape(name)}</code>" for name in results["loras"])
        parts.append(f'<p class="singlelora-line singlelora-loras">LoRA files: {names}</p>')
    if begun:
        parts.append(
            f'<p class="singlelora-line">Begun, not finished: {html.escape(", ".join(begun))}. Run'
            " goes on there.</p>"
        )
    return f'<div class="singlelora-results">{"".join(parts)}</div>' if parts else ""


def lacking(packages: Mapping[str, str]) -> str:
    """What install.py could not add.  packages: name -> the command that adds it."""
    return "".join(
        f'<p class="singlelora-error" role="alert">Missing: {html.escape(name)}. What needs it'
        f" stops with an error. To add it, run <code>{html.escape(command)}</code> and restart the"
        " WebUI.</p>"
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
