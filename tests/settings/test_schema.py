"""Settings: declared once, everything else derived."""

import ast
import json
import os
import re
from pathlib import Path

import pytest

from lib_singlelora.errors import SettingsError
from lib_singlelora.settings.declare import join_list, split_list
from lib_singlelora.settings.preset_files import preset_names, preset_of
from lib_singlelora.settings.schema import (
    MIGRATIONS,
    Settings,
    declaration,
    declarations,
    describe,
    parse_assignment,
    preset_values,
)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(
        SettingsError, match=r"unknown setting 'training\.rnak'; did you mean 'training\.rank'\?"
    ):
        Settings.from_dict({"training": {"rnak": 8}})


def test_an_unknown_section_is_answered_with_the_nearest() -> None:
    with pytest.raises(SettingsError, match="trainning"):
        Settings.from_dict({"trainning": {"rank": 8}})


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("training.rank", "eight", "a whole number"),
        ("training.rank", 0, "1 to 320"),
        ("training.rank", 8.5, "whole"),
        ("training.rank", None, "whole"),
        ("training.rank", True, "whole"),
        ("training.unet_lr", "nan", "a number"),
        ("training.flip", "perhaps", "true or false"),
        ("training.scheduler", "konstant", "constant"),
        ("plot.strengths", "0.4,big", "a number"),
        ("prepare.long_side", 10, "64 to 8192 px"),
        ("training.rank", [8], "whole"),
    ],
)
def test_a_bad_value_names_the_setting_and_what_was_expected(
    name: str, value: object, word: str
) -> None:
    with pytest.raises(SettingsError, match=name) as caught:
        Settings.from_dict({name: value})
    assert word in str(caught.value)


def test_text_from_the_command_line_takes_the_declared_type() -> None:
    settings = Settings.from_dict(
        dict(
            map(
                parse_assignment,
                [
                    "training.rank=8",
                    "plot.strengths=0.5, 1",
                    "training.flip=yes",
                    "plot.presets=ALL,OUTD",
                    "plot.epochs=2",
                ],
            )
        )
    )
    assert settings.training.rank == 8
    assert settings.plot.strengths == (0.5, 1.0)
    assert settings.training.flip is True
    assert settings.plot.presets == ("ALL", "OUTD")
    assert settings.plot.epochs == "2"


def test_an_assignment_without_equals_says_how() -> None:
    with pytest.raises(SettingsError, match="NAME=VALUE"):
        parse_assignment("training.rank")


def test_settings_survive_json() -> None:
    settings = Settings.from_dict({"training": {"rank": 4}, "plot": {"seeds": [3, 4]}})
    assert Settings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


def test_a_preset_gives_what_is_not_set_by_hand() -> None:
    settings = Settings.from_dict({"training": {"preset": "article", "rank": 4}})
    assert settings.training.text_encoder_lr == 5e-4
    assert settings.training.block_weights == "article"
    assert settings.training.rank == 4


def test_changing_the_preset_keeps_what_was_set_by_hand_and_nothing_else() -> None:
    first = Settings.from_dict({"training": {"preset": "quick", "rank": 4}})
    second = Settings.from_dict(first.to_dict()).with_values({"training.preset": "article"})
    assert second == Settings.from_dict({"training": {"preset": "article", "rank": 4}})


def test_a_checkpoint_names_its_preset_in_its_metadata() -> None:
    assert preset_of({"singlelora_preset": "embedded"}) == "embedded"
    assert (
        preset_of({"singlelora_preset": "../x"})
        == preset_of(None)
        == preset_of({})
        == "recommended"
    )


def test_a_preset_may_speak_of_other_stages_and_what_is_set_by_hand_stays() -> None:
    settings = Settings.from_dict(
        {"training": {"preset": "embedded"}, "regularization": {"steps": 9}}
    )
    assert (settings.regularization.count, settings.regularization.steps) == (24, 9)


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match="did you mean 'article'"):
        preset_values("artikle")


@pytest.mark.parametrize("preset", preset_names())
def test_every_shipped_preset_is_valid(preset: str) -> None:
    assert Settings.from_dict({"training": {"preset": preset}}).training.preset == preset


def test_settings_from_the_future_are_refused() -> None:
    with pytest.raises(SettingsError, match="version 99"):
        Settings.from_dict({"version": 99})


def test_an_older_version_is_migrated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        MIGRATIONS,
        0,
        lambda old: {"version": 1, "training": {"rank": old["training"]["network_dim"]}},
    )
    assert Settings.from_dict({"version": 0, "training": {"network_dim": 5}}).training.rank == 5


def test_every_setting_has_a_label_and_one_sentence_of_help() -> None:
    for declared in declarations():
        assert declared.label and declared.help.rstrip().endswith("."), declared.name
    assert len(list(describe())) == len(declarations())


def test_metadata_says_none_for_what_is_off() -> None:
    metadata = Settings.from_dict({"training": {"min_snr_gamma": 0, "rank": 8}}).metadata()
    assert metadata["ss_min_snr_gamma"] == "None"
    assert metadata["ss_network_dim"] == "8"


def test_what_holds_commas_stands_in_quotes_in_a_list() -> None:
    values = ",".join(["1"] * 17)
    settings = Settings.from_dict({"plot.presets": f'ALL, "{values}" ,OUTD'})
    assert settings.plot.presets == ("ALL", values, "OUTD")
    assert Settings.from_dict({"plot.presets": join_list(settings.plot.presets)}) == settings
    assert Settings.from_dict({"plot.presets": ["ALL", values]}).plot.presets == ("ALL", values)


@pytest.mark.parametrize("items", [("a",), ("a b", "c"), ('say "x"', "1,2"), ()])
def test_a_list_survives_its_text(items: tuple[str, ...]) -> None:
    assert tuple(split_list(join_list(items))) == items


@pytest.mark.parametrize(
    ("trigger", "class_token"),
    [("girl", "girl"), ("Girl", "girl"), ("cat_girl", "Cat girl"), ("ｇｉｒｌ", "girl")],
)
def test_a_trigger_that_is_the_class_is_refused(trigger: str, class_token: str) -> None:
    with pytest.raises(
        SettingsError, match="which is the class too, expected a word that only the character has"
    ):
        Settings.from_dict({"character.trigger": trigger, "character.class_token": class_token})
    saved = Settings.from_dict({"character.trigger": "isabella"})
    with pytest.raises(SettingsError, match="the class too"):
        saved.with_values({"character.class_token": "ISABELLA"})


@pytest.mark.parametrize(
    ("given", "kept"),
    [(0, 0), (2**32 - 1, 2**32 - 1), (2**32, 0), (2**32 + 5, 5), (-2, 2**32 - 2), ("7", 7)],
)
def test_seeds_go_round_at_two_to_the_thirty_second(given: object, kept: int) -> None:
    assert Settings.from_dict({"inpaint.seed": given}).inpaint.seed == kept
    assert Settings.from_dict({"plot.seeds": [given, 3]}).plot.seeds == (kept, 3)


def test_minus_one_is_a_random_seed_that_stays() -> None:
    names = (
        "inpaint.seed",
        "plot.first_seed",
        "regularization.seed",
        "training.seed",
        "training.sample_seed",
    )
    made = [Settings.from_dict(dict.fromkeys(names, -1)) for _ in range(2)]
    values = {settings.get(name) for settings in made for name in names}
    assert len(values) == 10 and all(0 <= value < 2**32 for value in values)
    assert Settings.from_dict(made[0].to_dict()) == made[0]


def test_counted_seeds_go_round_too() -> None:
    from lib_singlelora.stages.plot_plan import seeds_of

    assert seeds_of(Settings.from_dict({"plot.seeds": 3, "plot.first_seed": 2**32 - 1}).plot) == (
        2**32 - 1,
        0,
        1,
    )
    assert seeds_of(Settings.from_dict({"plot.seeds": 2**32 - 7}).plot) == (2**32 - 7,)


def test_settings_say_themselves_whether_they_name_files() -> None:
    assert {d.name: d.path for d in declarations() if d.path} == {
        "prepare.upscaler": "program",
        "prepare.matting_model": "program",
        "crop.detector": "program",
        "caption.tagger": "program",
        "regularization.wildcards": "program",
        "plot.preset_folders": "program",
        "plot.checkpoints": "program",
        "plot.compare": "workspace",
        "training.start_from": "workspace",
        "inpaint.lora": "program",
        "loopback.lora": "program",
    }


def test_none_whose_text_speaks_of_files_is_forgotten() -> None:
    speaking = {
        d.name
        for d in declarations()
        if re.search(r"\b(file|files|folder|folders)\b", d.label + d.help, re.I)
    }
    texts = {d.name for d in declarations() if d.kind in (str, tuple[str, ...])}
    listed = {"training.preset", "training.save_precision"}  # names of a list
    assert (speaking & texts) - listed <= {d.name for d in declarations() if d.path}


def test_none_whose_value_becomes_a_path_is_forgotten() -> None:
    """Read off the code: `Path(settings.section.key)`, or with the section in a variable called
    options.
    """
    package = Path(__file__).parents[2] / "lib_singlelora"
    named = {d.key for d in declarations() if d.path}
    opened = set()
    for file in package.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ("Path", "open")
            ):
                for value in node.args:
                    if isinstance(value, ast.Attribute) and ast.unparse(value.value).startswith(
                        ("settings.", "options")
                    ):
                        opened.add(value.attr)
    keys = {d.key for d in declarations()}
    assert opened & keys and opened & keys <= named


SHARES = [
    r"\\host\share",
    "//host/share",
    r"/\host\share",
    r"\/host/share",
    r"\\?\UNC\host\share",
    "//?/UNC/host/share",
    r"\\.\UNC\host\share",
    r"\??\UNC\host\share",
    r" \\host\share",
    "\t//host/share",
    r"\\host",
    "//",
    r"\\\host\share",
]


@pytest.mark.parametrize("text", SHARES)
@pytest.mark.parametrize("name", [d.name for d in declarations() if d.path])
def test_a_place_on_another_machine_is_refused_unseen(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    def look(*given: object, **more: object) -> None:
        raise AssertionError("it was looked at")

    for word in ("stat", "lstat", "readlink", "scandir"):
        monkeypatch.setattr(os, word, look)
    with pytest.raises(SettingsError, match=rf"{name}: .* another machine"):
        declaration(name).check([text] if declaration(name).kind is not str else text)


def test_a_home_on_another_machine_is_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, "//host/people/me" if os.name != "nt" else r"\\host\people\me")
    with pytest.raises(SettingsError, match="another machine"):
        declaration("inpaint.lora").check("~/lora.safetensors")


def test_a_text_is_one_path_whatever_commas_are_in_it(tmp_path: Path) -> None:
    assert declaration("inpaint.lora").check("a, b.safetensors") == "a, b.safetensors"
    assert declaration("plot.compare").check("a, b") == ("a", "b")


@pytest.mark.parametrize(
    "value", ["a,b", "a/b", "..", "CON", "a\nb", " girl", "x" * 65, "", "\ud800", "a\0"]
)
def test_a_class_is_checked_wherever_it_is_set(value: str) -> None:
    with pytest.raises(SettingsError, match=r"character\.class_token"):
        Settings.from_dict({"character": {"class_token": value}})
    with pytest.raises(SettingsError, match=r"character\.class_token"):
        Settings().with_values({"character.class_token": value})


@pytest.mark.parametrize("value", ["~nobody-of-this-name/x", "a\0b", "\udcff"])
def test_a_path_that_cannot_be_is_told(value: str) -> None:
    with pytest.raises(SettingsError, match=r"crop\.detector"):
        Settings.from_dict({"crop.detector": value})


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("plot.prompts", "a" * 30_000, "found 30000 letters"),
        ("plot.presets", ["ALL", "a" * 30_000], "found 30000 letters"),
        ("plot.strengths", [1.0] * 20_000, "found 20000 items"),
        ("plot.seeds", ",".join(map(str, range(20_000))), "found 20000 items"),
    ],
)
def test_more_text_or_items_than_anything_works_on_is_refused(
    name: str, value: object, words: str
) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        Settings.from_dict({name: value})
    assert len(str(caught.value)) < 300
