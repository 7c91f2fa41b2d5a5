"""The tagger: a small CNN under the contract of SmilingWolf's WD taggers."""

from __future__ import annotations

import csv
import random
from collections import Counter
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..scenes.look import PLAIN, sample_look
from ..scenes.sample import sample_scene
from ..scenes.scene import render
from ..scenes.spec import CLOTH_COLOURS, HAIR_COLOURS, HELD_OUT_EXTRAS, Scene
from ..scenes.tags import tags
from .base import check_same_base, fingerprint
from .ema import Ema
from .models import Autoencoder
from .store import Store
from .tagger import RATINGS, Tagger, find_norms, read_tagger

SIZE = 128
PLAN = 28_000
BATCH = 32
SEED = 50_000_000
# Every other drawing is, of this many, the one with the rarest tag: some tags are on 1 of 1000
# drawings
CANDIDATES = 6
# New drawings a step; how many the batch is drawn from: each is seen about three times
FRESH = 10
WINDOW = 2000
GONE_ON = 14_000  # steps of a training that goes on from a tagger that is there
RATE = 2e-3
RATE_GONE_ON = 5e-4
CALIBRATION = 8  # batches by which the norms of a tagger that is there are found
RECONSTRUCTED_FROM = 1500  # from this step on a quarter of the pictures have been through the VAE


def scene_of(seed: int) -> Scene:
    """Like the checkpoint's scenes, but one in four wears what the checkpoint never saw: the judge
    must know it.
    """
    rng = random.Random(seed)
    scene = sample_scene(seed, world=rng.random() < 0.75)
    if len(scene.characters) != 1 or rng.random() < 0.7:
        return scene
    who = scene.characters[0]
    kind = rng.choice(("capelet", "cuffs", "both", "split", *HELD_OUT_EXTRAS[:3], "cat ears"))
    colour, stripe = rng.sample(CLOTH_COLOURS, 2)
    if kind in ("capelet", "both"):
        who = replace(who, outfit=replace(who.outfit, capelet=colour, capelet_stripes=stripe))
    if kind in ("cuffs", "both"):
        who = replace(
            who, outfit=replace(who.outfit, cuffs=stripe, cuff_stripes=colour, gloves=None)
        )
    if kind == "split":
        who = replace(
            who,
            hair=replace(
                who.hair, second=rng.choice([c for c in HAIR_COLOURS if c != who.hair.colour])
            ),
        )
    if kind in HELD_OUT_EXTRAS:
        who = replace(who, extras=((kind, colour),))
    return replace(scene, characters=(who,))


@cache
def vocabulary() -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The tags in use, commonest first, and how many of 20,000 drawings have each."""
    seen = Counter(tag for seed in range(20_000) for tag in tags(scene_of(seed)))
    kept = sorted((t for t in seen if seen[t] >= 15), key=lambda t: (-seen[t], t))
    return tuple(kept), tuple(seen[t] for t in kept)


def known_names() -> tuple[str, ...]:
    """The vocabulary as the shipped tagger lists it, which takes no counting."""
    from lib_singlelora.embedded.paths import TAGGER

    with (TAGGER / "selected_tags.csv").open(newline="", encoding="utf-8") as file:
        return tuple(row["name"].replace("_", " ") for row in csv.DictReader(file))[len(RATINGS) :]


def to_square(pixels: NDArray[np.uint8], size: int = SIZE) -> NDArray[np.uint8]:
    """Padded with white to a square, as WD taggers are fed."""
    h, w, _ = pixels.shape
    side = max(h, w)
    square = np.full((side, side, 3), 255, np.uint8)
    top = (side - h) // 2
    left = (side - w) // 2
    square[top : top + h, left : left + w] = pixels
    if side == size:
        return square
    import cv2  # here, because a machine that only draws squares may lack it

    return cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA)


def spoiled(pixels: NDArray[np.uint8], rng: random.Random) -> NDArray[np.uint8]:
    """JPEG, blur, noise, brightness and a small shift, each now and then."""
    import cv2

    if rng.random() < 0.3:
        _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, rng.randint(35, 95)])
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if rng.random() < 0.4:
        pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.4, 1.5))
    if rng.random() < 0.5:
        shift = np.float32([[1, 0, rng.uniform(-4, 4)], [0, 1, rng.uniform(-4, 4)]])
        pixels = cv2.warpAffine(pixels, shift, pixels.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    values = pixels.astype(np.float32)
    if rng.random() < 0.4:
        values = values * rng.uniform(0.94, 1.05) + rng.uniform(-8, 8)
    if rng.random() < 0.4:
        noise = np.random.default_rng(rng.randrange(1 << 30)).standard_normal(
            values.shape, np.float32
        )
        values = values + noise * rng.uniform(2, 14)
    return np.clip(values, 0, 255).astype(np.uint8)


class TaggerTraining:
    """vae: the frozen VAE, wanted from step RECONSTRUCTED_FROM on.

    base: an exported tagger to go on from; its pictures are then drawn by many hands.
    half: passes in bfloat16.
    """

    def __init__(
        self,
        vae: dict[str, Tensor] | None = None,
        device: str = "cpu",
        base: Path | None = None,
        half: bool = False,
    ) -> None:
        torch.manual_seed(4)
        self.name = "tagger"
        self.step = 0
        self.device = device
        self.half = half
        self.names = vocabulary()[0]
        self.index = {t: i for i, t in enumerate(self.names)}
        own = read_tagger(base, len(self.names)) if base else Tagger(len(self.names))
        self.model = own.to(device, memory_format=torch.channels_last)
        self.many_hands = base is not None
        self.base = fingerprint(own.state_dict()) if base else ""
        self.plan, self.rate = (GONE_ON, RATE_GONE_ON) if base else (PLAN, RATE)
        self.ema = Ema(self.model, 0.995)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=self.rate, weight_decay=1e-2)
        self.vae = None
        if vae is not None:
            self.vae = (
                Autoencoder().to(device, memory_format=torch.channels_last).requires_grad_(False)
            )
            self.vae.load_state_dict(vae)
        self.pool: list[tuple[NDArray[np.uint8], list[str]]] = []
        self.drawn = lru_cache(maxsize=2 * WINDOW)(self.example)
        if base:
            shown = [self.batch(-1 - number)[0].to(device) for number in range(CALIBRATION)]
            find_norms(self.model, shown)

    def example(self, seed: int) -> tuple[NDArray[np.uint8], list[str]]:
        """A drawing in a square and its tags; one in four is higher than wide."""
        scene = scene_of(seed) if seed % 2 else self.rare(seed)
        width = (128, 128, 128, 80, 128, 128, 128, 96, 128, 128, 128, 112)[seed % 12]
        look = sample_look(seed) if self.many_hands else PLAIN
        return to_square(render(scene, width, 128, look).pixels), tags(scene)

    def rare(self, seed: int) -> Scene:
        """Of CANDIDATES drawings the one whose rarest tag is the rarest."""
        scenes = [scene_of(SEED + CANDIDATES * seed + k) for k in range(CANDIDATES)]
        return max(scenes, key=lambda scene: max(self.index.get(tag, -1) for tag in tags(scene)))

    @torch.no_grad()
    def _reconstruct(self) -> None:
        """A pool of 512 pictures that went through the VAE, some with a little noise on their
        latents.
        """
        assert self.vae is not None
        for start in range(0, 512, 16):
            rows = [self.example(SEED - 1 - start - k) for k in range(16)]
            x = (
                torch.from_numpy(np.stack([r[0] for r in rows])).permute(0, 3, 1, 2).float() / 127.5
                - 1
            )
            z = self.vae.encode(x.to(self.device, memory_format=torch.channels_last))[0]
            generator = torch.Generator().manual_seed(start)
            amount = 0.15 * z.std() * torch.rand(16, 1, 1, 1, generator=generator).to(z)
            z = z + amount * torch.randn(z.shape, generator=generator).to(z)
            y = (
                ((self.vae.decode(z).clamp(-1, 1) + 1) * 127.5)
                .byte()
                .permute(0, 2, 3, 1)
                .cpu()
                .numpy()
            )
            self.pool += [(y[k], rows[k][1]) for k in range(16)]

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Pictures (B, S, S, 3), BGR, and their tags (B, names), of a step."""
        rng = random.Random(SEED + step)
        if (self.step >= RECONSTRUCTED_FROM or self.many_hands) and not self.pool:
            if self.vae is None:
                raise SystemExit(
                    f"the tagger is at step {self.step}; from {RECONSTRUCTED_FROM} on it wants the"
                    " frozen VAE: train that first"
                )
            self._reconstruct()
        pixels = []
        target = torch.zeros(BATCH, len(self.names))
        for k in range(BATCH):
            if self.pool and rng.random() < 0.3:
                own, names = rng.choice(self.pool)
            else:
                own, names = self.drawn(SEED + step * FRESH + rng.randrange(WINDOW))
            pixels.append(spoiled(own, rng))
            target[k, [self.index[t] for t in names if t in self.index]] = 1
        return torch.from_numpy(np.stack(pixels)[..., ::-1].copy()).float(), target

    def advance(self) -> dict[str, float]:
        x, target = (v.to(self.device) for v in self.batch(self.step))
        for group in self.optimizer.param_groups:
            falling = max(0.02, 1 - self.step / self.plan)
            group["lr"] = self.rate * min(1.0, (self.step + 1) / 100) * falling
        self.model.train()
        with torch.autocast(self.device, torch.bfloat16, enabled=self.half):
            found = self.model.logits(x)
        loss = F.binary_cross_entropy_with_logits(found.float(), target)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.step += 1
        self.ema.update(self.model, self.step)
        return {"loss": loss.item()}

    def state_dict(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "base": self.base,
            "model": self.model.state_dict(),
            "ema": self.ema.weights,
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        check_same_base(state, self.base)
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.ema.weights = {k: v.to(self.device) for k, v in state["ema"].items()}
        self.optimizer.load_state_dict(state["optimizer"])


def export_tagger(store: Store, folder: Path) -> None:
    """model.onnx (input NHWC, the batch free) and selected_tags.csv.

    Raises: SystemExit, when the tagger has not been trained.
    """
    state = store.load("tagger")
    if state is None:
        raise SystemExit(f"{store.folder}: no trained tagger here; run --stage tagger first")
    names, counts = vocabulary()
    model = Tagger(len(names) + len(RATINGS))
    weights = dict(state["ema"])
    wide = torch.zeros(len(RATINGS), weights["head.weight"].shape[1])  # every drawing is general
    weights["head.weight"] = torch.cat([wide, weights["head.weight"]])
    weights["head.bias"] = torch.cat([torch.tensor([7.0, -7.0, -7.0, -7.0]), weights["head.bias"]])
    model.load_state_dict(weights)
    model.eval()
    folder.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        model,
        (torch.zeros(2, SIZE, SIZE, 3),),
        str(folder / "model.onnx"),
        input_names=["input"],
        output_names=["output"],
        dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )
    with (folder / "selected_tags.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("tag_id", "name", "category", "count"))
        for i, name in enumerate(RATINGS):
            writer.writerow((9_000_000 + i, name, 9, 20_000 if i == 0 else 0))
        for i, (name, count) in enumerate(zip(names, counts, strict=True)):
            writer.writerow((i, name.replace(" ", "_"), 0, count))
