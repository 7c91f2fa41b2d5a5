"""What the tests share: the small checkpoint and a host that has it loaded."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MKL_CBWR", "AUTO")  # as the command line does: without it no training is exact


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of SD1's layout with random weights, built once a session."""
    from tests.small_checkpoint import build_small_checkpoint

    return build_small_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="session")
def standalone_host(small_checkpoint: Path):  # type: ignore[no-untyped-def]
    """The standalone host with the small checkpoint."""
    from lib_singlelora.hosts.standalone.host import StandaloneHost

    return StandaloneHost(small_checkpoint, "cpu")
