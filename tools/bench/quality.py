"""How long until the embedded checkpoint has learned as much of Isabella as the `article` preset teaches it in all."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch

from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.jobs import Job, Progress
from lib_singlelora.lora.branches import shape_of
from lib_singlelora.lora.network import LoraNetwork, attached
from lib_singlelora.naming.presets import parse_block_weights
from lib_singlelora.pipeline import run_stage
from lib_singlelora.settings import Settings
from lib_singlelora.stages.crop import training_buckets
from lib_singlelora.stages.training_set import collect_pictures
from lib_singlelora.training.drawing import draw
from lib_singlelora.training.latents import LatentCache, Versions
from lib_singlelora.training.loop import Progressed, Trainer
from lib_singlelora.training.objective import Objective
from lib_singlelora.training.samples import Picture, Sample
from lib_singlelora.workspace import Workspace

from .measurement import Measurement, against

ROOT = Path(__file__).parents[2]
HELD_OUT = ("upper_body", "portrait", "face")  # seen from other crops too, so that what is learned of her shows in them
DRAWS = 48  # noise and timesteps at which the held-out crops are judged, the same for all
EVERY = 5  # steps between two looks
END = 5  # looks that tell what a training ends with


def _settings(preset: str) -> Settings:
    return Settings.from_dict({"character": {"trigger": "isabella", "class_token": "girl"}, "regularization": {"count": 0},
                               "training": {"preset": preset}})


class _Watch:
    """Held-out loss and training seconds after every few steps."""

    def __init__(self, objective: Objective, held: list[Picture], cache: LatentCache) -> None:
        plain = replace(objective.settings, min_snr_gamma=0.0, noise_offset=0.0, loss="l2", caption_dropout=0.0)
        self.objective, self.cache, self.plain = objective, cache, plain
        self.samples = [Sample(held[n % len(held)], 10_000 + n) for n in range(DRAWS)]
        self.curve: list[tuple[float, float]] = []

    def look(self, trainer: Trainer) -> None:
        judge = Objective(self.objective.model, self.objective.network, self.plain)
        self.objective.network.eval()
        with torch.no_grad():
            parts = [float(judge.loss(draw(self.plain, self.cache, [sample], 1000))) for sample in self.samples]
        self.objective.network.train()
        self.curve.append((trainer.state.seconds, sum(parts) / len(parts)))


def _train(host: StandaloneHost, preset: str, folder: Path) -> tuple[list[tuple[float, float]], float, float]:
    """(curve of (seconds of training, held-out loss), seconds from the call to the first step, steps a second)."""
    settings, workspace = _settings(preset), Workspace(folder)
    called = time.perf_counter()
    first: list[float] = []
    pictures = collect_pictures(settings, workspace, training_buckets(settings, host))
    held = [p for p in pictures if p.path.stem in HELD_OUT]
    shown = [p for p in pictures if p.path.stem not in HELD_OUT]
    if not held:
        raise SystemExit(f"found crops {', '.join(p.path.stem for p in pictures)}, expected some of {', '.join(HELD_OUT)}")
    options = settings.training
    with host.open_for_training() as model, ExitStack() as stack:
        weights = parse_block_weights(options.block_weights, model.layout).as_dict()
        text = options.text_encoder_lr > 0
        network = LoraNetwork(model.targets(), model.layout, shape_of(options), weights, text, options.seed)

        def save(epoch: int, trained: LoraNetwork, state: Progressed) -> Path:
            return folder / f"{epoch}.safetensors"

        trainer = Trainer(model, network, shown, options, folder / f"{preset}.pt", preset, save)
        cache = LatentCache()
        cache.fill(model, held, Versions(), lambda done, total: None)
        watch = _Watch(trainer.objective, held, cache)
        stack.enter_context(attached(network, model.targets()))
        watch.look(trainer)
        stack.pop_all().close()

        def each(progress: Progress) -> None:
            if progress.values.get("loss") is None:
                return
            if not first:
                first.append(time.perf_counter() - called)
            if trainer.state.step % EVERY == 0:
                watch.look(trainer)

        trainer.run(Job(preset, each))
    return watch.curve, first[0], trainer.state.step / trainer.state.seconds


def time_to_quality(preset: str = "recommended") -> list[Measurement]:
    """Seconds of training until a preset's held-out loss is what `article` ends with, both in one run."""
    host = StandaloneHost(ROOT / "lib_singlelora" / "embedded" / "singlelora.safetensors")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings, workspace, job = _settings(preset), Workspace(folder), Job("quality")
        for stage in ("prepare", "crop", "caption"):
            run_stage(stage, settings, workspace, host, job, False,
                      ROOT / "examples" / "isabella.png" if stage == "prepare" else None)
        article, _, _ = _train(host, "article", folder)
        own, first, rate = _train(host, preset, folder)
    seconds = article[-1][0]
    wanted = sum(loss for _, loss in article[-END:]) / len(article[-END:])  # one look swings with what was just shown
    reached = next((when for when, loss in own if loss <= wanted), float("inf"))
    return [
        Measurement("heldout.untrained", round(own[0][1], 5), "loss"), Measurement("heldout.article", round(wanted, 5), "loss"),
        Measurement(f"heldout.{preset}", round(own[-1][1], 5), "loss"),
        Measurement("first_step_seconds", round(first, 3), "s"), Measurement("embedded.steps", round(rate, 3), "steps/s"),
        Measurement("time_to_quality.article", round(seconds, 2), "s"),
        against("time_to_quality", reached, "s", "time_to_quality.article", seconds),
    ]
