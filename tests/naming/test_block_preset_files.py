"""The user's own presets."""

from pathlib import Path

import pytest

from lib_singlelora.errors import PresetError
from lib_singlelora.naming.block_preset_files import (
    FILE_NAME,
    find_preset_files,
    gather_presets,
    read_preset_file,
)
from lib_singlelora.naming.block_weights import LBW_PRESETS, PRESETS


def ones(count: int, value: str = "1") -> str:
    return ",".join([value] * count)


def saved(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE_NAME).write_text(text, encoding="utf-8")
    return folder / FILE_NAME


def test_a_line_with_a_sign_or_a_wrong_number_of_values_is_a_comment() -> None:
    text = f"MINE:{ones(17)}\n#NOT:{ones(17)}\nSHORT:1,1\nno colon\nLATE:{ones(17)} # not either\n"
    assert read_preset_file(text) == {"MINE": ones(17)}


@pytest.mark.parametrize("count", [12, 17, 20, 26])
def test_every_length_is_read(count: int) -> None:
    assert read_preset_file(f" MINE : {ones(count, 'X')} ") == {"MINE": ones(count, "X")}


def test_a_preset_with_13_values_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    assert read_preset_file(f"MINE:{ones(13)}") == {}
    assert caplog.messages == [
        f"{FILE_NAME}: preset 'MINE': found 13 values, expected 12, 17, 20 or 26; it is left out"
    ]


def test_words_and_presets_for_flux_are_passed_over_in_silence(
    caplog: pytest.LogCaptureFixture,
) -> None:
    read_preset_file(f"Note: these are mine, and hers\nFLUXALL:{ones(61)}\nhttps://example.org")
    assert caplog.messages == []


@pytest.mark.parametrize(
    "place", ["", "scripts", "lora-block-weight/scripts", "extensions/lora-block-weight/scripts"]
)
def test_a_file_is_found_in_the_webuis_and_in_lbws_folder(tmp_path: Path, place: str) -> None:
    path = saved(tmp_path / place, "")
    assert find_preset_files([tmp_path]) == [path]


def test_a_folder_without_one_is_no_mistake(tmp_path: Path) -> None:
    assert gather_presets([tmp_path, tmp_path / "none"]) == dict(PRESETS)


def test_the_users_presets_join_ours_and_the_later_file_goes_first(tmp_path: Path) -> None:
    saved(tmp_path / "one", f"MINE:{ones(17)}\nOUTD:{ones(17, '0.5')}")
    saved(tmp_path / "two", f"MINE:{ones(17, '0.2')}\nHERS:{ones(26)}")
    presets = gather_presets([tmp_path / "one", tmp_path / "two"])
    assert (
        presets["MINE"] == ones(17, "0.2")
        and presets["HERS"] == ones(26)
        and presets["OUTD"] == ones(17, "0.5")
    )
    assert presets["MIDD"] == LBW_PRESETS["MIDD"]


def test_a_file_from_a_windows_editor_is_read(tmp_path: Path) -> None:
    saved(tmp_path, f"\ufeffMINE:{ones(17)}\r\nHERS:{ones(17)}\r\n")
    assert list(gather_presets([tmp_path], {})) == ["MINE", "HERS"]


def test_a_file_that_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path, "")

    def denied(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", denied)
    with pytest.raises(PresetError, match="cannot be read: Permission denied"):
        gather_presets([path.parent])


def test_a_folder_that_was_named_must_hold_one(tmp_path: Path) -> None:
    with pytest.raises(
        PresetError, match=f"{tmp_path.name}: found no {FILE_NAME}, expected one there"
    ):
        gather_presets((), named=[tmp_path])
    saved(tmp_path / "scripts", f"MINE:{ones(17)}")
    assert gather_presets((), {}, [tmp_path]) == {"MINE": ones(17)}
