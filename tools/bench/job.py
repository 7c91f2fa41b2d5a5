"""Where the whole job's seconds go, from the picture to inpainting: python -m tools.bench.job FILE.

The command line's own `demo` runs in this process, its parts timed; FILE gets the account as JSON.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .measurement import Measurement, against

ROOT = Path(__file__).parents[2]
START = "start"  # Python, imports, settings, the checkpoint's hash
# Units whose number the settings fix; what they take at least is their number times their median
STEP = "training step"
FIRST_STEP = "first-step:"  # before the time of the call, of a process that ends behind it
PICTURE = "picture"


class Ledger:
    """Seconds by account; an account that opens inside another one stops that one's clock.

    seconds: by account.
    units: seconds of each unit of work by its kind, such as a training step.
    """

    def __init__(self, begun: float) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.units: dict[str, list[float]] = defaultdict(list)
        self._open = [START]
        self._since = begun

    def _turn(self) -> None:
        now = time.time()
        self.seconds[self._open[-1]] += now - self._since
        self._since = now

    @contextmanager
    def account(self, name: str, kind: str = "") -> Iterator[None]:
        """Time what is inside.  kind: of the unit of work that it is, '' for none."""
        self._turn()
        self._open.append(name)
        started = self._since
        try:
            yield
        finally:
            self._turn()
            self._open.pop()
            if kind:
                self.units[kind].append(self._since - started)

    def close(self) -> None:
        """Count what passed since the last account was opened or closed."""
        self._turn()

    @property
    def total(self) -> float:
        """Seconds of all accounts."""
        return sum(self.seconds.values())

    def least(self) -> float:
        """Seconds if every unit took its kind's median and nothing else took any."""
        return sum(len(each) * statistics.median(each) for each in self.units.values())

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "units": {
                kind: {"count": len(each), "median": round(statistics.median(each), 4)}
                for kind, each in self.units.items()
            },
            "first_step": round(next(iter(self.units.get(STEP, ())), 0.0), 3),
            "total": round(self.total, 3),
            "least": round(self.least(), 3),
        }


def main(begun: float, out: Path, words: Sequence[str]) -> int:
    """Run the command line's words and write the account.

    begun: when the process was asked for, seconds since the epoch.
    """
    from lib_singlelora.cli.main import main as command_line

    ledger = Ledger(begun)
    with _timed(ledger):
        status = command_line(words)
        ledger.close()
    out.write_text(json.dumps(ledger.as_dict(), indent=1) + "\n", encoding="utf-8")
    return status


@contextmanager
def _timed(ledger: Ledger) -> Iterator[None]:
    """While inside, the parts of a job are timed."""
    from lib_singlelora.hosts.standalone.light_import import import_diffusers_lightly

    import_diffusers_lightly()  # as the command line does
    from lib_singlelora.hosts.standalone.host import StandaloneHost
    from lib_singlelora.hosts.standalone.training_model import StandaloneTrainingModel
    from lib_singlelora.stages import pipeline, train_run
    from lib_singlelora.tagging.wd import WdTagger
    from lib_singlelora.training import trainer

    stage = [START]

    def named(name: str) -> Callable[..., tuple[str, str]]:
        return lambda *args: (f"{stage[-1]}: {name}", "")

    def pictures(
        host: StandaloneHost, texts: Any, predicted: Any, report: Any, requests: Any, before: int
    ) -> Any:
        first = requests[0]
        start = "" if first.image is None else ", from a picture"
        at_once = f"{len(requests)} at once, " if len(requests) > 1 else ""
        kind = f"{PICTURE} {at_once}{first.width}×{first.height}, {first.steps} steps{start}"
        return f"{stage[-1]}: pictures", kind

    def whole_stage(name: str, *args: Any) -> tuple[str, str]:
        stage[0] = name
        return f"{name}: the rest", ""

    patches: list[tuple[Any, str, Callable[..., tuple[str, str]]]] = [
        (pipeline, "_run", whole_stage),
        (StandaloneHost, "_load", named("loading networks")),
        (StandaloneHost, "generate_batch", named("prompts and LoRAs of pictures")),
        (StandaloneHost, "_draw", pictures),
        (StandaloneTrainingModel, "encode_images", named("encoding pictures")),
        (WdTagger, "tag", named("tagging")),
        (trainer.Trainer, "_run_step", lambda *args: ("train: steps", STEP)),
        (trainer.Trainer, "peak_memory", named("calculating memory")),
        (trainer, "save_snapshot", named("saving")),
        (train_run, "write_lora", named("saving")),
    ]
    originals = [(owner, name, getattr(owner, name)) for owner, name, _ in patches]
    for (owner, name, label), (_, _, original) in zip(patches, originals, strict=True):
        setattr(owner, name, _wrapped(ledger, original, label))
    try:
        yield
    finally:
        for owner, name, original in originals:
            setattr(owner, name, original)


def _wrapped(
    ledger: Ledger, original: Callable[..., Any], label: Callable[..., tuple[str, str]]
) -> Callable[..., Any]:
    def timed(*args: Any, **kwargs: Any) -> Any:
        with ledger.account(*label(*args)):
            return original(*args, **kwargs)

    return timed


class _FirstStepDone(BaseException):
    """Ends a training behind its first step; no handler of errors takes it for one."""


def first_step(begun: float, out: Path, words: Sequence[str]) -> int:
    """Run the command line's words until a training's first step is done, and write the seconds.

    begun: as of `main`.
    """
    from lib_singlelora.cli.main import main as command_line
    from lib_singlelora.training import trainer

    original = trainer.Trainer._run_step

    def one_step(*args: Any) -> None:
        original(*args)
        raise _FirstStepDone

    trainer.Trainer._run_step = one_step  # type: ignore[method-assign]
    try:
        return command_line(words) or 1
    except _FirstStepDone:
        seconds = {"wall": time.time() - begun, "processor": time.process_time()}
        out.write_text(json.dumps(seconds), encoding="utf-8")
        return 0
    finally:
        trainer.Trainer._run_step = original  # type: ignore[method-assign]


def measure_job(words: Sequence[str] = ()) -> list[Measurement]:
    """The demo in a process of its own, with further words of the command line; then twice from the
    call to a training's first step, in the workspace that it made, and the second of these.

    Raises: RuntimeError, when it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        workspace = ["--workspace", str(Path(folder) / "workspace")]
        account = _run(Path(folder), "", ["demo", *workspace, *words])
        train = ["train", *workspace, "--force"]
        start = [_run(Path(folder), FIRST_STEP, train) for _ in range(2)][-1]
        return [
            *measurements(account),
            Measurement("job.from_the_call_to_a_first_step", round(start["wall"], 3), "s"),
            Measurement("job.its_processor_time", round(start["processor"], 3), "s"),
        ]


def _run(folder: Path, until: str, words: Sequence[str]) -> dict[str, Any]:
    """What a process of its own writes.  until: FIRST_STEP, or '' for all of it."""
    out = folder / "account.json"
    command = [sys.executable, "-m", "tools.bench.job", f"{until}{time.time()}", str(out), *words]
    status = subprocess.call(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    if status:
        raise RuntimeError(f"{words[0]} ended with {status}, expected 0; see its messages above")
    account: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return account


def measurements(account: dict[str, Any]) -> list[Measurement]:
    """An account as measurements; every part is against the whole."""
    total = account["total"]
    least = account["least"]
    parts = sorted(account["seconds"].items(), key=lambda part: -part[1])
    return [
        Measurement("job", total, "s"),
        against("job.least", least, "s", "job", total),
        against("job.beside_the_least", total - least, "s", "job", total),
        Measurement("job.first_step", account["first_step"], "s"),
        *(
            Measurement(f"job.one {kind} (of {unit['count']})", unit["median"], "s")
            for kind, unit in account["units"].items()
        ),
        *(
            against(f"job.{name}", seconds, "s", "job", total)
            for name, seconds in parts
            if seconds >= 0.05
        ),
    ]


if __name__ == "__main__":
    task = first_step if sys.argv[1].startswith(FIRST_STEP) else main
    begun = float(sys.argv[1].removeprefix(FIRST_STEP))
    raise SystemExit(task(begun, Path(sys.argv[2]), sys.argv[3:]))
