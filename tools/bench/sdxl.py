"""One training step of SDXL's whole U-Net on a CPU: python -m tools.bench.sdxl ours|peer.

2.6 billion random weights, 512², batch 1, rank 16, gradient checkpointing, prompts encoded before.
Seconds are of computing, on one thread, so that others' work on the machine is not in them.
Ours holds the frozen weights in fp16, as a checkpoint's file does, and unpacks a block at a time to
fp32.  The peer is diffusers and peft as they come: on a CPU their weights lie in fp32.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .measurement import Measurement, against
from .worker import prepare

ROOT = Path(__file__).parents[2]
SIDE = 512
MOST = 20e9  # bytes of a process; beyond it is ended
SPARE = 1.5e9  # bytes that the machine keeps for others
NEEDED = {"ours": 9e9, "peer": 14.5e9}
TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"]
# stabilityai/stable-diffusion-xl-base-1.0, unet/config.json
CONFIG: dict[str, Any] = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "layers_per_block": 2,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}


def measure_sdxl() -> list[Measurement]:
    """Seconds of computing and peak memory of one step, ours beside the peer.

    Each runs in a process of its own.
    """
    from lib_singlelora.naming.blocks import SDXL
    from lib_singlelora.settings.schema import Settings
    from lib_singlelora.training.memory_plan import Computer, plan_memory

    values = {f"training.{name}": value for name, value in _settings().items()}
    computer = Computer("CPU", False, weight=4.0, number=4.0)
    plan = plan_memory(
        SDXL, Settings.from_dict(values).training, {}, (SIDE, SIDE), computer, checkpointing=True
    )
    peer = _watched("peer")
    ours = _watched("ours")
    unet_alone = plan.step.total - _beside_the_unet(computer)
    return [
        Measurement("sdxl.peer", round(peer["seconds"], 2), "s"),
        Measurement("sdxl.peer.memory", round(peer["peak"], 1), "MB"),
        against("sdxl.step", ours["seconds"], "s", "sdxl.peer", peer["seconds"]),
        against("sdxl.step.memory", ours["peak"], "MB", "sdxl.peer.memory", peer["peak"]),
        against(
            "sdxl.step.memory.calculated",
            unet_alone / 2**20,
            "MB",
            "sdxl.step.memory",
            ours["peak"],
        ),
    ]


def _beside_the_unet(computer: Any) -> float:
    """Bytes of the text encoders and the VAE, which this step does not have."""
    from lib_singlelora.naming.blocks import SDXL
    from lib_singlelora.training.memory_plan import VAE_NUMBERS, text_numbers

    return float(computer.weight * text_numbers(SDXL) + 4 * VAE_NUMBERS)


def _watched(kind: str) -> dict[str, float]:
    """A step in a process of its own, ended before the machine runs out of memory."""
    if (free := _available()) < NEEDED[kind] + SPARE:
        raise SystemExit(
            f"bench --only sdxl: found {free / 1e9:.1f} GB free, expected"
            f" {(NEEDED[kind] + SPARE) / 1e9:.1f} for {kind}; close other programs"
        )
    command = [sys.executable, "-m", "tools.bench.sdxl", kind]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(0.3):
                if _resident(process.pid) > MOST or _available() < SPARE / 3:
                    process.kill()

        threading.Thread(target=watch, daemon=True).start()
        assert process.stdout is not None
        text = process.stdout.read()
        ended.set()
    if process.returncode:
        raise SystemExit(f"bench --only sdxl: {kind} ended with {process.returncode}; see above")
    found: dict[str, float] = json.loads(text.splitlines()[-1])
    return found


def _available() -> float:
    return _bytes(Path("/proc/meminfo"), "MemAvailable")


def _resident(pid: int) -> float:
    try:
        return _bytes(Path(f"/proc/{pid}/status"), "VmRSS")
    except OSError:
        return 0.0


def _bytes(file: Path, name: str) -> float:
    lines = file.read_text(encoding="utf-8").splitlines()
    return next((1024 * float(line.split()[1]) for line in lines if line.startswith(name)), 0.0)


def random_unet(dtype: torch.dtype) -> nn.Module:
    """The full U-Net, frozen, made in a dtype without another copy.

    Normal weights, so that activations stay in range; norms start at 1 and 0.
    """
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet: nn.Module = UNet2DConditionModel(**CONFIG)
    generator = torch.Generator().manual_seed(1)
    for module in unet.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            value = torch.zeros(parameter.shape, dtype=dtype)
            if parameter.dim() > 1:
                value.uniform_(-1, 1, generator=generator).mul_(parameter[0].numel() ** -0.5)
            elif name == "weight":
                value.fill_(1)
            setattr(module, name, nn.Parameter(value, requires_grad=False))
    return unet.eval()


class UnetModel:
    """A TrainingModel of the U-Net alone, whose prompts were encoded before."""

    prediction = "epsilon"
    recording_obstacle = "not recorded"
    device = "cpu"
    compute_dtype = torch.float32

    def __init__(self, unet: nn.Module) -> None:
        from lib_singlelora.host import Conditioning
        from lib_singlelora.naming.blocks import SDXL

        self.unet: Any = unet
        self.layout = SDXL
        betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
        self.alphas_cumprod = torch.cumprod(1 - betas, 0).float()
        self.texts = Conditioning(torch.randn(1, 77, 2048), torch.randn(1, 1280))

    def set_aside(self, *parts: str) -> None:
        """There is nothing else."""

    def encode_prompts(self, prompts: Sequence[str], clip_skip: int) -> Any:
        """What was encoded before."""
        return self.texts

    def count_tokens(self, prompt: str) -> int:
        """As many as fit into one chunk."""
        return 75

    def predict(self, noisy: Tensor, timesteps: Tensor, conditioning: Any) -> Tensor:
        """The U-Net's output."""
        output: Tensor = self.unet(
            noisy,
            timesteps,
            conditioning.context,
            added_cond_kwargs={"text_embeds": conditioning.pooled, "time_ids": _sizes()},
        ).sample
        return output

    def targets(self) -> Iterator[tuple[str, nn.Module]]:
        """(canonical name, module) of every Linear and Conv2d."""
        from lib_singlelora.naming.keys import diffusers_to_canonical

        for name, module in self.unet.named_modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                yield diffusers_to_canonical(name, self.layout), module

    def blocks(self) -> Iterator[nn.Module]:
        """Residual and attention blocks."""
        for part in (*self.unet.down_blocks, self.unet.mid_block, *self.unet.up_blocks):
            yield from part.resnets
            yield from getattr(part, "attentions", None) or ()


def _sizes() -> Tensor:
    return torch.tensor([[SIDE, SIDE, 0, 0, SIDE, SIDE]], dtype=torch.float32)


def _settings() -> dict[str, Any]:
    return {
        "rank": 16,
        "alpha": 16,
        "unet_lr": 1e-4,
        "text_encoder_lr": 0,
        "gradient_checkpointing": True,
        "masked_loss": False,
    }


def _ours(folder: Path, stack: ExitStack) -> Callable[[], float]:
    """The trainer's own step on weights that lie in fp16."""
    from PIL import Image

    from lib_singlelora.lora.branches import shape_of
    from lib_singlelora.lora.network import LoraNetwork
    from lib_singlelora.ops.fp16_storage import fp16_storage
    from lib_singlelora.settings.schema import Settings
    from lib_singlelora.training.epoch_plan import Picture, Sample
    from lib_singlelora.training.trainer import Trainer

    model: Any = UnetModel(random_unet(torch.float16))
    held = {id(p) for block in model.blocks() for p in block.parameters()}
    for parameter in model.unet.parameters():  # what lies between the blocks computes in fp32
        if id(parameter) not in held:
            parameter.data = parameter.data.float()
    values = {f"training.{name}": value for name, value in _settings().items()}
    options = Settings.from_dict(values).training
    path = folder / "grey.png"
    Image.new("RGB", (SIDE, SIDE), "grey").save(path)
    picture = Picture(path, "isabella, girl", (SIDE, SIDE))
    network = LoraNetwork(model.targets(), model.layout, shape_of(options), {}, False, 1)
    trainer = Trainer(
        model, network, [picture], options, folder / "state.pt", "sdxl", lambda *_: folder
    )
    latents = torch.randn(1, 4, SIDE // 8, SIDE // 8)
    trainer.latents.get = lambda *_: latents  # type: ignore[method-assign]
    network.train()
    stack.enter_context(fp16_storage(model.blocks(), halves=True))

    def step() -> float:
        with trainer.prepared():
            return trainer.step([[Sample(picture, 1)]])[0]

    return step


def _peer() -> Callable[[], float]:
    """diffusers and peft in a plain loop with gradient checkpointing."""
    from peft import LoraConfig

    unet: Any = random_unet(torch.float32)
    unet.add_adapter(LoraConfig(r=16, lora_alpha=16, target_modules=TARGETS))
    unet.enable_gradient_checkpointing()
    unet.train()  # diffusers recomputes in training mode only
    parameters = [p for p in unet.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    latents = torch.randn(1, 4, SIDE // 8, SIDE // 8)
    context = torch.randn(1, 77, 2048)
    added = {"text_embeds": torch.randn(1, 1280), "time_ids": _sizes()}

    def step() -> float:
        noise = torch.randn_like(latents)
        noisy = 0.7 * latents + 0.7 * noise
        output = unet(noisy, torch.tensor([500]), context, added_cond_kwargs=added).sample
        loss = F.mse_loss(output, noise)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return float(loss.detach())

    return step


def main(kind: str) -> None:
    if kind == "ours":
        prepare()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        step = _peer() if kind == "peer" else _ours(Path(folder), stack)
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
        started = time.process_time()
        loss = step()
        seconds = time.process_time() - started
        peak = _bytes(Path("/proc/self/status"), "VmHWM") / 2**20
        print(json.dumps({"seconds": seconds, "peak": peak, "loss": loss}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
