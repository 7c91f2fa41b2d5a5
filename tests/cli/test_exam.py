"""The word exam: its options, and its result for people."""

import argparse

import pytest

from lib_singlelora.cli.exam import _exam_options, add_parsers, render_exam
from lib_singlelora.errors import SettingsError
from lib_singlelora.stages.exam import ExamOptions


def options_of(*words: str) -> ExamOptions:
    parser = argparse.ArgumentParser()
    add_parsers(parser.add_subparsers(dest="word", required=True))
    return _exam_options(parser.parse_args(["exam", "--workspace", "w", *words]))


def test_without_options_all_parts_and_the_recommended_file_are_examined() -> None:
    assert options_of() == ExamOptions()


def test_lists_are_read_between_commas() -> None:
    options = options_of(
        "--parts", "head, left sleeve", "--poses", "", "--denoises", "0.4,0.9", "--strength", "0.7"
    )
    assert options.parts == ("head", "left sleeve") and options.poses == ()
    assert options.denoises == (0.4, 0.9) and options.strength == 0.7


@pytest.mark.parametrize("text", ["much", "0.5,x"])
def test_a_denoising_strength_that_is_no_number_is_told(text: str) -> None:
    with pytest.raises(SettingsError, match="--denoises"):
        options_of("--denoises", text)


@pytest.mark.parametrize("words", [("--denoises", "0"), ("--denoises", "1.5"), ("--seeds", "17")])
def test_numbers_out_of_range_are_told(words: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match=words[0]):
        options_of(*words).check()


def test_the_result_names_each_part_and_how_many_are_nearer() -> None:
    mean = {"mean": 0.5, "margin": 0.1}
    parts = [
        {"part": name, "lora_mean": mean, "alone_mean": {**mean, "margin": None}, "nearer": nearer}
        for name, nearer in (("head", True), ("feet", False))
    ]
    exam = {"sheet": "exam.png", "scores": "exam.json", "parts": parts, "poses": []}
    text = render_exam({"exam": exam, "seconds": {"exam": 3.0}})
    assert "head            0.50 ± 0.10 with the LoRA, 0.50 without" in text
    assert "1 of 2 parts" in text
