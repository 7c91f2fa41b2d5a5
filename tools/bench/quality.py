"""How long until the embedded checkpoint has learned as much of Isabella as the `article` preset
teaches it in all.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from lib_singlelora.crops.buckets import training_buckets
from lib_singlelora.host import TrainingModel
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.jobs import Job, Progress
from lib_singlelora.lora.branches import shape_of
from lib_singlelora.lora.network import LoraNetwork, attached
from lib_singlelora.naming.block_weights import parse_block_weights
from lib_singlelora.settings.schema import Settings
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.pipeline import run_stage
from lib_singlelora.stages.train_pictures import collect_pictures
from lib_singlelora.training.batch import make_batch, versions_of
from lib_singlelora.training.epoch_plan import Picture, Sample, epoch_steps
from lib_singlelora.training.latents import LatentCache, Versions
from lib_singlelora.training.objective import Objective
from lib_singlelora.training.trainer import Trainer, TrainerState
from lib_singlelora.workspace.workspace import Workspace

from .measurement import Measurement, against

ROOT = Path(__file__).parents[2]
# Seen from other crops too, so that what is learned of the character shows
HELD_OUT = ("upper_body", "portrait", "face")
DRAWS = 48  # noise and timesteps at which the held-out crops are judged, the same for all
EVERY = 5  # steps between two looks
END = 5  # looks that tell what a training ends with


def _settings(preset: str) -> Settings:
    return Settings.from_dict(
        {
            "character": {"trigger": "isabella", "class_token": "girl"},
            "regularization": {"count": 0},
            "training": {"preset": preset},
        }
    )


class _Watch:
    """Held-out loss after every few steps."""

    def __init__(self, objective: Objective, held: list[Picture], cache: LatentCache) -> None:
        plain = replace(
            objective.settings, min_snr_gamma=0.0, noise_offset=0.0, loss="l2", caption_dropout=0.0
        )
        self.objective = objective
        self.cache = cache
        self.plain = plain
        self.samples = [Sample(held[n % len(held)], 10_000 + n) for n in range(DRAWS)]
        self.curve: list[float] = []

    def look(self) -> None:
        judge = Objective(self.objective.model, self.objective.network, self.plain)
        self.objective.network.eval()
        with torch.no_grad():
            parts = [
                float(judge.loss(make_batch(self.plain, self.cache, [sample], 1000)))
                for sample in self.samples
            ]
        self.objective.network.train()
        self.curve.append(sum(parts) / len(parts))


def _pictures(
    host: StandaloneHost, preset: str, folder: Path
) -> tuple[list[Picture], list[Picture]]:
    """(those that are shown, those that are held out)."""
    settings = _settings(preset)
    pictures = collect_pictures(settings, Workspace(folder), training_buckets(settings, host))
    held = [p for p in pictures if p.path.stem in HELD_OUT]
    if not held:
        raise SystemExit(
            f"found crops {', '.join(p.path.stem for p in pictures)}, expected some of"
            f" {', '.join(HELD_OUT)}"
        )
    return [p for p in pictures if p.path.stem not in HELD_OUT], held


def _trainer(model: TrainingModel, preset: str, shown: list[Picture], folder: Path) -> Trainer:
    options = _settings(preset).training
    weights = parse_block_weights(options.block_weights, model.layout).as_dict()
    text = options.text_encoder_lr > 0
    network = LoraNetwork(
        model.targets(), model.layout, shape_of(options), weights, text, options.seed
    )

    def save(epoch: int, trained: LoraNetwork, state: TrainerState) -> Path:
        return folder / f"{epoch}.safetensors"

    return Trainer(model, network, shown, options, folder / f"{preset}.pt", preset, save)


def _train(host: StandaloneHost, preset: str, folder: Path) -> tuple[list[float], float, int]:
    """(held-out loss after every EVERY steps, seconds from the call to the first step, steps in
    all).
    """
    called = time.perf_counter()
    first: list[float] = []
    shown, held = _pictures(host, preset, folder)
    with host.open_for_training() as model, ExitStack() as stack:
        trainer = _trainer(model, preset, shown, folder)
        beside = time.perf_counter()  # what only the benchmark does
        cache = LatentCache()
        cache.fill(model, held, Versions(), lambda done, total: None)
        watch = _Watch(trainer.objective, held, cache)
        stack.enter_context(attached(trainer.network, model.targets()))
        watch.look()
        stack.pop_all().close()
        called += time.perf_counter() - beside

        def each(progress: Progress) -> None:
            if progress.values.get("loss") is None:
                return
            if not first:
                first.append(time.perf_counter() - called)
            if trainer.state.step % EVERY == 0:
                watch.look()

        trainer.run(Job(preset, each))
    return watch.curve, first[0], trainer.state.step


def _paces(presets: tuple[str, str], folder: Path) -> list[float]:
    """Seconds of a step of each preset, the median of an epoch's; in turn, each on a checkpoint of
    its own.
    """
    with ExitStack() as stack:
        steps: list[list[Callable[[], object]]] = []
        for preset in presets:
            host = _host()
            shown, _ = _pictures(host, preset, folder)
            model = stack.enter_context(host.open_for_training())
            trainer = _trainer(model, preset, shown, folder)
            trainer.latents.fill(
                model, shown, versions_of(trainer.settings), lambda done, total: None
            )
            stack.enter_context(trainer.prepared())
            trainer.network.train()
            samples = epoch_steps(shown, 0, trainer.settings.seed, trainer.settings.batch_size)
            steps.append([partial(trainer.step, batches) for batches in samples])
        taken: list[list[float]] = [[] for _ in presets]
        for turn in zip(*steps, strict=False):
            for own, step in zip(taken, turn, strict=True):
                started = time.perf_counter()
                step()
                own.append(time.perf_counter() - started)
    return [statistics.median(own) for own in taken]


def _host() -> StandaloneHost:
    return StandaloneHost(ROOT / "lib_singlelora" / "embedded" / "singlelora.safetensors")


def time_to_quality(preset: str = "recommended") -> list[Measurement]:
    """Seconds of training until a preset's held-out loss is what `article` ends with, both in one
    run.

    Steps are counted in the trainings; what a step of each takes is measured with both in turn.
    """
    host = _host()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = _settings(preset)
        workspace = Workspace(folder)
        job = Job("quality")
        for stage in ("prepare", "crop", "caption"):
            run_stage(
                stage,
                StageContext(settings, workspace, host, job),
                ROOT / "examples" / "isabella.png" if stage == "prepare" else None,
            )
        article, _, steps = _train(host, "article", folder)
        own, first, _ = _train(host, preset, folder)
        of_article, of_own = _paces(("article", preset), folder)
    seconds = steps * of_article
    wanted = sum(article[-END:]) / END  # one look swings with what was just shown
    reached = next(
        (count * EVERY * of_own for count, loss in enumerate(own) if loss <= wanted), float("inf")
    )
    return [
        Measurement("heldout.untrained", round(own[0], 5), "loss"),
        Measurement("heldout.article", round(wanted, 5), "loss"),
        Measurement(f"heldout.{preset}", round(sum(own[-END:]) / END, 5), "loss"),
        Measurement("first_step_seconds", round(first, 3), "s"),
        Measurement("embedded.steps", round(1 / of_own, 3), "steps/s"),
        Measurement("time_to_quality.article", round(seconds, 2), "s"),
        against("time_to_quality", reached, "s", "time_to_quality.article", seconds),
    ]
