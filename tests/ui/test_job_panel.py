"""What the job panel says, as HTML."""

import pytest

from lib_singlelora.ui.job_panel import clock, lacking, note, render, summary

JOB = {
    "id": 1,
    "title": "isabella: run",
    "state": "running",
    "stage": "train",
    "done": 5,
    "total": 20,
    "fraction": 0.25,
    "message": "epoch 1 of 2",
    "values": {"loss": 0.5, "mean_loss": 0.25},
    "pictures": [],
    "seconds": 61.0,
    "eta": 3700.0,
    "error": None,
}


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (75, "1:15"), (59.6, "1:00"), (3700, "1:01:40")]
)
def test_times_are_read_at_a_glance(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_a_running_job_shows_stage_bar_loss_and_time_left() -> None:
    text = render([JOB, {**JOB, "id": 2, "title": "other: plot", "state": "waiting"}])
    for piece in (
        "isabella: run",
        "train",
        "25%",
        "epoch 1 of 2",
        "loss 0.2500",
        "1:01 so far",
        "1:01:40 left",
        "other: plot",
    ):
        assert piece in text


def test_what_users_wrote_is_escaped() -> None:
    text = render([{**JOB, "title": "<b>x</b>", "message": "<script>"}]) + note("<i>")
    assert "<b>x" not in text and "<script>" not in text and "<i>" not in text


def test_what_to_know_of_crops_and_of_pictures_put_aside_is_folded_in() -> None:
    results = {
        "stages": {},
        "recommendation": None,
        "loras": {},
        "crops": ["a", "b"],
        "crop_notes": ["face: <small>"],
        "rejected": {"0007": ["resembles her", "two persons"]},
    }
    text = summary(results)
    assert "2 crops" in text and "face: &lt;small&gt;" in text
    assert "1 picture was rejected" in text and "0007: resembles her; two persons" in text


def test_how_a_job_ended_and_what_to_do() -> None:
    assert "3 tensors" in render([{**JOB, "state": "failed", "error": "found 3 tensors"}])
    assert "goes on where it stopped" in render([{**JOB, "state": "cancelled"}])
    assert 'data-state="none"' in render([])


def test_the_summary_names_the_file_to_take_and_what_was_begun() -> None:
    results = {
        "stages": {"train": "done", "plot": "begun"},
        "loras": {"isabella": "/x"},
        "recommendation": {"name": "isabella", "strength": 0.8, "reason": "nearest & best"},
    }
    text = summary(results)
    assert "&lt;lora:isabella:0.8&gt;" in text and "nearest &amp; best" in text and "plot" in text
    assert summary(None) == ""


def test_what_install_could_not_add_is_told_with_the_command() -> None:
    text = lacking({"onnxruntime": "python -m pip install 'onnxruntime<1.20'"})
    assert (
        "Missing: onnxruntime" in text
        and "<code>python -m pip install &#x27;onnxruntime&lt;1.20&#x27;</code>" in text
    )
