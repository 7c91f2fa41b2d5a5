"""kill -9 at ten random moments: every resume goes on, and what comes out is bit for bit the
uninterrupted run's.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

ROOT = Path(__file__).parents[2]
KILLS = 10
# Twelve processes in turn, each with a few hundred weights: more threads would only wait for each
# other.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_CBWR": "AUTO"}


def run(folder: Path, seconds: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.training.dying_run", str(folder), str(seconds)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **ONE_THREAD},
    )


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.timeout(300)
def test_a_run_killed_ten_times_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    for name in ("pictures", "whole", "killed"):
        (tmp_path / name).mkdir()
    for index in range(4):
        values = np.random.default_rng(index).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(values).save(tmp_path / "pictures" / f"{index}.png")
    assert run(tmp_path / "whole", 0).returncode == 0
    starts = []
    killed = 0
    for attempt in range(40):
        ended = run(tmp_path / "killed", 0.6 + attempt / 100 if killed < KILLS else 0)
        assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
        starts += [int(line) for line in ended.stdout.split()]
        killed += ended.returncode != 0
        if ended.returncode == 0:
            break
    assert ended.returncode == 0 and starts == sorted(starts) and starts[-1] > 0
    assert killed >= min(KILLS, 3), (
        "the machine is so fast that hardly any run was killed: train longer in dying_run.py"
    )
    files = sorted(path.name for path in (tmp_path / "whole").glob("*.safetensors"))
    assert len(files) == 60 and files == sorted(
        path.name for path in (tmp_path / "killed").glob("*.safetensors")
    )
    for name in files:
        whole, resumed = (load_file(tmp_path / kind / name) for kind in ("whole", "killed"))
        assert all(torch.equal(whole[key], resumed[key]) for key in whole), name
