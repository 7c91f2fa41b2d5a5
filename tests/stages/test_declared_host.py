"""What the settings say a checkpoint predicts holds for training and for every picture."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lib_singlelora.errors import SettingsError
from lib_singlelora.host import ImageRequest
from lib_singlelora.hosts.request import require_own_prediction
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.jobs import Job
from lib_singlelora.settings.schema import Settings
from lib_singlelora.stages.declared_host import with_declared_prediction
from tests.small_checkpoint import build_small_checkpoint, yaml_text

REQUEST = ImageRequest("a girl", (1,), 64, 64, sampler="Euler", steps=3)
V = {"training.prediction": "v_prediction"}


def declared(host: Any, **settings: object) -> Any:
    values = {f"training.{name}": value for name, value in settings.items()}
    return with_declared_prediction(host, Settings.from_dict(values).training)


def pixels(host: Any, request: ImageRequest = REQUEST) -> np.ndarray[Any, Any]:
    return np.asarray(host.generate(request, Job())[0].image, np.int16)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, StandaloneHost]:
    """One checkpoint twice: its `.yaml` says epsilon, and v."""
    folder = tmp_path_factory.mktemp("declared")
    path = build_small_checkpoint(folder)
    config = yaml_text(folder / "clip").replace(
        "timesteps: 1000", 'timesteps: 1000\n    parameterization: "v"'
    )
    shutil.copy(path, folder / "v.safetensors")
    (folder / "v.yaml").write_text(config)
    return {
        "epsilon": StandaloneHost(path, "cpu"),
        "v": StandaloneHost(folder / "v.safetensors", "cpu"),
    }


def test_nothing_said_changes_nothing(hosts: dict[str, StandaloneHost]) -> None:
    assert declared(hosts["epsilon"]) is hosts["epsilon"]


def test_a_declared_checkpoint_is_as_one_that_says_it_of_itself(
    hosts: dict[str, StandaloneHost],
) -> None:
    host = declared(hosts["epsilon"], prediction="v_prediction")
    own = pixels(hosts["v"])
    assert np.array_equal(pixels(host), own)
    assert not np.array_equal(pixels(hosts["epsilon"]), own)
    assert host.checkpoint.prediction == "v_prediction"
    assert "training.prediction=v_prediction" in host.checkpoint.description
    assert host.checkpoint.drawing_mark != hosts["epsilon"].checkpoint.drawing_mark
    with host.open_for_training() as model:
        assert model.prediction == "v_prediction"
    with hosts["epsilon"].open_for_training() as model:
        assert model.prediction == "epsilon"


def test_zero_terminal_snr_reaches_pictures_and_training(hosts: dict[str, StandaloneHost]) -> None:
    host = declared(hosts["v"], zero_terminal_snr=True)
    assert not np.array_equal(pixels(host), pixels(hosts["v"]))
    with host.open_for_training() as model:
        assert float(model.alphas_cumprod[-1]) == 0


def test_what_the_file_says_too_is_no_change(hosts: dict[str, StandaloneHost]) -> None:
    host = declared(hosts["v"], prediction="v_prediction")
    assert host.checkpoint.drawing_mark == hosts["v"].checkpoint.drawing_mark
    assert np.array_equal(pixels(host), pixels(hosts["v"]))


def test_another_checkpoint_is_what_its_own_file_says(hosts: dict[str, StandaloneHost]) -> None:
    host = declared(hosts["v"], prediction="epsilon")
    with host.drawing_with("small"):
        own = pixels(host)
        with host.drawing_with("small"):
            assert np.array_equal(pixels(host), own)
        with host.drawing_with(str(hosts["v"].checkpoint.path)):  # back to what is declared
            assert np.array_equal(pixels(host), own)
        assert np.array_equal(pixels(host), own)
    assert np.array_equal(own, pixels(hosts["epsilon"]))
    assert np.array_equal(pixels(host), own)


def test_zero_terminal_snr_of_epsilon_is_refused(hosts: dict[str, StandaloneHost]) -> None:
    with pytest.raises(SettingsError, match="zero_terminal_snr"):
        declared(hosts["epsilon"], zero_terminal_snr=True).generate(REQUEST, Job())


def test_a_program_that_draws_by_its_own_reading_says_so() -> None:
    require_own_prediction(REQUEST)
    with pytest.raises(SettingsError, match="vconfig"):
        require_own_prediction(replace(REQUEST, prediction="v_prediction"))
