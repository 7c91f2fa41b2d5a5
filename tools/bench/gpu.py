"""The same step on a GPU in bf16: the limit, the peer, and ours with and without CUDA graphs."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import torch
from torch.nn import functional as F

from lib_singlelora.hosts.standalone.checkpoint_loader import CheckpointNetworks

from .full_size import SIDE, full_size, twin
from .measurement import Measurement, against
from .steps import CAPTION, PEER_TEXT, PEER_UNET, Step, ours

BATCHES = (1, 2, 4)
KINDS = (
    "full",
    "full channels_last",
    "full graphs",
    "full graphs channels_last",
    "outd",
    "outd graphs",
    "checkpointing",
)


def _limit(networks: CheckpointNetworks, batch: int) -> Step:
    unet, _ = twin(networks)
    latents = torch.randn(batch, 4, SIDE // 8, SIDE // 8, device="cuda", dtype=torch.bfloat16)
    context = torch.randn(batch, 77, 768, device="cuda", dtype=torch.bfloat16)
    timesteps = torch.full((batch,), 500, device="cuda")

    def step() -> None:
        x = latents.clone().requires_grad_()
        c = context.clone().requires_grad_()
        unet(x, timesteps, c).sample.float().square().mean().backward()

    return step


def _peer(networks: CheckpointNetworks, batch: int) -> Step:
    """As diffusers' own LoRA script: frozen weights in bf16, LoRA in fp32, the pass under autocast,
    fused AdamW.
    """
    from peft import LoraConfig

    unet, text = twin(networks)
    unet.add_adapter(LoraConfig(r=16, lora_alpha=16, target_modules=PEER_UNET))
    text.add_adapter(LoraConfig(r=16, lora_alpha=16, target_modules=PEER_TEXT))
    parameters = [p for network in (unet, text) for p in network.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.data = parameter.data.float()
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    tokens = networks.tokenizer(
        [CAPTION] * batch, padding="max_length", max_length=77, truncation=True, return_tensors="pt"
    ).input_ids.to("cuda")
    latents = torch.randn(batch, 4, SIDE // 8, SIDE // 8, device="cuda", dtype=torch.bfloat16)
    alphas = networks.alphas_cumprod.to("cuda")

    def step() -> None:
        noise = torch.randn_like(latents)
        timestep = torch.randint(0, 1000, (batch,), device="cuda")
        alpha = alphas[timestep].view(-1, 1, 1, 1)
        noisy = (alpha.sqrt() * latents + (1 - alpha).sqrt() * noise).to(torch.bfloat16)
        with torch.autocast("cuda", torch.bfloat16):
            loss = F.mse_loss(unet(noisy, timestep, text(tokens)[0]).sample.float(), noise.float())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()

    return step


def _timed(step: Callable[[], None], rounds: int) -> tuple[float, float]:
    """(median seconds of a step, peak memory in MB)."""
    for _ in range(3):
        step()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    found = []
    for _ in range(rounds):
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        before.record()
        step()
        after.record()
        torch.cuda.synchronize()
        found.append(before.elapsed_time(after) / 1000)
    return statistics.median(found), torch.cuda.max_memory_reserved() / 2**20


def measure_gpu(rounds: int) -> list[Measurement]:
    """Steps a second and peak memory, weights counted in, at three batch sizes."""
    if not torch.cuda.is_available():
        raise SystemExit("bench --only gpu: found no CUDA GPU, expected one; leave the part out")
    with torch.device("cuda"):
        networks = full_size()
    networks.unet.to(torch.bfloat16)
    networks.text.to(torch.bfloat16)
    rows = []
    for batch in BATCHES:
        limit, _ = _timed(_limit(networks, batch), rounds)
        rows.append(Measurement(f"gpu.{batch}.limit", round(1 / limit, 3), "steps/s"))
        peer, memory = _timed(_peer(networks, batch), rounds)
        rows.append(
            against(f"gpu.{batch}.peer", 1 / peer, "steps/s", f"gpu.{batch}.limit", 1 / limit)
        )
        rows.append(Measurement(f"gpu.{batch}.peer.memory", round(memory, 1), "MB"))
        torch.cuda.empty_cache()
        for kind in KINDS:
            with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
                seconds, own = _timed(
                    ours(networks, kind, Path(folder), stack, "cuda", batch), rounds
                )
            name = f"gpu.{batch}.{kind.replace(' ', '_')}"
            rows.append(against(name, 1 / seconds, "steps/s", f"gpu.{batch}.peer", 1 / peer))
            rows.append(against(f"{name}.memory", own, "MB", f"gpu.{batch}.peer.memory", memory))
            torch.cuda.empty_cache()
            for row in rows[-2:]:
                print(row.name, row.value, row.unit, row.ratio, file=sys.stderr, flush=True)
    return rows
