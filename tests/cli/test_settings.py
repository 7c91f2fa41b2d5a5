"""The word `settings`: imports lie in the workspace, exports can be read back."""

import json
from pathlib import Path

import pytest

from lib_singlelora.cli.main import main
from lib_singlelora.host import AskedPreset
from lib_singlelora.kohya.convert import read_foreign
from lib_singlelora.settings.schema import Settings
from lib_singlelora.workspace.training_preset import current
from lib_singlelora.workspace.workspace import Workspace


def call(*words: object, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    status = main([str(word) for word in words])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_an_imported_value_that_is_the_presets_own_stays_with_another_checkpoints(
    tmp_path: Path,
) -> None:
    given = tmp_path / "their.toml"
    given.write_text("network_dim = 16\nnetwork_alpha = 8\n", encoding="utf-8")
    assert main(["settings", "--workspace", str(tmp_path / "w"), "--import", str(given)]) == 0
    settings, _ = current(Workspace(tmp_path / "w"), AskedPreset("embedded", "singlelora"))
    assert (settings.training.rank, settings.training.alpha) == (16, 8)
    assert settings.training.preset == "embedded"


def test_whose_the_preset_is_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = tmp_path / "their.toml"
    given.write_text("network_dim = 16\n", encoding="utf-8")
    words = ["settings", "--workspace", str(tmp_path / "w")]
    assert main([*words, "--import", str(given), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["training_preset"]
    assert (told["name"], told["whose"]) == ("recommended", "nobody")
    assert main(words) == 0
    assert "preset: recommended, because no checkpoint was loaded" in capsys.readouterr().out


def test_an_imported_file_changes_the_workspace_and_says_what_it_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.json"
    file.write_text(
        json.dumps({"LoRA_type": "Standard", "network_dim": 24, "xformers": True}), encoding="utf-8"
    )
    status, out, _ = call(
        "settings", "--workspace", tmp_path / "w", "--import", file, "--json", capsys=capsys
    )
    assert status == 0 and list(json.loads(out)["left"]) == ["xformers"]
    assert Workspace(tmp_path / "w").load_settings().training.rank == 24


@pytest.mark.parametrize("ending", ["json", "toml"])
def test_an_exported_file_can_be_read_back(
    ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / f"made.{ending}"
    Workspace(tmp_path / "w").save_settings(Settings())
    status, out, _ = call(
        "settings", "--workspace", tmp_path / "w", "--export", file, capsys=capsys
    )
    assert status == 0 and str(file) in out
    assert read_foreign(file.read_text(encoding="utf-8"), file.name).values["training.rank"] == 16


def test_another_ending_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Workspace(tmp_path / "w").save_settings(Settings())
    status, _, err = call(
        "settings", "--workspace", tmp_path / "w", "--export", tmp_path / "a.ini", capsys=capsys
    )
    assert status == 1 and ".toml" in err


@pytest.mark.parametrize(
    "words",
    [
        ["settings"],
        ["settings", "--export", "made.json"],
        ["tags"],
        ["train"],
        ["plot", "--dry-run"],
        ["regularize", "--list"],
    ],
)
def test_a_mistyped_workspace_makes_nothing(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    status, _, err = call(*words, "--workspace", tmp_path / "TYPO" / "w", capsys=capsys)
    assert status == 1 and "found no workspace" in err
    assert list(tmp_path.iterdir()) == []


def test_a_trigger_that_is_the_class_starts_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = Path(__file__).parents[1] / "data" / "astronaut.png"
    words = [
        "run",
        picture,
        "--workspace",
        tmp_path / "w",
        "--trigger",
        "Woman",
        "--class-token",
        "woman",
    ]
    status, _, err = call(*words, capsys=capsys)
    assert status == 1 and "which is the class too" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_file_with_a_byte_order_mark_is_read(
    encoding: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"network_dim": 24, "output_name": "Ísabella"}), encoding=encoding)
    assert call("settings", "--workspace", tmp_path / "w", "--import", file, capsys=capsys)[0] == 0
    assert Workspace(tmp_path / "w").load_settings().training.rank == 24


def test_an_import_says_what_came_from_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("network_dim = 24\nxformers = true\n", encoding="utf-8")
    status, out, _ = call(
        "settings", "--workspace", tmp_path / "w", "--import", file, capsys=capsys
    )
    given, assumed, left = (
        out.index(title)
        for title in ("from the file:", "not in the file", "not imported or exported:")
    )
    assert status == 0 and given < out.index("training.rank: network_dim = 24") < assumed
    assert (
        assumed
        < out.index("training.alpha: 1.0, as sd-scripts does without network_alpha")
        < left
        < out.index("xformers")
    )


@pytest.mark.parametrize("there", [True, False])
def test_the_dataset_config_that_a_file_names_is_read_beside_it(
    there: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('network_dim = 24\ndataset_config = "/elsewhere/set.toml"\n', encoding="utf-8")
    if there:
        (tmp_path / "set.toml").write_text("[[datasets]]\nbatch_size = 3\n", encoding="utf-8")
    status, out, _ = call(
        "settings", "--workspace", tmp_path / "w", "--import", file, "--json", capsys=capsys
    )
    assert status == 0 and ("dataset_config" in json.loads(out)["left"]) != there
    assert Workspace(tmp_path / "w").load_settings().training.batch_size == (3 if there else 1)


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"\xe9", None])
def test_a_file_that_is_no_text_is_one_line(
    data: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.toml"
    if data is not None:
        file.write_bytes(data)
    status, _, err = call(
        "settings", "--workspace", tmp_path / "w", "--import", file, capsys=capsys
    )
    assert status == 1 and err.count("\n") == 1 and "mine.toml" in err


def test_arguments_with_brackets_survive_the_settings_file(tmp_path: Path) -> None:
    text = "betas=(0.9, 0.99); schedule=[(0, 'a; b'), (1, \"c=d\")]"
    workspace = Workspace(tmp_path / "w")
    workspace.save_settings(
        workspace.load_settings().with_values({"training.optimizer_args": text})
    )
    assert workspace.load_settings().training.optimizer_args == text


def test_an_export_is_for_the_family_that_was_trained_on_or_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace.begun(tmp_path / "w")
    workspace.save_settings(Settings.from_dict({"training.rank": 8}))
    record = workspace.record("train")
    record.data["family"] = "sdxl"
    workspace.save_record(record)
    words = ("settings", "--workspace", tmp_path / "w", "--export", tmp_path / "a.json")
    assert call(*words, capsys=capsys)[0] == 0
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["sdxl"] is True
    assert call(*words, "--family", "sd1", capsys=capsys)[0] == 0
    assert "sdxl" not in json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
