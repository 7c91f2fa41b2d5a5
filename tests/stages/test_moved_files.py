"""LoRA files that were moved away after the training are reported by every stage."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_singlelora.errors import LoraFileError
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.library.choose import choose_lora
from lib_singlelora.library.epochs import missing_epoch_files
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.pipeline import run_stage
from lib_singlelora.workspace.workspace import Workspace
from tests.stages.conftest import small

SETTINGS = small(training__epochs=2, training__repeats=1, training__masked_loss=False)


@pytest.fixture
def trained(eileen: Workspace, standalone_host: StandaloneHost) -> Workspace:
    """Two epochs, trained; the files that the fixture brought are replaced."""
    run_stage("train", StageContext(SETTINGS, eileen, standalone_host))
    return eileen


def test_moved_files_are_told_by_every_word(
    trained: Workspace, standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    files = sorted(trained.models.glob("*.safetensors"))
    assert len(files) == 2 and missing_epoch_files(trained) == []
    (tmp_path / "elsewhere").mkdir()
    files[0].rename(tmp_path / "elsewhere" / files[0].name)
    part = run_stage("train", StageContext(SETTINGS, trained, standalone_host))
    assert len(part["loras"]) == 1 and files[0].name in part["warnings"][0]
    files[1].rename(tmp_path / "elsewhere" / files[1].name)
    for word in ("train", "plot"):
        with pytest.raises(
            LoraFileError,
            match=r"found none of the 2 files that were trained.*put them back.*'train --force'",
        ):
            run_stage(word, StageContext(SETTINGS, trained, standalone_host))
    with pytest.raises(LoraFileError, match="put them back"):
        choose_lora(SETTINGS, trained)
    for file in files:
        (tmp_path / "elsewhere" / file.name).rename(file)
    assert len(run_stage("train", StageContext(SETTINGS, trained, standalone_host))["loras"]) == 2


def test_where_nothing_was_trained_training_is_what_to_do(
    eileen: Workspace, standalone_host: StandaloneHost
) -> None:
    for file in eileen.models.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(LoraFileError, match="call 'train' first"):
        run_stage("plot", StageContext(SETTINGS, eileen, standalone_host))
