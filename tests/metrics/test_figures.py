"""The judge's figures: copies, damage, leak, obedience, and the order that they give."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from lib_singlelora.metrics.copying import (
    Copies,
    copying_score,
    crop_part,
    hash_similarity,
    perceptual_hash,
)
from lib_singlelora.metrics.damage import (
    CloserLook,
    measure_surface,
    subject_missing,
    surface_damage,
)
from lib_singlelora.metrics.leak import leaked_traits, relative_change
from lib_singlelora.metrics.probe_prompts import character_probes, count_obeyed, other_probes
from lib_singlelora.metrics.ranking import expected_gain, next_to_probe, pareto_front, price, worth

WEIGHTS = {"retention": 1.0, "flexibility": 0.6, "copying": 0.3, "leak": 0.2, "damage": 0.5}


def drawing(seed: int, size: tuple[int, int] = (96, 144)) -> Image.Image:
    """Coloured shapes on white, others for each seed."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(image)
    for _ in range(8):
        x, y = (int(rng.integers(0, side - 30)) for side in size)
        pen.ellipse(
            (x, y, x + int(rng.integers(15, 50)), y + int(rng.integers(15, 50))),
            tuple(rng.integers(0, 230, 3).tolist()),
        )
    return image


def noisy(image: Image.Image, amount: float) -> Image.Image:
    values = np.asarray(image, np.float32) + np.random.default_rng(1).normal(
        0, amount, (image.height, image.width, 1)
    )
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def test_a_part_of_a_crop_is_found_where_it_was_cut() -> None:
    crops = {"one": drawing(1), "two": drawing(2)}
    (match,) = Copies(crops).find(
        [crop_part(crops["two"], (0.0, 0.3, 1.0, 0.95)).resize((128, 128))]
    )
    assert match.crop == "two" and match.similarity > 0.6
    assert match.box[1] == pytest.approx(0.3, abs=0.1)


def test_another_drawing_is_no_copy() -> None:
    crops = {"one": drawing(1)}
    copies = Copies(crops)
    same, other = copies.find([crops["one"].resize((128, 192)), drawing(3).resize((128, 128))])
    assert same.similarity > 0.95 and other.similarity < 0.5


def test_without_crops_nothing_is_copied() -> None:
    (match,) = Copies({}).find([drawing(1)])
    assert match.crop == "" and match.similarity == 0


def test_copying_counts_from_what_the_checkpoint_does_itself() -> None:
    assert (
        copying_score([0.3, 0.3], 0.3) == 0
        and copying_score([1.0], 0.3) == 1
        and copying_score([0.1], 0.3) == 0
    )
    assert copying_score([0.65], 0.3) == pytest.approx(0.5)


def test_the_hash_outlives_size_and_noise() -> None:
    bits = perceptual_hash(drawing(1))
    assert hash_similarity(bits, perceptual_hash(noisy(drawing(1).resize((200, 300)), 8))) > 0.85
    assert hash_similarity(bits, perceptual_hash(drawing(5))) < 0.5


@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        (lambda image: noisy(image, 25), "noise"),
        (lambda image: Image.new("RGB", image.size, "grey"), "blank"),
        (lambda image: Image.blend(image, Image.new("RGB", image.size, "white"), 0.75), "flat"),
        (
            lambda image: Image.merge(
                "RGB", [band.point(lambda v: 255 if v > 110 else 0) for band in image.split()]
            ),
            "burnt",
        ),
    ],
)
def test_damage_is_named(spoil, name) -> None:
    valid = [measure_surface(drawing(seed)) for seed in range(4)]
    muted = Image.blend(
        drawing(1), drawing(1).convert("L").convert("RGB"), 0.6 if name == "burnt" else 0
    )
    value, what = surface_damage(
        measure_surface(spoil(muted if name != "burnt" else drawing(1))),
        [measure_surface(muted)] if name == "burnt" else valid,
    )
    assert value > 0 and name in what


def test_a_valid_picture_is_not_damaged() -> None:
    assert surface_damage(
        measure_surface(drawing(9)), [measure_surface(drawing(seed)) for seed in range(4)]
    ) == (0.0, "")


@pytest.mark.parametrize(
    ("whole", "head", "value"),
    [
        (0.2, 1.0, 0.0),  # seen from near alone
        (0.7, 0.1, 0.2),  # what looked like eyes from afar
        (0.1, 0.1, 0.8),
        (0.9, 0.2, 0.0),  # a head that lies elsewhere
    ],
)
def test_eyes_are_looked_for_from_near_too(whole: float, head: float, value: float) -> None:
    base = [{"1girl": 1.0, "blue eyes": 0.9}]
    seen = {"1girl": 0.9, "blue eyes": whole}
    closer = CloserLook({"blue eyes": head}, base)
    assert subject_missing(seen, base, closer)[0] == pytest.approx(value)
    # Where the checkpoint draws no head there, the whole picture tells
    nothing = CloserLook({"blue eyes": head}, [{"skirt": 1.0}])
    assert subject_missing(seen, base, nothing) == subject_missing(seen, base)
    # Where its eyes are too small for the whole picture, the head tells
    small = [{"1girl": 1.0, "blue eyes": 0.3}]
    assert subject_missing(seen, small, closer)[0] == pytest.approx(max(0.0, (0.5 - head) / 0.5))


@pytest.mark.parametrize(
    ("seen", "value", "name"),
    [
        # A doubtful colour
        ({"1girl": 0.9, "solo": 0.9, "blue eyes": 0.4, "purple eyes": 0.4}, 0.0, ""),
        ({"1girl": 0.9, "closed eyes": 0.9}, 0.0, ""),
        ({"1girl": 0.9, "looking at viewer": 0.8}, 0.0, ""),
        ({"1girl": 0.9, "green hair": 0.9, "from behind": 0.9}, 1.0, "no eyes"),
        (
            {"1girl": 0.1, "solo": 0.2, "blue eyes": 0.4, "no humans": 0.9},
            0.6,
            "nobody recognizable",
        ),
    ],
)
def test_a_picture_without_its_subject_is_damaged(
    seen: dict[str, float], value: float, name: str
) -> None:
    base = [
        {"1girl": 1.0, "blue eyes": 0.9},
        {"1girl": 0.9, "brown eyes": 0.8, "looking at viewer": 1.0},
    ]
    assert subject_missing(seen, base) == (pytest.approx(value), name)
    # The checkpoint draws no eyes here either
    turned = [{"1girl": 1.0, "from behind": 1.0}, {"1girl": 1.0, "blue eyes": 0.9}]
    assert (
        subject_missing({"1girl": 0.9, "from behind": 0.9}, turned)
        == (0.0, "")
        == subject_missing({}, [])
    )


def test_leak_is_change_beside_that_of_another_seed() -> None:
    base = drawing(1)
    other = drawing(2)
    assert relative_change([base], [base], [other]) == 0
    assert relative_change([other], [base], [other]) == pytest.approx(0.5)
    assert 0 < relative_change([Image.blend(base, other, 0.2)], [base], [other]) < 0.25


def test_traits_where_the_character_is_not_called_are_named() -> None:
    share, names = leaked_traits(
        ("hat", "red hair"), [{"hat": 0.9, "red hair": 0.9}], [{"hat": 0.1, "red hair": 0.8}]
    )
    assert names == ("hat",) and share == pytest.approx(0.8)


def test_only_what_the_checkpoint_obeys_is_asked_of_the_lora() -> None:
    base = [{"sitting": 0.9, "frown": 0.1}, {"sitting": 0.8, "frown": 0.9}]
    assert count_obeyed(("sitting", "frown"), [{"sitting": 0.9}, {"frown": 0.6}], base) == (
        2.0,
        3.0,
    )


def test_probes_ask_for_what_no_crop_shows() -> None:
    captions = [
        ["isa", "girl", "1girl", "solo", "standing", "from side", "white hat", "blue dress"],
        ["isa", "girl", "1girl", "solo", "white hat", "blue dress"],
    ]
    probes = character_probes("isa", "girl", captions, clothes=("white hat", "blue dress"))
    asked = [tag for probe in probes for tag in probe.asks]
    assert (
        "from side" not in asked
        and "blue dress" not in asked
        and {"from behind", "sitting", "red dress"} <= set(asked)
    )
    assert all(probe.prompt.startswith("isa, girl, 1girl, solo") for probe in probes)
    # Other clothes are asked for there
    assert "white hat" in probes[0].prompt and "white hat" not in probes[-1].prompt
    assert not any("isa" in probe.prompt for probe in other_probes("girl"))


def test_the_tagger_is_asked_only_for_tags_that_it_knows() -> None:
    assert [probe.asks for probe in character_probes("isa", "girl", [], {"sitting"})] == [
        ("sitting",)
    ]


def test_the_front_holds_what_nothing_beats() -> None:
    cells = {
        "good": {"retention": 0.9, "copying": 0.2},
        "worse": {"retention": 0.8, "copying": 0.3},
        "original": {"retention": 0.5, "copying": 0.0},
        "damaged": {"retention": 0.9, "copying": 0.2, "damage": 1.0},
    }
    # Of the other's damage nothing is known
    assert pareto_front(cells, WEIGHTS) == ["good", "original", "damaged"]
    assert pareto_front(cells, {**WEIGHTS, "copying": 0.0}) == ["good", "damaged"]


def test_doing_nothing_is_worth_nothing_and_harm_within_the_tolerated_costs_nothing() -> None:
    nothing = {"retention": 0.1, "flexibility": 1.0, "copying": 0.0, "leak": 0.0, "damage": 0.0}
    whole = {"retention": 0.55, "flexibility": 0.9, "copying": 0.6, "leak": 0.5, "damage": 0.0}
    assert worth(nothing, WEIGHTS, 0.1) == 0 and price(whole, WEIGHTS) == 0
    assert worth(whole, WEIGHTS, 0.1) == pytest.approx(0.5)
    assert worth({}, WEIGHTS, 0.1) == 0 and worth({"retention": 1.0}, WEIGHTS, 1.0) == 0


@pytest.mark.parametrize(
    ("name", "worst"), [("flexibility", 0.0), ("copying", 1.0), ("leak", 1.0), ("damage", 1.0)]
)
def test_harm_costs_its_weight_at_most(name: str, worst: float) -> None:
    kept = {"retention": 0.8}
    assert price({name: worst}, WEIGHTS) == pytest.approx(WEIGHTS[name])
    assert worth({**kept, name: worst}, {**WEIGHTS, name: 0.0}) == worth(kept, WEIGHTS)


def test_weights_decide() -> None:
    strict = {"retention": 0.9, "flexibility": 0.3}
    free = {"retention": 0.7, "flexibility": 0.9}
    assert worth(free, WEIGHTS) > worth(strict, WEIGHTS)
    weights = {**WEIGHTS, "flexibility": 0.1}
    assert worth(free, weights) < worth(strict, weights)


def test_the_next_cell_to_probe_is_no_neighbour_of_a_probed_one() -> None:
    places = (("a", 3, 3), ("b", 3, 2), ("c", 1, 3), ("d", 2, 3))
    near = {name: ("ALL", row, column) for name, row, column in places}
    values = {"a": 0.9, "b": 0.8, "c": 0.6, "d": 0.7}
    assert next_to_probe(values, {}, near) == "a"
    assert next_to_probe(values, {"a": 0.0}, near) == "c"
    assert next_to_probe(values, {"a": 0.0, "c": 0.0}, near) == "b"  # there are no others
    assert next_to_probe(values, dict.fromkeys("abcd", 0.0), near) is None


def test_what_a_cell_keeps_elsewhere_is_expected_as_its_nearest_one_does_by_strength() -> None:
    known = {("ALL", 0, 0): (0.6, 0.3), ("ALL", 4, 2): (1.0, 0.8), ("OUTD", 0, 0): (0.6, 0.1)}
    assert expected_gain(("ALL", 0, 1), 0.8, known) == pytest.approx(0.4)
    assert expected_gain(("ALL", 4, 1), 0.8, known) == pytest.approx(0.64)
    assert expected_gain(("ALL", 4, 3), 1.5, known) == 1
    assert expected_gain(("ALL", 0, 0), 0.0, known) == 0
    assert expected_gain(("ALL", 0, 0), -0.6, known) == 0
    assert expected_gain(("ALL", 0, 0), -0.3, {("ALL", 0, 1): (-0.6, 0.4)}) == pytest.approx(0.2)
    alone = {("ALL", 0, 0): (0.0, 0.0)}  # says nothing of others
    assert expected_gain(("ALL", 0, 1), 0.8, alone) is None
    assert expected_gain(("ALL", 0, 1), 0.8, alone | known) == pytest.approx(0.4)
    assert expected_gain(("other", 4, 1), 0.5, known) == pytest.approx(0.4)
    assert expected_gain(("ALL", 0, 0), 0.6, {}) is None


def test_where_a_strong_cell_costs_much_a_gentler_one_is_probed_next() -> None:
    line = {strength: ("ALL", 0, column) for column, strength in enumerate((0.2, 0.4, 0.6, 0.8, 1))}
    values = {0.2: 0.3, 0.4: 0.5, 0.6: 0.6, 0.8: 0.65, 1: 0.7}
    assert next_to_probe(values, {1: 0.0}, line) == 0.6
    assert next_to_probe(values, {0.8: 0.8}, line) == 0.4
