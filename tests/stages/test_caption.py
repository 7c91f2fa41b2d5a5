"""Captions of crops; a tagger built here knows the crops by their colours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest
from PIL import Image

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from lib_singlelora.errors import SettingsError, TaggerError
from lib_singlelora.host import CheckpointInfo, Host, HostPaths
from lib_singlelora.settings.schema import Settings
from lib_singlelora.stages.caption import caption
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.regularize import looking
from lib_singlelora.tagging import ensemble
from lib_singlelora.tagging.wd import TagScores
from lib_singlelora.workspace.workspace import Workspace
from tests.stages.quiet_host import QuietHost, cropped, quiet_host
from tests.tagging.test_wd import write_tagger

RATINGS = [("general", 9), ("sensitive", 9)]
# Blue, green, red answer to their colour; the rest is always seen.
ALWAYS = [
    ("blonde_hair", 0),
    ("long_hair", 0),
    ("white_dress", 0),
    ("hat", 0),
    ("smile", 0),
    ("standing", 0),
    ("outdoors", 0),
    ("^_^", 0),
    ("full_body", 0),
    ("isabella_(story)", 4),
]
TAGS = [*RATINGS, ("blue_eyes", 0), ("striped_skirt", 0), ("twintails", 0), *ALWAYS]


def settings_of(**caption_settings: object) -> Settings:
    return Settings.from_dict(
        {
            "character": {"trigger": "isabella", "class_token": "girl"},
            "caption": {"general_threshold": 0.45, "character_threshold": 0.45, **caption_settings},
        }
    )


def captions(
    workspace: Workspace, settings: Settings, host: Host, force: bool = False
) -> dict[str, str]:
    made = caption(StageContext(settings, workspace, host, force=force))
    return {path.stem: text for path, text in made.captions.items()}


class Deepbooru:
    """A host's tagger: underscores, ratings by a prefix, characters among the rest."""

    name = "deepbooru"

    def tag(self, images: Sequence[Image.Image]) -> list[dict[str, float]]:
        return [
            {
                "holding_sword": 0.9,
                "blonde_hair": 0.9,
                "^_^": 0.9,
                "smile": 0.1,
                "rating:safe": 0.99,
            }
            for _ in images
        ]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return cropped(tmp_path / "w", settings_of())


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return quiet_host(tmp_path, (write_tagger(tmp_path / "tagger", tags=TAGS, batch="N"),))


def test_without_a_tagger_a_caption_is_trigger_class_and_view(
    workspace: Workspace, tmp_path: Path, host: Host
) -> None:
    plain = {
        "full_body": "isabella, girl, full body",
        "face": "isabella, girl, close-up, face focus",
        "legs": "isabella, girl, lower body, head out of frame",
    }
    assert captions(workspace, settings_of(), quiet_host(tmp_path)) == plain
    assert captions(workspace, settings_of(tagger="none"), host) == plain


def test_the_first_tagger_found_is_taken_and_what_is_hers_left_out(
    workspace: Workspace, host: Host
) -> None:
    found = captions(workspace, settings_of(), host)
    # Two crops could show the twintails and one does: of one picture the tagger errs on the other.
    assert (
        found["full_body"]
        == "isabella, girl, full body, standing, smile, white dress, hat, outdoors"
    )
    assert (
        found["legs"]
        == "isabella, girl, lower body, head out of frame, standing, striped skirt, white dress,"
        " outdoors"
    )
    assert not {"blonde hair", "long hair", "blue eyes", "isabella (story)"} & set(
        ", ".join(found.values()).split(", ")
    )


def test_what_the_crops_tell_of_her_is_reported_the_second_time_too(
    workspace: Workspace, host: Host
) -> None:
    for _ in range(2):
        traits = {
            trait.tag: (trait.seen, trait.visible)
            for trait in caption(StageContext(settings_of(), workspace, host)).traits
        }
        assert traits["blonde hair"] == (2, 2) and traits["blue eyes"] == (1, 2)


def test_what_a_crop_cannot_show_is_left_out_with_its_reason(
    workspace: Workspace, host: Host
) -> None:
    made = caption(StageContext(settings_of(), workspace, host))
    reasons = {doubt.tag: doubt.reason for doubt in made.doubts["legs"]}
    assert reasons["hat"] == "this crop shows no head"
    assert reasons["smile"] == "lower body shows no expression"
    # The face's blue eyes are open.
    assert [doubt.tag for doubt in made.doubts["full_body"]] == ["^_^"]
    [note] = made.notes
    assert "hat (legs)" in note and "caption.keep" in note
    assert caption(StageContext(settings_of(), workspace, host)).doubts == made.doubts


def test_the_rules_can_be_switched_off_and_a_tag_brought_back(
    workspace: Workspace, host: Host
) -> None:
    off = captions(workspace, settings_of(implausible="keep"), host)
    assert {"hat", "smile", "^_^"} <= set(off["legs"].split(", "))
    kept = captions(workspace, settings_of(keep="hat"), host)
    assert "hat" in kept["legs"] and "smile" not in kept["legs"]


def test_the_whole_picture_bounds_the_crops_and_not_the_users_own_pictures(
    workspace: Workspace, tmp_path: Path
) -> None:
    tags = [*RATINGS, ("2girls", 0), ("skirt", 0), ("1girl", 0), *ALWAYS]  # blue, green, red
    host = quiet_host(tmp_path, (write_tagger(tmp_path / "tagger", tags=tags, batch="N"),))
    workspace.prepared.parent.mkdir()
    Image.new("RGB", (48, 64), "red").save(workspace.prepared)
    folder = workspace.image_folder(settings_of())
    Image.new("RGB", (48, 64), "blue").save(folder / "mine.png")
    found = captions(workspace, settings_of(), host)
    assert "1girl" in found["full_body"] and "2girls" in found["mine"]
    assert "2girls" not in found["face"]


def test_a_background_of_one_colour_is_no_place(workspace: Workspace, host: Host) -> None:
    mask = Image.new("L", (48, 64))
    mask.paste(255, (16, 8, 32, 56))
    workspace.prepared.parent.mkdir()
    mask.save(workspace.mask)
    Image.new("RGB", (48, 64), "white").save(workspace.prepared)
    assert "outdoors" not in captions(workspace, settings_of(), host)["full_body"]


def test_with_both_outfits_a_caption_has_a_line_with_the_clothes_and_one_without(
    workspace: Workspace, host: Host
) -> None:
    both = captions(workspace, settings_of(outfit="both"), host)
    kept = captions(workspace, settings_of(), host)
    pruned = captions(workspace, settings_of(outfit="prune"), host)
    for name, text in both.items():
        assert text.split("\n") == [kept[name], pruned[name]]


def test_where_a_crop_shows_no_clothes_there_is_one_line(
    workspace: Workspace, tmp_path: Path
) -> None:
    assert captions(workspace, settings_of(outfit="both"), quiet_host(tmp_path)) == captions(
        workspace, settings_of(), quiet_host(tmp_path)
    )


def test_the_outfits_trigger_stands_where_clothes_are_pruned(
    workspace: Workspace, tmp_path: Path
) -> None:
    tags = [*RATINGS, ("blue_eyes", 0), ("striped_skirt", 0), ("smile", 0)]
    host = quiet_host(tmp_path, (write_tagger(tmp_path / "tagger", tags=tags, batch="N"),))
    word = "isabella dress style"
    pruned = captions(workspace, settings_of(outfit="prune", outfit_trigger=word), host)
    assert pruned["legs"].startswith(f"isabella, girl, {word}, lower body")
    assert word not in pruned["face"]
    both = captions(workspace, settings_of(outfit="both", outfit_trigger=word), host)["legs"]
    assert [(word in line, "striped skirt" in line) for line in both.split("\n")] == [
        (False, True),
        (True, False),
    ]


def test_an_outfits_trigger_that_no_caption_has_is_told(workspace: Workspace, host: Host) -> None:
    made = caption(StageContext(settings_of(outfit_trigger="her dress"), workspace, host))
    assert any("her dress" in note and "outfit=keep" in note for note in made.notes)


@pytest.mark.parametrize("word", ["isabella", "Girl"])
def test_an_outfits_trigger_is_a_word_of_its_own(word: str) -> None:
    with pytest.raises(SettingsError, match="outfit_trigger"):
        settings_of(outfit="prune", outfit_trigger=word)


def test_every_tagger_named_is_asked_and_their_tags_are_merged(
    workspace: Workspace, tmp_path: Path, host: Host
) -> None:
    other = write_tagger(tmp_path / "other", tags=[*TAGS[:5], ("sword", 0)])
    [first] = host.paths.taggers
    found = captions(workspace, settings_of(tagger=[str(first), str(other)]), host)
    assert {"sword", "smile"} <= set(found["face"].split(", "))


def test_the_hosts_own_tagger_is_asked_when_it_is_named(workspace: Workspace, host: Host) -> None:
    [first], own = host.paths.taggers, (Deepbooru(),)
    both = QuietHost(host.paths, own=own)
    # Not by itself
    assert "holding sword" not in captions(workspace, settings_of(), cast(Host, both))["face"]
    trusted = settings_of(tagger=[str(first), "deepbooru"], implausible="keep")
    found = captions(workspace, trusted, cast(Host, both))["face"].split(", ")
    assert {"holding sword", "smile", "^_^"} <= set(found) and not {
        "blonde hair",
        "rating:safe",
        "rating:general",
    } & set(found)
    alone = captions(workspace, settings_of(tagger="deepbooru"), cast(Host, both))["face"].split(
        ", "
    )
    assert "holding sword" in alone and "smile" not in alone
    with pytest.raises(TaggerError, match=r"there are: .*deepbooru"):
        captions(workspace, settings_of(tagger="deepboru"), cast(Host, both))


def test_a_tagger_is_found_by_its_name(workspace: Workspace, host: Host) -> None:
    assert "smile" in captions(workspace, settings_of(tagger="tagger"), host)["face"]


def test_merging_keeps_the_highest_probability() -> None:
    one = TagScores({"a": 0.2, "b": 0.9}, {}, {"general": 0.4})
    two = TagScores({"a": 0.6, "c": 0.1}, {"x": 1.0}, {"general": 0.5})
    assert ensemble.merged([one, two]) == TagScores(
        {"a": 0.6, "b": 0.9, "c": 0.1}, {"x": 1.0}, {"general": 0.5}
    )


def test_mcut_takes_each_picture_s_own_threshold_and_the_rating_is_there_on_demand() -> None:
    scores = TagScores(
        {"a": 0.3, "b": 0.28, "c": 0.05, "d": 0.04}, {}, {"general": 0.4, "sensitive": 0.5}
    )
    assert ensemble.tags_above(scores, settings_of(thresholds="MCut").caption) == ["a", "b"]
    assert ensemble.tags_above(scores, settings_of(rating=True).caption) == ["rating:sensitive"]


def test_a_caption_written_by_hand_stays_even_in_kohya_s_own_file(
    workspace: Workspace, host: Host
) -> None:
    folder = workspace.image_folder(settings_of())
    (folder / "face.txt").write_text("by hand", encoding="utf-8")
    (folder / "legs.caption").write_text("by hand too", encoding="utf-8")
    made = caption(StageContext(settings_of(), workspace, host))
    assert {path.name for path in made.kept} == {"face.txt", "legs.caption"}
    assert not (folder / "legs.txt").exists()
    assert (
        made.captions[folder / "face.png"] == "by hand"
        and made.captions[folder / "legs.png"] == "by hand too"
    )


def test_another_policy_or_tagger_writes_anew_and_the_same_does_nothing(
    workspace: Workspace, host: Host, tmp_path: Path
) -> None:
    before = captions(workspace, settings_of(), host)
    file = workspace.image_folder(settings_of()) / "face.txt"
    stamp = file.stat().st_mtime_ns
    assert captions(workspace, settings_of(), host) == before and file.stat().st_mtime_ns == stamp
    assert "hat" not in captions(workspace, settings_of(outfit="prune"), host)["face"]
    write_tagger(tmp_path / "tagger", tags=[*TAGS, ("sword", 0)], batch="N")
    assert "sword" in captions(workspace, settings_of(), host)["face"]


def test_the_policy_does_not_touch_the_regularization_set() -> None:
    assert looking(settings_of().caption) == looking(
        settings_of(outfit="prune", prune="skin", underscores=True).caption
    )
    assert looking(settings_of().caption) != looking(settings_of(general_threshold=0.5).caption)


def test_the_embedded_tagger_serves_the_embedded_checkpoint_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ensemble, "TAGGER", write_tagger(tmp_path / "embedded", tags=TAGS))
    paths = HostPaths(downloads=tmp_path / "none")
    for preset, expected in (("embedded", [tmp_path / "embedded"]), ("recommended", [])):
        host = QuietHost(paths, CheckpointInfo("x", Path("x"), preset=preset))
        assert ensemble.known_folders(host) == expected


def test_a_downloaded_tagger_is_found_the_next_time(workspace: Workspace, tmp_path: Path) -> None:
    host = quiet_host(tmp_path)
    (tmp_path / "downloads").mkdir()
    write_tagger(tmp_path / "downloads" / "wd-vit-tagger-v3", tags=TAGS)
    for named in ("", "wd-vit-tagger-v3", "SmilingWolf/wd-vit-tagger-v3"):
        assert "smile" in captions(workspace, settings_of(tagger=named), host)["face"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"tagger": "/none/such"}, "found no folder '/none/such'"),
        ({"prune": "hair color"}, "did you mean 'hair colour'"),
    ],
)
def test_bad_settings_are_one_line(
    workspace: Workspace, host: Host, values: dict[str, object], words: str
) -> None:
    with pytest.raises((TaggerError, SettingsError), match=words) as caught:
        captions(workspace, settings_of(**values), host)
    assert "\n" not in str(caught.value)


def test_a_tagger_without_its_table_is_one_line(
    workspace: Workspace, host: Host, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(TaggerError, match=r"no selected_tags\.csv"):
        captions(workspace, settings_of(tagger=str(tmp_path / "empty")), host)
