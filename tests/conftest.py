"""What the tests share: the small checkpoint and a host that has it loaded."""

import os
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Small tensors: more threads wait for each other, and on a busy machine for long
os.environ.setdefault("OMP_NUM_THREADS", "1")
# As the command line does: without it no training is exact
os.environ.setdefault("MKL_CBWR", "AUTO")


class WithoutDiffusers(MetaPathFinder):
    """Skips the test, or the file of tests, that imports diffusers where it is not installed, as
    beside the WebUI.

    Asked last, thus only there; so no test of the standalone host needs to say that it wants it.
    """

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "diffusers":
            pytest.skip("needs diffusers", allow_module_level=True)


sys.meta_path.append(WithoutDiffusers())


# Minutes each: started first, no worker is left alone with one of them at the end.
LONG_FILES = ("tests/test_embedded.py", "tests/cli/test_main.py", "tests/training/test_dying.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; the command line is skipped where the standalone host cannot be.

    It picks that host in processes of its own, where nothing is skipped.
    """
    missing = PathFinder.find_spec("diffusers") is None
    for item in items:
        if missing and item.path.parts[-2:] == ("cli", "test_main.py"):
            item.add_marker(pytest.mark.skip(reason="needs diffusers"))
    items.sort(key=lambda item: not item.path.as_posix().endswith(LONG_FILES))


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of SD1's layout with random weights, built once a session."""
    from tests.small_checkpoint import build_small_checkpoint

    return build_small_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="session")
def standalone_host(small_checkpoint: Path):
    """The standalone host with the small checkpoint."""
    from lib_singlelora.hosts.standalone.host import StandaloneHost

    return StandaloneHost(small_checkpoint, "cpu")
