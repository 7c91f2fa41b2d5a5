"""Trains the embedded world on one GPU in minutes: python -m tools.world.networks.train_gpu
[--seconds 500] [--state DIR] [--base FILE] [--many-hands].

All cores draw while the GPU trains; each stage has a share of the time, in which its rate falls to
nothing. --base starts from a checkpoint that was trained before instead of from zero. Leaves in the
state what export, measure and readme read.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import base_vae, load_base
from .models import SCALE, UNET, Autoencoder, UNet, alphas_cumprod, new_text_encoder
from .muon import Muon
from .parallel import CAPTIONS, Drawers, Shelf, new_shelf
from .recorded import Recorded
from .store import Store, default_state
from .tagger import Tagger
from .train_tagger import known_names
from .train_unet import GAMMA
from .train_vae import reconstruction_loss, whitened

SHARES = {"vae": 0.22, "unet": 0.55, "decoder": 0.08, "tagger": 0.15}
BATCH = {"vae": 64, "unet": 256, "tagger": 256}
COUNTS = {"colours": 32_000, "world": 250_000, "tagger": 120_000}
SMALL = {"vae": 4, "unet": 8, "tagger": 4}  # on a machine without a GPU, to see that it runs
KL = 5e-5


def context_of(text: Any, numbers: Tensor, clip_skip: int) -> Tensor:
    """As prompts.encode, on transformers' weights by hand: what transformers does around them
    cannot be recorded.
    """
    own = getattr(text, "text_model", text)
    embeddings = own.embeddings
    heads = own.config.num_attention_heads
    x = (
        embeddings.token_embedding(numbers)
        + embeddings.position_embedding.weight[: numbers.shape[1]]
    )
    layers = own.encoder.layers
    for layer in layers[: len(layers) + 1 - clip_skip]:
        h = layer.layer_norm1(x)
        attention = layer.self_attn
        q, k, v = (
            project(h).unflatten(-1, (heads, -1)).transpose(1, 2)
            for project in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        x = x + attention.out_proj(
            F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        )
        h = layer.mlp.fc1(layer.layer_norm2(x))
        x = x + layer.mlp.fc2(h * torch.sigmoid(1.702 * h))
    found: Tensor = own.final_layer_norm(x)
    return found


class Averages:
    """A moving average of some modules' weights that a recorded step can update."""

    def __init__(self, *modules: nn.Module, decay: float) -> None:
        self.decay = decay
        self.modules = modules
        self.own = [
            {k: v.detach().clone() for k, v in module.state_dict().items()} for module in modules
        ]
        pairs = [
            (own[k], v)
            for own, m in zip(self.own, modules, strict=True)
            for k, v in m.state_dict().items()
            if v.is_floating_point()
        ]
        self.kept = [a for a, _ in pairs]
        self.live = [b for _, b in pairs]

    @torch.no_grad()
    def update(self) -> None:
        torch._foreach_lerp_(self.kept, self.live, 1 - self.decay)

    def cpu(self, number: int = 0) -> dict[str, Tensor]:
        return {
            k: v.float().cpu().contiguous() if v.is_floating_point() else v.cpu()
            for k, v in self.own[number].items()
        }


class World:
    """The stages on one device, one after the other."""

    def __init__(
        self,
        store: Store,
        seconds: float,
        counts: dict[str, int],
        device: str,
        base: Path | None,
        many_hands: bool = False,
    ) -> None:
        self.store = store
        self.device = device
        self.base = base
        self.seconds = {stage: seconds * share for stage, share in SHARES.items()}
        self.batches = BATCH if device == "cuda" else SMALL
        self.names = known_names()
        self.shelves = {
            kind: new_shelf(kind, count, len(self.names)) for kind, count in counts.items()
        }
        self.drawers = Drawers(
            list(self.shelves.values()), self.names, max(1, (os.cpu_count() or 2) - 1), many_hands
        )
        self.vae = Autoencoder().to(device, memory_format=torch.channels_last)
        store.note(machine=torch.cuda.get_device_name() if device == "cuda" else "CPU")
        self.started = time.monotonic()

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self.started:6.1f} s  {text}", flush=True)

    def amp(self) -> torch.autocast:
        # No cache: a recorded cast would be of weights that have moved on.
        return torch.autocast(
            self.device, torch.bfloat16, enabled=self.device == "cuda", cache_enabled=False
        )

    def pictures(self, shelf: Shelf, start: int, stop: int) -> Tensor:
        """uint8 NHWC on the device."""
        return torch.from_numpy(shelf.pixels[start:stop]).to(self.device)

    def as_input(self, pixels: Tensor) -> Tensor:
        return (pixels.permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous(
            memory_format=torch.channels_last
        )

    def run(self, stage: str, step: Any, optimizers: list[torch.optim.Optimizer]) -> int:
        self.say(f"{stage}: recording")
        recorded = Recorded(
            step, [group for o in optimizers for group in o.param_groups], self.device
        )
        before = [0.0]

        def told(number: int, loss: float, seconds: float) -> None:
            self.store.log(stage, step=number, loss=loss, seconds=seconds - before[0])
            before[0] = seconds

        recorded.run(self.seconds[stage], told)
        self.say(f"{stage}: {recorded.steps} steps, loss {recorded.loss.item():.4f}")
        self.store.curve(stage)
        return recorded.steps

    # ----------------------------------------------------------------------------------

    def train_vae(self, decoder_only: bool = False) -> None:
        """Whole pictures, half of them in all colours that the renderer has."""
        stage = "decoder" if decoder_only else "vae"
        model = self.vae
        half = self.batches["vae"] // 2
        model.requires_grad_(True)
        if decoder_only:
            model.encoder.requires_grad_(False)
            model.quant_conv.requires_grad_(False)
        first = self.drawers.wait("colours", len(self.shelves["colours"].pixels))
        second = self.drawers.wait("world", len(self.shelves["world"].pixels) // 8)
        pools = [
            self.pictures(self.shelves["colours"], 0, first),
            self.pictures(self.shelves["world"], 0, second),
        ]
        self.say(f"{stage}: {first} + {second} drawings")
        optimizer = Muon(
            [(n, p) for n, p in model.named_parameters() if p.requires_grad],
            lr=1e-3 if decoder_only else 2e-3,
            adam_lr=1e-3,
        )
        average = Averages(model, decay=0.995)

        def step() -> Tensor:
            picked = [pool[torch.randint(len(pool), (half,), device=self.device)] for pool in pools]
            x = self.as_input(torch.cat(picked))
            with self.amp():
                with torch.set_grad_enabled(not decoder_only):
                    mean, logvar = model.encode(x)
                z = mean + torch.randn_like(mean) * (0.5 * logvar).exp()
                found = model.decode(z).float()
            loss = reconstruction_loss(found, x)
            if not decoder_only:
                mean = mean.float()
                logvar = logvar.float()
                loss = loss + KL * 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(1).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            average.update()
            return loss.detach()

        steps = self.run(stage, step, [optimizer])
        if decoder_only:
            self.store.save("decoder", {"step": steps, "ema": average.cpu()})
        else:
            frozen = whitened(average.cpu())
            self.store.save("vae", {"step": steps, "ema": average.cpu()})
            self.store.save("vae_frozen", frozen)
            model.load_state_dict(frozen)
            self.say("vae: frozen")

    @torch.no_grad()
    def encoded(self, kind: str) -> Tensor:
        """(N, 4, 16, 16) fp16, scaled."""
        count = self.drawers.wait(kind, len(self.shelves[kind].pixels))
        rows = []
        for start in range(0, count, 512):
            x = self.as_input(self.pictures(self.shelves[kind], start, min(start + 512, count)))
            with self.amp():
                rows.append((self.vae.encode(x)[0].float() * SCALE).half())
        return torch.cat(rows)

    def train_unet(self) -> None:
        """Epsilon prediction with min-SNR weights, as in train_unet.py; a pre-trained text encoder
        learns with it.
        """
        latents = self.encoded("world")
        numbers = torch.from_numpy(self.shelves["world"].told.astype("int32")).to(self.device)
        self.say(
            f"unet: {len(latents)} drawings encoded, variance {latents.float().var().item():.3f}"
        )
        unet = UNet(**UNET).to(self.device, memory_format=torch.channels_last)
        text = new_text_encoder().to(self.device)
        if self.base is not None:
            load_base(self.base, unet, text)
        optimizer = Muon(unet.named_parameters(), lr=3e-3, adam_lr=1e-3)
        text_optimizer = Muon(
            [(n, p) for n, p in text.named_parameters() if "final_layer_norm" not in n],
            lr=3e-4,
            adam_lr=3e-4,
        )
        alphas = alphas_cumprod().float().to(self.device)
        size = self.batches["unet"]
        device = self.device
        average = Averages(unet, text, decay=0.9993)

        def step() -> Tensor:
            rows = torch.randint(len(latents), (size,), device=device)
            x0 = latents[rows].float()
            told = numbers[rows, torch.randint(CAPTIONS, (size,), device=device)].long()
            noise = torch.randn_like(x0)
            # stratified: the batch covers the schedule evenly, in any order
            order = torch.rand(size, device=device).argsort()
            t = ((order + torch.rand(size, device=device)) * (1000 / size)).long().clamp(max=999)
            alpha_bar = alphas[t][:, None, None, None]
            noisy = alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * noise
            with self.amp():
                cut = size // 8  # an eighth is taken with clip skip 2
                context = torch.cat(
                    [context_of(text, told[:cut], 2), context_of(text, told[cut:], 1)]
                )
                predicted = unet(
                    noisy.contiguous(memory_format=torch.channels_last), t, context
                ).float()
            mse = (predicted - noise).square().mean((1, 2, 3))
            snr = (alpha_bar / (1 - alpha_bar)).flatten()
            loss = (mse * snr.clamp(max=GAMMA) / snr).mean()
            for one in (optimizer, text_optimizer):
                one.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            text_optimizer.step()
            average.update()
            return loss.detach()

        steps = self.run("unet", step, [optimizer, text_optimizer])
        self.store.save("unet", {"step": steps, "ema": average.cpu(0), "text_ema": average.cpu(1)})

    def load_vae(self) -> None:
        """The base's autoencoder."""
        if self.base is not None:
            self.vae.load_state_dict(base_vae(self.base))

    # ----------------------------------------------------------------------------------

    def train_tagger(self) -> None:
        """Drawings, and such as have been through the VAE, spoiled a little."""
        from ..scenes.spoiling import spoiled

        count = self.drawers.wait("tagger", len(self.shelves["tagger"].pixels))
        drawn = self.pictures(self.shelves["tagger"], 0, count)
        told = torch.from_numpy(self.shelves["tagger"].told[:count]).to(self.device)
        through = self._through_the_vae(drawn[: count // 3])
        size = self.batches["tagger"]
        device = self.device
        model = Tagger(len(self.names)).to(device, memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=2e-3, weight_decay=1e-2, capturable=device == "cuda"
        )
        average = Averages(model, decay=0.998)
        model.train()

        def step() -> Tensor:
            rows = torch.randint(count, (size,), device=device)
            second = torch.randint(len(through), (size,), device=device)
            vae = torch.rand(size, device=device) < 0.3
            x = torch.where(vae[:, None, None, None], through[second], drawn[rows])
            wanted = torch.where(vae[:, None], told[second], told[rows]).float()
            seen = spoiled(x.float()).flip(-1)  # RGB to BGR
            with self.amp():
                logits = model.logits(seen).float()
            loss = F.binary_cross_entropy_with_logits(logits, wanted)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            average.update()
            return loss.detach()

        steps = self.run("tagger", step, [optimizer])
        self.store.save("tagger", {"step": steps, "ema": average.cpu()})

    @torch.no_grad()
    def _through_the_vae(self, pixels: Tensor) -> Tensor:
        rows = []
        for start in range(0, len(pixels), 256):
            x = self.as_input(pixels[start : start + 256])
            with self.amp():
                z = self.vae.encode(x)[0]
                z = z + 0.15 * z.std() * torch.rand(
                    len(z), 1, 1, 1, device=self.device
                ) * torch.randn_like(z)
                y = self.vae.decode(z).float()
            rows.append(((y.clamp(-1, 1) + 1) * 127.5).byte().permute(0, 2, 3, 1).contiguous())
        return torch.cat(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=500.0,
        help="of training; drawing, encoding and recording come on top",
    )
    parser.add_argument("--state", type=Path, default=default_state())
    parser.add_argument("--base", type=Path, help="a checkpoint of ours to start from")
    parser.add_argument(
        "--many-hands",
        action="store_true",
        help="drawings of many proportions, lines and tones (scenes/look.py)",
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--stages",
        default="vae,unet,decoder,tagger",
        help="some of them; the others' results are read",
    )
    parser.add_argument(
        "--drawings", type=float, default=1.0, help="share of the usual number of drawings"
    )
    given = parser.parse_args()
    counts = {kind: max(16, int(count * given.drawings)) for kind, count in COUNTS.items()}
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    world = World(
        Store(given.state), given.seconds, counts, given.device, given.base, given.many_hands
    )
    torch.manual_seed(5)
    world.load_vae()
    stages = {
        "vae": world.train_vae,
        "unet": world.train_unet,
        "decoder": lambda: world.train_vae(decoder_only=True),
        "tagger": world.train_tagger,
    }
    for stage in given.stages.split(","):
        stages[stage]()
    world.drawers.close()
    world.say("done")


if __name__ == "__main__":
    main()
