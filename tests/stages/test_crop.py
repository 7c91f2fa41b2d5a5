"""Crops: real sizes, coverage, repeats, views that the user moves or adds, detectors."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_singlelora.crops.buckets import make_buckets
from lib_singlelora.crops.coverage import (
    coverage,
    coverage_picture,
    figures,
    moved,
    proposed_repeats,
    sentences,
    without_soft,
)
from lib_singlelora.crops.views import View
from lib_singlelora.errors import ImageModelError, SettingsError
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.settings.crop import CropSettings
from lib_singlelora.settings.schema import Settings
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.crop import CropResult, _cutting, crop
from lib_singlelora.workspace.workspace import Workspace
from tests.stages.conftest import small

BUCKETS = make_buckets(512)


def cut(workspace: Workspace, host: StandaloneHost, **values: object) -> CropResult:
    return crop(
        StageContext(
            small(**{f"crop__{key}": value for key, value in values.items()}), workspace, host
        )
    )


def views(workspace: Workspace) -> dict[str, dict[str, object]]:
    return json.loads((workspace.root / "log" / "crop.json").read_text(encoding="utf-8"))["data"][
        "views"
    ]


def test_a_crop_tells_its_real_pixels_its_bucket_and_how_far_it_is_enlarged() -> None:
    shown = figures(View("face", (), (0, 0, 512, 512)), 4.0, BUCKETS)
    assert (shown.pixels, shown.bucket, shown.enlarged) == ((128, 128), (512, 512), 4.0)
    assert figures(View("full_body", (), (0, 0, 1024, 1536)), 1.0, BUCKETS).enlarged == 1.0


def test_a_view_enlarged_over_the_limit_is_soft_and_said_to_be() -> None:
    shown = figures(View("face", (), (0, 0, 512, 512)), 4.0, BUCKETS, 3.0)
    assert shown.soft and not figures(View("face", (), (0, 0, 512, 512)), 4.0, BUCKETS, 4.0).soft
    mask = np.ones((4, 10), dtype=bool)
    [note, *_] = sentences({"face": shown}, np.ones((4, 10), dtype=np.int32), mask, 5, 5)
    assert "crop.most_enlarged" in note


def test_soft_views_are_left_out_but_for_those_the_user_named() -> None:
    views = [
        View(name, (), (0, 0, side, side)) for name, side in (("a", 600), ("b", 100), ("c", 90))
    ]
    shown = {view.name: figures(view, 1.0, BUCKETS, 2.0) for view in views}
    kept, notes = without_soft(views, shown, ["c"])
    assert [view.name for view in kept] == ["a", "c"]
    assert len(notes) == 1 and notes[0].startswith("left out: b, which would be enlarged 5.12")
    only, _ = without_soft(views[1:], {"b": shown["b"], "c": shown["c"]}, [])
    assert [view.name for view in only] == ["b"]


def test_a_limit_changes_what_is_cut_only_where_it_drops() -> None:
    before = _cutting(CropSettings())
    assert set(before) == {"views", "details", "boxes", "detector"}
    assert _cutting(CropSettings(most_enlarged=9.0)) == before
    assert _cutting(CropSettings(soft_views="drop")) != before


def test_coverage_counts_and_what_is_never_shown_is_told() -> None:
    counts = coverage((10, 4), [(0, 0, 5, 4), (3, 0, 8, 4)])
    assert counts[0].tolist() == [1, 1, 1, 2, 2, 1, 1, 1, 0, 0] and counts.shape == (4, 10)
    mask = np.ones((4, 10), dtype=bool)
    shown = {"a": figures(View("a", (), (0, 0, 5, 4)), 1, BUCKETS)}
    enlarged, missing, repeats = sentences(shown, counts, mask, 5, 25)
    assert enlarged.startswith("a: 5x4 pixels")
    assert missing.startswith("20%") and "crop.boxes" in missing
    assert "training.repeats is 5" in repeats and "25 samples" in repeats
    picture = np.asarray(coverage_picture(Image.new("RGB", (10, 4), "white"), counts))
    assert picture[0, 9].sum() > picture[0, 0].sum() > picture[0, 3].sum()


def test_repeats_show_fifty_samples_and_the_rarely_seen_five_times() -> None:
    mask = np.ones((10, 10), dtype=bool)
    assert proposed_repeats(np.full((10, 10), 10), mask, 10) == 5
    assert proposed_repeats(np.full((10, 10), 1), mask, 50) == 5  # each place is in one crop only
    assert proposed_repeats(np.full((10, 10), 3), mask, 1) == 50


def test_a_view_is_moved_and_one_of_ones_own_is_added(
    eileen: Workspace, standalone_host: StandaloneHost
) -> None:
    before = views(eileen)
    made = cut(eileen, standalone_host, boxes="face:10:20:110:140, hat pin:0:0:64:64")
    after = views(eileen)
    assert (
        after["face"]["box"] == [10, 20, 110, 140]
        and after["face"]["tags"] == before["face"]["tags"]
    )
    assert after["hat_pin"]["box"] == [0, 0, 64, 64] and after["hat_pin"]["tags"] == ["hat pin"]
    with Image.open(next(path for path in made.crops if path.stem == "hat_pin")) as image:
        assert image.size == (64, 64)
    assert {name for name in before if name not in ("face", "hat_pin")} <= after.keys()
    assert eileen.coverage.exists() and made.repeats >= 1
    assert any("training.repeats is 2" in note for note in made.notes)
    # A photograph
    assert any(note.startswith("the background is not of one colour") for note in made.notes)
    assert any(
        note.startswith("not proposed: full_body, ") and "lower_body" in note for note in made.notes
    )
    assert {"pixels", "bucket", "enlarged", "confidence", "symmetry"} <= after["face"].keys()


def test_the_repeats_that_a_preset_sets_are_not_advised_against(
    eileen: Workspace, standalone_host: StandaloneHost
) -> None:
    of_preset = Settings.from_dict({"training": {"preset": "recommended"}})
    for repeats, is_told in ((of_preset.training.repeats, False), (40, True)):
        settings = small(training__preset="recommended", training__repeats=repeats)
        made = crop(StageContext(settings, eileen, standalone_host))
        assert any("training.repeats is" in note for note in made.notes) is is_told
        assert made.repeats not in (0, repeats)  # it would have proposed another number


@pytest.mark.parametrize(
    "text",
    [
        "face",
        "face:1:2:3",
        "face:a:b:c:d",
        "face:0:0:9999:10",
        "face:50:0:20:90",
        "a/b:0:0:64:64",
        "face:0:0:9:9",
    ],
)
def test_a_box_that_is_none_is_told(text: str) -> None:
    with pytest.raises(SettingsError, match=r"crop\.boxes: found"):
        moved([], [text], (256, 256))


def test_a_detector_moves_the_face(
    eileen: Workspace, standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from tests.imaging.test_face_detector import V8, write

    cut(eileen, standalone_host, detector=str(write(tmp_path / "d.onnx", V8)))
    left, top, right, bottom = views(eileen)["face"]["box"]
    with Image.open(eileen.prepared) as image:
        factor = image.width / 64
    assert (
        left < 24 * factor
        and right > 40 * factor
        and top < 16 * factor
        and abs(bottom - 26 * factor) < 6 * factor
    )
    with pytest.raises(ImageModelError, match="no such file"):
        cut(eileen, standalone_host, detector=str(tmp_path / "none.onnx"))
