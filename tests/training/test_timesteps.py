"""Which timesteps may be trained: refused where settings are read, thus in every entrance."""

import pytest

from lib_singlelora.errors import SettingsError
from lib_singlelora.settings.schema import Settings


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
