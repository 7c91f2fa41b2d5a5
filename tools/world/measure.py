"""What the checkpoint obeys: python -m tools.world.measure [--checkpoint FILE | --state DIR]
[--prompts 200] [--out FOLDER].

Draws `prompts` × 2 seeds of tags that training could have shown, reads them with the tagger,
measures colours where the drawing of the same tags has them, and writes measures.json and
sheet.png.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lib_singlelora.embedded.paths import CHECKPOINT, FOLDER, TAGGER

from .export import weights
from .networks.sampler import Checkpoint, assemble, draw
from .networks.store import Store
from .scenes.look import PLAIN, sample_look
from .scenes.palette import BACKDROP, HAIR
from .scenes.sample import sample_scene
from .scenes.scene import render
from .scenes.spec import BACKGROUNDS, FRAMINGS, HAIR_LENGTHS, POSES, Scene
from .scenes.tags import SIMPLE, tags
from .sheet import grid

SEED = 60_000_000
EXPRESSIONS = ("smile", "open mouth", "frown", "angry", "closed eyes")


def group_of(tag: str) -> str | None:
    """The group in which obedience to a tag is reported."""
    last = tag.rsplit(" ", 1)[-1]
    if tag in FRAMINGS:
        return "framing"
    if tag in POSES:
        return "pose"
    if tag in EXPRESSIONS:
        return "expression"
    if tag in ("from side", "from behind"):
        return "view"
    if tag in [f"{n} hair" for n in HAIR_LENGTHS]:
        return "hair length"
    if tag in BACKGROUNDS or (last == "background" and tag != "simple background"):
        return "background"
    if last in ("hair", "eyes") and tag != "closed eyes":
        return f"{last} colour" if last == "hair" else "eyes"
    if last in ("shirt", "dress", "corset", "skirt", "pants"):
        return "outfit colour" if tag not in ("miniskirt", "long skirt", "striped skirt") else None
    return None


class Reader:
    """The exported tagger through onnxruntime; probabilities by tag, spaces for underscores."""

    def __init__(self, folder: Path) -> None:
        import onnxruntime

        rows = (folder / "selected_tags.csv").read_text(encoding="utf-8").splitlines()[1:]
        self.names = [r.split(",")[1].replace("_", " ") for r in rows]
        self.session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), providers=["CPUExecutionProvider"]
        )

    def __call__(self, pictures: NDArray[np.uint8]) -> list[dict[str, float]]:
        out = self.session.run(
            None, {self.session.get_inputs()[0].name: pictures[..., ::-1].astype(np.float32)}
        )[0]
        return [dict(zip(self.names, map(float, row), strict=True)) for row in out]


def obeys(tag: str, read: dict[str, float]) -> bool:
    """Whether the tagger sees the tag before its rivals of the same group, or, without rivals, at
    all.
    """
    group = group_of(tag)
    if group in (None, "expression", "outfit colour"):
        own = read.get(tag, 0.0)
        thing = tag.rsplit(" ", 1)[-1]
        if group != "outfit colour":
            return own >= 0.5
        return own >= max(
            p for t, p in read.items() if t.rsplit(" ", 1)[-1] == thing and group_of(t) == group
        )
    return read.get(tag, 0.0) >= max(p for t, p in read.items() if group_of(t) == group)


def colour_error(scene: Scene, picture: NDArray[np.uint8]) -> dict[str, float]:
    """Without the tagger: how far the background's and the hair's colours are from the palette, of
    255.

    The background is read at the upper corners, the hair at the crown where the true drawing of the
    scene has it.
    """
    out: dict[str, float] = {}
    size = picture.shape[0]
    if scene.background in SIMPLE:
        corner = np.concatenate(
            [picture[2:10, 2:10].reshape(-1, 3), picture[2:10, -10:-2].reshape(-1, 3)]
        )
        out["background"] = float(np.abs(np.median(corner, 0) - BACKDROP[scene.background]).mean())
    if len(scene.characters) == 1 and scene.characters[0].headwear.kind == "none":
        true = render(scene, size).pixels.astype(int)
        wanted = np.array(HAIR[scene.characters[0].hair.colour])
        region = np.abs(true - wanted).max(-1) < 6
        if region.sum() > 40:
            out["hair"] = float(np.abs(np.median(picture[region], 0) - wanted).mean())
    return out


def prompts(count: int) -> list[tuple[Scene, str]]:
    """Scenes with one figure and at most a dozen of their tags."""
    rng = random.Random(SEED)
    out = []
    for k in range(count * 2):
        scene = sample_scene(SEED + k)
        if len(scene.characters) == 1 and len(out) < count:
            first, *rest = tags(scene)
            chosen = sorted(rng.sample(range(len(rest)), min(11, len(rest))))
            out.append((scene, ", ".join([first, *(rest[i] for i in chosen)])))
    return out


def tagger_accuracy(reader: Reader, count: int = 400) -> dict[str, float]:
    """Mean accuracy and mean F1 over the tags on fresh drawings, by the renderer's own hand and by
    many.
    """
    accuracy, own = _accuracy_and_f1(reader, count, many_hands=False)
    _, many = _accuracy_and_f1(reader, count, many_hands=True)
    return {"tagger accuracy": accuracy, "tagger F1": own, "tagger F1, many hands": many}


def _accuracy_and_f1(reader: Reader, count: int, many_hands: bool) -> tuple[float, float]:
    """At a threshold of 0.5; F1 over tags seen at least five times."""
    from .networks.train_tagger import scene_of

    seeds = range(SEED + 100_000, SEED + 100_000 + count)
    scenes = [scene_of(seed) for seed in seeds]
    drawn = [
        render(scene, look=sample_look(seed) if many_hands else PLAIN).pixels
        for seed, scene in zip(seeds, scenes, strict=True)
    ]
    truth = np.array([[t in tags(s) for t in reader.names[4:]] for s in scenes])
    read = [reader(np.stack(drawn[i : i + 32])) for i in range(0, count, 32)]
    found = np.array([[p >= 0.5 for p in list(r.values())[4:]] for rows in read for r in rows])
    hit = (truth & found).sum(0)
    wrong = (~truth & found).sum(0)
    missed = (truth & ~found).sum(0)
    often = truth.sum(0) >= 5
    f1 = 2 * hit / np.maximum(2 * hit + wrong + missed, 1)
    return float((truth == found).mean()), float(f1[often].mean())


def vae_error(checkpoint: Checkpoint, count: int = 64) -> dict[str, float]:
    """PSNR on fresh drawings, and the colours' error in the drawing's regions."""
    from .networks.train_vae import pictures, psnr

    weights_of = checkpoint.vae.state_dict()
    found = {"VAE PSNR dB": psnr(weights_of, range(SEED + 200_000, SEED + 200_000 + count))}
    errors: dict[str, list[float]] = {"hair": [], "background": []}
    for k in range(count):
        scene = sample_scene(SEED + 200_000 + k)
        x = pictures(range(SEED + 200_000 + k, SEED + 200_001 + k), world=True)
        with torch.no_grad():
            y = checkpoint.vae.decode(checkpoint.vae.encode(x)[0]).clamp(-1, 1)
        pixels = ((y[0] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        for name, value in colour_error(scene, pixels).items():
            errors[name].append(value)
    return found | {
        f"VAE {name} colour error /255": float(np.mean(v)) for name, v in errors.items()
    }


Measured = tuple[dict[str, float], list[NDArray[np.uint8]]]


def measure(
    checkpoint: Checkpoint, reader: Reader, count: int, seeds: Sequence[int] = (1, 2)
) -> Measured:
    """The figures and the pictures of the first 40 prompts."""
    wanted = prompts(count)
    hits: dict[str, list[bool]] = {}
    colours: dict[str, list[float]] = {"hair": [], "background": []}
    shown: list[NDArray[np.uint8]] = []
    start = time.monotonic()
    drawing = 0.0
    for seed in seeds:
        for at in range(0, len(wanted), 8):
            part = wanted[at : at + 8]
            began = time.monotonic()
            pictures = draw(
                checkpoint,
                [p for _, p in part],
                [seed * 100_000 + at + k for k in range(len(part))],
            )
            drawing += time.monotonic() - began
            if seed == seeds[0]:
                shown += list(pictures)
            for (scene, prompt), picture, read in zip(
                part, pictures, reader(pictures), strict=True
            ):
                own = prompt.split(", ")
                for tag in own:
                    group = group_of(tag)
                    if group:
                        hits.setdefault(group, []).append(obeys(tag, read))
                if "1girl" in own and any(
                    f in own for f in ("full body", "cowboy shot", "upper body", "portrait")
                ):
                    hats = [t for t in own if t.endswith(" hat") or t == "hat"]
                    if hats or not any(t.endswith(" hat") for t in tags(scene)):
                        hits.setdefault("hat", []).append(
                            (read.get("hat", 0.0) >= 0.5) == bool(hats)
                        )
                told = colour_error(scene, picture)
                asked = {
                    "background": f"{scene.background} background",
                    "hair": f"{scene.characters[0].hair.colour} hair",
                }
                for name in told:
                    if asked[name] in own:
                        colours[name].append(told[name])
    found = {f"obeys {g}": float(np.mean(v)) for g, v in sorted(hits.items())}
    found |= {
        f"{n} colour within 40/255": float(np.mean([x < 40 for x in v]))
        for n, v in colours.items()
        if v
    }
    found |= {
        "seconds a picture": drawing / (len(wanted) * len(seeds)),
        "seconds in all": time.monotonic() - start,
    }
    return found, shown[:40]


def load(path: Path) -> Checkpoint:
    """An exported checkpoint."""
    from safetensors.torch import load_file

    state = load_file(path)

    def part(prefix: str) -> dict[str, torch.Tensor]:
        return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}

    text = part("cond_stage_model.transformer.text_model.")
    from .networks.models import new_text_encoder

    # Older transformers nest
    nested = next(iter(new_text_encoder().state_dict())).startswith("text_model.")
    return assemble(
        part("model.diffusion_model."),
        {f"text_model.{k}" if nested else k: v for k, v in text.items()},
        part("first_stage_model."),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument(
        "--state", type=Path, help="measure a training's state instead of an exported file"
    )
    parser.add_argument("--tagger", type=Path, default=TAGGER)
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    checkpoint = assemble(*weights(Store(given.state))) if given.state else load(given.checkpoint)
    reader = Reader(given.tagger)
    found, shown = measure(checkpoint, reader, given.prompts)
    found |= tagger_accuracy(reader) | vae_error(checkpoint)
    given.out.mkdir(parents=True, exist_ok=True)
    grid(shown, 8).save(given.out / "sheet.png")
    (given.out / "measures.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    for name, value in found.items():
        print(f"{name:34} {value:.3f}")


if __name__ == "__main__":
    main()
