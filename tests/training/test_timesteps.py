"""Which timesteps are trained, of all pictures and of one view, and what each weighs; what cannot
be is refused where settings are read, thus in every entrance.
"""

from pathlib import Path

import pytest
import torch

from lib_singlelora.errors import SettingsError
from lib_singlelora.settings.schema import Settings
from lib_singlelora.settings.timesteps import view_ranges
from lib_singlelora.training.batch import make_batch, seeded
from lib_singlelora.training.epoch_plan import Picture, Sample
from lib_singlelora.training.latents import LatentCache
from lib_singlelora.training.noise import band_weights


@pytest.mark.parametrize(("first", "last"), [(800, 500), (500, 500), (1, 1)])
def test_timesteps_between_which_nothing_lies_are_refused(first: int, last: int) -> None:
    with pytest.raises(
        SettingsError, match=rf"min_timestep: found {first}, expected less than .* \({last}\)"
    ):
        Settings.from_dict({"training.min_timestep": first, "training.max_timestep": last})
    with pytest.raises(SettingsError, match="min_timestep"):
        Settings().with_values(
            {"training.min_timestep": str(first), "training.max_timestep": str(last)}
        )


@pytest.mark.parametrize(
    "text", ["off", "by view", "close-up:0-500", " Close-up : 10 - 500 ,a b:0-1"]
)
def test_a_list_of_ranges_is_read(text: str) -> None:
    ranges = view_ranges(
        Settings.from_dict({"training.view_timesteps": text}).training.view_timesteps
    )
    found = [(entry.tag, entry.first, entry.end) for entry in ranges]
    if text == "off":
        assert not found
    elif text == "by view":
        assert found[0] == ("full body", 0, 1000) and found[-1] == ("close-up", 0, 500)
    elif text.startswith(" "):
        assert found == [("close-up", 10, 500), ("a b", 0, 1)]
    else:
        assert found == [("close-up", 0, 500)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "close-up",
        "close-up: 500",
        "close-up: 500-500",
        "close-up: 600-500",
        "close-up: 0-1001",
        "close-up: 0-500, close up, portrait: 0-1",
        "close-up: 0-500, Close-up: 0-600",
        "close-up: 0-99999",
        "close-up: -5-500",
    ],
)
def test_a_list_that_says_no_range_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"view_timesteps: found"):
        Settings.from_dict({"training.view_timesteps": text})


def test_a_view_of_which_no_timestep_is_trained_is_refused() -> None:
    values = {"training.view_timesteps": "by view", "training.min_timestep": 500}
    with pytest.raises(SettingsError, match="close-up: 0-500"):
        Settings.from_dict(values)
    Settings.from_dict({**values, "training.min_timestep": 499})


@pytest.mark.parametrize("values", [(1.0,), (0.0, 0.0), (-1.0, 2.0)])
def test_weights_that_weight_nothing_are_refused(values: tuple[float, ...]) -> None:
    with pytest.raises(SettingsError, match="band_weights"):
        Settings.from_dict({"training.band_weights": values})


@pytest.mark.parametrize("bands", [(1.0, 2.0, 0.0, 5.0), (3.0, 1.0, 1.0), (0.0,) * 6 + (2.0,)])
def test_a_band_s_weight_is_its_share_and_the_mean_is_1(bands: tuple[float, ...]) -> None:
    got = band_weights(bands, 1000)
    plain = [bands[min(int(t / 1000 * len(bands) + 1e-9), len(bands) - 1)] for t in range(1000)]
    expected = torch.tensor(plain) / (sum(plain) / 1000)
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=0)


def picture(name: str, timesteps: tuple[int, int] | None = None) -> Picture:
    return Picture(Path(name), "isa, girl", (16, 16), 1, False, "isa", timesteps=timesteps)


def timesteps(shown: Picture, samples: int = 300, **values: object) -> list[int]:
    own = {f"training.{key}": value for key, value in values.items()}
    cache = LatentCache()
    cache.get = lambda *_: torch.zeros(1, 4, 2, 2)
    batch = [Sample(shown, number) for number in range(samples)]
    return make_batch(Settings.from_dict(own).training, cache, batch, 1000).timesteps.tolist()


def test_a_picture_is_shown_at_its_own_timesteps_within_those_of_the_training() -> None:
    low = timesteps(picture("a", (0, 500)))
    assert 0 <= min(low) < 20 and 480 < max(low) < 500
    within = timesteps(picture("a", (0, 500)), min_timestep=100, max_timestep=300)
    assert set(within) <= set(range(100, 300)) and min(within) < 110 and max(within) > 290


def test_timesteps_without_a_range_are_what_they_were() -> None:
    """The draws of the generator that a sample's number seeds, in their old order."""
    drawn = []
    for number in range(20):
        generator = seeded(1, "sample", number)
        torch.randn(1, 4, 2, 2, generator=generator)
        drawn.append(int(torch.randint(0, 1000, (1,), generator=generator)))
    assert timesteps(picture("a"), 20) == drawn
    assert timesteps(picture("a", (0, 1000)), 20) == drawn


def test_a_sample_s_timestep_depends_on_its_number_alone() -> None:
    shown = picture("a", (0, 700))
    assert timesteps(shown, 7) == timesteps(shown, 40)[:7]
