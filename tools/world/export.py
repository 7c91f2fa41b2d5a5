"""State -> lib_singlelora/embedded/: python -m tools.world.export [--state DIR] [--out FOLDER]
[--base FILE].

Writes singlelora.safetensors (fp16, LDM keys), singlelora.yaml, clip/config.json, tagger/ and
README.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor

from lib_singlelora.embedded.paths import FOLDER, NAME

from .networks.base import base_vae, check_same_base, fingerprint, load_base
from .networks.models import NATIVE, SCALE, TEXT, UNET, VAE, UNet, alphas_cumprod, new_text_encoder
from .networks.store import Store, default_state


def ldm_state(
    unet: dict[str, Tensor], text: dict[str, Tensor], vae: dict[str, Tensor]
) -> dict[str, Tensor]:
    """The tensors under the names that SD 1 files have."""
    out = {f"model.diffusion_model.{k}": v for k, v in unet.items()}
    out |= {f"first_stage_model.{k}": v for k, v in vae.items()}
    for key, value in text.items():
        out[f"cond_stage_model.transformer.text_model.{key.removeprefix('text_model.')}"] = value
    return {k: v.half().contiguous() for k, v in out.items()} | schedule()


def schedule() -> dict[str, Tensor]:
    """The buffers of LDM's DDPM class, fp32.

    Source: ldm/models/diffusion/ddpm.py, register_schedule.
    """
    alphas = alphas_cumprod()
    before = torch.cat([alphas.new_ones(1), alphas[:-1]])
    betas = 1 - alphas / before
    variance = betas * (1 - before) / (1 - alphas)
    found = {
        "betas": betas,
        "alphas_cumprod": alphas,
        "alphas_cumprod_prev": before,
        "sqrt_alphas_cumprod": alphas.sqrt(),
        "sqrt_one_minus_alphas_cumprod": (1 - alphas).sqrt(),
        "log_one_minus_alphas_cumprod": (1 - alphas).log(),
        "sqrt_recip_alphas_cumprod": alphas.rsqrt(),
        "sqrt_recipm1_alphas_cumprod": (1 / alphas - 1).sqrt(),
        "posterior_variance": variance,
        "posterior_log_variance_clipped": variance.clamp(min=1e-20).log(),
        "posterior_mean_coef1": betas * before.sqrt() / (1 - alphas),
        "posterior_mean_coef2": (1 - before) * (1 - betas).sqrt() / (1 - alphas),
    }
    return {k: v.float() for k, v in found.items()}


def yaml_text() -> str:
    """Source: configs/stable-diffusion/v1-inference.yaml; only the widths, the image size and the
    CLIP folder differ.
    """
    return f"""model:
  base_learning_rate: 1.0e-04
  target: ldm.models.diffusion.ddpm.LatentDiffusion
  params:
    linear_start: 0.00085
    linear_end: 0.0120
    num_timesteps_cond: 1
    log_every_t: 200
    timesteps: 1000
    first_stage_key: "jpg"
    cond_stage_key: "txt"
    image_size: {NATIVE // 8}
    channels: 4
    cond_stage_trainable: false
    conditioning_key: crossattn
    monitor: val/loss_simple_ema
    scale_factor: {SCALE}
    use_ema: False

    unet_config:
      target: ldm.modules.diffusionmodules.openaimodel.UNetModel
      params:
        image_size: {NATIVE // 8}
        in_channels: 4
        out_channels: 4
        model_channels: {UNET["model_channels"]}
        attention_resolutions: [4, 2, 1]
        num_res_blocks: {UNET["num_res_blocks"]}
        channel_mult: {list(UNET["channel_mult"])}
        num_heads: {UNET["num_heads"]}
        use_spatial_transformer: True
        transformer_depth: 1
        context_dim: {UNET["context_dim"]}
        use_checkpoint: False
        legacy: False

    first_stage_config:
      target: ldm.models.autoencoder.AutoencoderKL
      params:
        embed_dim: 4
        monitor: val/rec_loss
        ddconfig:
          double_z: true
          z_channels: 4
          resolution: {NATIVE}
          in_channels: 3
          out_ch: 3
          ch: {VAE["ch"]}
          ch_mult: {list(VAE["ch_mult"])}
          num_res_blocks: {VAE["num_res_blocks"]}
          attn_resolutions: []
          dropout: 0.0
        lossconfig:
          target: torch.nn.Identity

    cond_stage_config:
      target: ldm.modules.encoders.modules.FrozenCLIPEmbedder
      params:
        version: clip
"""


def write_clip_config(folder: Path) -> None:
    """What CLIPTextConfig.from_pretrained and CLIPTextModel read."""
    values = {
        "architectures": ["CLIPTextModel"],
        "model_type": "clip_text_model",
        **TEXT,
        "layer_norm_eps": 1e-5,
        "attention_dropout": 0.0,
        "initializer_factor": 1.0,
        "initializer_range": 0.02,
        "bos_token_id": 49406,
        "eos_token_id": 49407,
        "pad_token_id": 1,
        "torch_dtype": "float32",
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def weights(
    store: Store, base: Path | None = None
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """U-Net, text encoder and VAE as shipped: moving averages, the VAE's decoder from its own stage
    when that has run.

    base: the checkpoint from which a training of the VAE's decoder alone went on; its U-Net and its
        text encoder, which that leaves as they are, are taken.
    Raises: SystemExit, when a stage has not run yet, or the base's U-Net knows other latents.
    """
    unet = store.load("unet")
    vae = store.load("vae_frozen")
    decoder = store.load("decoder")
    if base and unet is None and decoder is not None:
        before = base_vae(base)
        check_same_base(decoder, fingerprint(before))
        encoding = [key for key in before if key.startswith(("encoder.", "quant_conv."))]
        if any(not torch.equal(before[key], decoder["ema"][key].cpu()) for key in encoding):
            raise SystemExit(
                f"{store.folder}: found a VAE whose encoder went on too, expected {base}'s; train"
                " the stage unet on its latents first"
            )
        own, text = UNet(), new_text_encoder()
        load_base(base, own, text)
        return own.state_dict(), text.state_dict(), decoder["ema"]
    if unet is None or vae is None:
        raise SystemExit(f"{store.folder}: the stages vae and unet have not both run here")
    return unet["ema"], unet["text_ema"], decoder["ema"] if decoder else vae


def unet_steps(store: Store, base: Path | None) -> str:
    """How long the U-Net has been trained, as the file's metadata has it."""
    state = store.load("unet")
    if state is not None:
        return str(state["step"])
    from safetensors import safe_open

    with safe_open(base, "pt") as file:
        return str((file.metadata() or {}).get("unet_steps", ""))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--state", type=Path, default=default_state())
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument(
        "--base", type=Path, help="where the VAE's decoder alone went on from this checkpoint"
    )
    parser.add_argument("--only", choices=("all", "config", "checkpoint", "tagger"), default="all")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    write_clip_config(given.out / "clip")
    if given.only in ("all", "checkpoint"):
        from safetensors.torch import save_file

        store = Store(given.state)
        state = ldm_state(*weights(store, given.base))
        metadata = {
            "format": "pt",
            "native_size": str(NATIVE),
            "modelspec.architecture": "stable-diffusion-v1",
            "modelspec.title": "Single-Image LoRA embedded world",
            "modelspec.resolution": f"{NATIVE}x{NATIVE}",
            "singlelora_preset": "embedded",
            "unet_steps": unet_steps(store, given.base),
        }
        save_file(state, given.out / f"{NAME}.safetensors", metadata)
        (given.out / f"{NAME}.yaml").write_text(yaml_text(), encoding="utf-8")
    if given.only in ("all", "tagger"):
        from .networks.train_tagger import export_tagger

        export_tagger(Store(given.state), given.out / "tagger")
    if given.only == "all":
        from .readme import text

        (given.out / "README.md").write_text(text(Store(given.state), given.out), encoding="utf-8")


if __name__ == "__main__":
    main()
