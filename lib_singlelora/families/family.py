"""A model family: the facts that its checkpoints share, whatever host loads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .layout import BlockLayout

Prediction = Literal["epsilon", "v_prediction"]
# Prefixes of a checkpoint's keys
UNET = "model.diffusion_model."
VAE = "first_stage_model."

SIZE_NUMBERS = 6  # original height and width, crop top and left, target height and width
SIZE_WIDTH = 256  # of each number's sinusoidal embedding


@dataclass(frozen=True)
class TextEncoder:
    """A text encoder of a family.

    prefix: of its modules' canonical names.
    kohya: of kohya's stems.
    layers, width: of the full size.
    keys: prefix of its tensors in a checkpoint.
    dialect: how those are named: transformers' CLIPTextModel, or open_clip, whose q, k and v lie
        fused in one tensor.
    skipped: the layer that is taken, from the end; 1 is the last one.
    unused: layers at the end that no host computes and no trainer trains.
    follows_clip_skip: True if the setting takes another layer than `skipped`.
    final_norm: True if the final layer norm is applied to that layer.
    pad: token id behind a prompt's end; None repeats the end token.
    pooled: True if its projected end token, of a prompt's first chunk, is conditioning too.
    activation: of its MLPs, in transformers' words.
    embedding: what a file calls a textual inversion's vectors for it.
    """

    prefix: str
    kohya: str
    layers: int
    width: int
    keys: str
    dialect: Literal["transformers", "open_clip"] = "transformers"
    skipped: int = 1
    unused: int = 0
    follows_clip_skip: bool = False
    final_norm: bool = False
    pad: int | None = None
    pooled: bool = False
    activation: Literal["quick_gelu", "gelu"] = "quick_gelu"
    embedding: str = "clip_l"

    @property
    def names(self) -> tuple[str, str, int, int]:
        """Its entry in `BlockLayout.text`."""
        return self.prefix, self.kohya, self.layers, self.width


@dataclass(frozen=True)
class Stranger:
    """A kind of file that cannot be used.

    kind: what was found, in words.
    mark: how it is known: a pattern that one of its keys matches, from the beginning.
    advice: what the user can do.
    """

    kind: str
    mark: str
    advice: str = "this program cannot train it: choose a checkpoint of another base model"


@dataclass(frozen=True)
class Family:
    """What is true of every checkpoint of a family.

    title: for people.
    text_encoders: in the order in which their outputs are joined.
    native_size: pixels of the side that its checkpoints are trained at, unless they say otherwise.
    vae_scale: latents are the VAE's times this.
    heads: attention heads of the U-Net's blocks, 0 where `head_channels` gives them.
    head_channels: channels of each head.
    vae_overflows: True if the VAE gives NaN in fp16 on many pictures.
    takes_sizes: True if a picture's sizes are conditioning (`SIZE_NUMBERS` of them).
    zeroes_empty_negative: True if an empty negative prompt is conditioning of zeros, not the
        encoding of an empty text.
    prediction: what the U-Net's output means where nothing in the file says otherwise.
    measures_prediction: True if its files say nothing of that and predict either, so that a loaded
        network is asked.
    checkpointing_below: GPUs with less memory than this train with gradient checkpointing, bytes.
    preset: the training preset that suits its checkpoints of full size.
    v_preset: the same for those that predict v; '' for `preset`.
    base_model_version: `ss_base_model_version` of its LoRA files.
    architecture: `modelspec.architecture` of its LoRA files.
    marks: a checkpoint that has keys with each of these prefixes is of the family.
    relatives: checkpoints that were published beside the family's, and are none of it.
    essentials: keys that every full checkpoint has; `kind` is what a file without `mark` is.
    architecture_v: the same where the checkpoint predicts v; '' for no other.
    implementation: `modelspec.implementation` of its LoRA files.
    is_v2: `ss_v2` of its LoRA files.
    kohya_switch: the box that chooses it in kohya_ss; '' for none.
    kohya_program: the program of sd-scripts that trains it.
    config: what the architecture's file is called where people know it, for messages.
    """

    title: str
    layout: BlockLayout
    text_encoders: tuple[TextEncoder, ...]
    native_size: int
    vae_scale: float
    base_model_version: str
    architecture: str
    marks: tuple[str, ...]
    config: str
    heads: int = 0
    head_channels: int = 64
    vae_overflows: bool = False
    takes_sizes: bool = False
    zeroes_empty_negative: bool = False
    prediction: Prediction = "epsilon"
    measures_prediction: bool = False
    checkpointing_below: float = 0.0
    preset: str = "recommended"
    v_preset: str = ""
    relatives: tuple[Stranger, ...] = ()
    essentials: tuple[Stranger, ...] = ()
    architecture_v: str = ""
    implementation: str = "diffusers"
    is_v2: bool = False
    kohya_switch: str = ""
    kohya_program: str = "train_network.py"

    @property
    def name(self) -> str:
        """Such as sdxl; the layout's name too."""
        return self.layout.name

    @property
    def follows_clip_skip(self) -> bool:
        """True if `clip_skip` changes anything."""
        return any(encoder.follows_clip_skip for encoder in self.text_encoders)

    def preset_for(self, prediction: Prediction) -> str:
        """The training preset that suits its checkpoints of full size with this prediction."""
        return (prediction == "v_prediction" and self.v_preset) or self.preset

    def __str__(self) -> str:
        return self.title
