"""What an epoch shows."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from lib_singlelora.training.epoch_plan import Picture, budget, epoch_batches
from lib_singlelora.training.latents import Versions
from lib_singlelora.training.schedule import learning_rate_factor

OWN = [
    Picture(Path(f"own{i}.png"), "isa", (64, 64) if i % 2 else (64, 128), repeats=5)
    for i in range(8)
]
REG = [Picture(Path(f"reg{i}.png"), "girl", (64, 64), regularization=True) for i in range(60)]


def shown(pictures: list[Picture], epoch: int) -> Counter[str]:
    return Counter(
        s.picture.path.name for batch in epoch_batches(pictures, epoch, 1, 2) for s in batch
    )


def test_every_picture_is_shown_as_often_as_its_repeats() -> None:
    counts = shown(OWN, 0)
    assert set(counts.values()) == {5} and len(counts) == 8


@pytest.mark.parametrize("repeats", [1, 2, 5])
def test_lines_that_take_turns_are_shown_equally_often_over_the_epochs(repeats: int) -> None:
    both = [replace(p, caption="with\nwithout", takes_turns=True, repeats=repeats) for p in OWN]
    shown: Counter[tuple[str, str]] = Counter()
    for epoch in range(4):
        for batch in epoch_batches([*both, *REG], epoch, 1, 2):
            shown.update((s.picture.path.name, s.caption) for s in batch)
    own = {key: count for key, count in shown.items() if key[0].startswith("own")}
    assert len(own) == 16 and set(own.values()) == {2 * repeats}


def test_without_turns_the_caption_is_the_pictures_own() -> None:
    lines = replace(OWN[0], caption="first\nsecond")
    assert {s.caption for batch in epoch_batches([lines], 0, 1, 2) for s in batch} == {
        "first\nsecond"
    }


def test_all_regularization_pictures_are_used_before_any_is_used_again() -> None:
    counts = shown([*OWN, *REG], 0) + shown([*OWN, *REG], 1) + shown([*OWN, *REG], 2)
    reg = {name: count for name, count in counts.items() if name.startswith("reg")}
    assert sum(reg.values()) == 3 * 40 and set(reg.values()) == {2} and len(reg) == 60


def test_fewer_regularization_pictures_than_samples_are_repeated_evenly() -> None:
    counts = shown([*OWN, *REG[:7]], 0)
    assert {counts[f"reg{i}.png"] for i in range(7)} <= {5, 6}


def test_a_batch_shares_a_bucket() -> None:
    for batch in epoch_batches([*OWN, *REG], 0, 1, 4):
        assert len({sample.picture.bucket for sample in batch}) == 1


def test_an_epoch_depends_on_seed_and_number_alone() -> None:
    def order(epoch: int, seed: int) -> list[int]:
        return [
            sample.number
            for batch in epoch_batches([*OWN, *REG], epoch, seed, 1)
            for sample in batch
        ]

    assert order(3, 1) == order(3, 1)
    assert order(3, 1) != order(3, 2)
    assert set(order(0, 1)).isdisjoint(order(1, 1))


def test_the_budget_counts_what_will_be_done() -> None:
    own = budget([*OWN, *REG], epochs=3, batch_size=2, seed=1)
    assert (own.train_samples, own.reg_samples, own.reg_used, own.reg_pictures) == (40, 40, 60, 60)
    assert own.steps == sum(len(epoch_batches([*OWN, *REG], epoch, 1, 2)) for epoch in range(3))


def test_the_rate_rises_over_the_warm_up_and_follows_its_schedule() -> None:
    rates = [learning_rate_factor("linear", step, 100, 0.1) for step in range(100)]
    assert (
        rates[0] == pytest.approx(0.1)
        and rates[9] == rates[10] == 1
        and rates[-1] == pytest.approx(1 / 90)
    )
    assert learning_rate_factor("cosine", 55, 100, 0.1) == pytest.approx(0.5)
    assert {learning_rate_factor("constant", step, 100, 0.0) for step in range(100)} == {1.0}


def test_symmetric_pictures_alone_are_mirrored_unless_all_are() -> None:
    plain = Picture(Path("a.png"), "a", (64, 64))
    both = Picture(Path("b.png"), "b", (64, 64), symmetric=True)
    reg = Picture(Path("r.png"), "r", (64, 64), regularization=True, symmetric=True)
    mirrored = {
        name: [len(list(versions.of(picture).all())) for picture in (plain, both, reg)]
        for name, versions in (
            ("none", Versions()),
            ("symmetric", Versions(symmetric=True)),
            ("all", Versions(flip=True)),
        )
    }
    assert mirrored == {"none": [1, 1, 1], "symmetric": [1, 2, 1], "all": [2, 2, 1]}


def test_a_smaller_share_of_the_class_walks_through_all_of_its_pictures_all_the_same() -> None:
    seen: Counter[str] = Counter()
    for epoch in range(6):
        batch = [
            sample.picture
            for part in epoch_batches([*OWN, *REG], epoch, 1, 4, 0.25)
            for sample in part
        ]
        assert sum(not picture.regularization for picture in batch) == 40
        seen += Counter(picture.path.name for picture in batch if picture.regularization)
    assert len(seen) == 60 and set(seen.values()) == {1}
    own = budget([*OWN, *REG], epochs=3, batch_size=2, seed=1, share=0.25)
    assert (own.train_samples, own.reg_samples, own.reg_used, own.reg_pictures) == (40, 10, 30, 60)
