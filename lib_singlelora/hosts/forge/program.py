"""What the lender asks of a program: where its networks are, how it loads and computes them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from modules import sd_models
from torch import Tensor, nn

from .small_family import SmallFamily

Checkpoint = sd_models.CheckpointInfo


@dataclass(frozen=True)
class TextNetwork:
    """A text encoder.

    module: holds all of it.
    tokenizer: transformers' own.
    """

    module: nn.Module
    tokenizer: Any

    @property
    def transformer(self) -> Any:
        """CLIP's modules under transformers' names, `text_model.encoder.layers.0…`."""
        return self.module.transformer


class Program(ABC):
    """Forge, reForge or another of their kind.

    name: for the log and the metadata.
    title: for people.
    adds_in_place: parts whose blocks do, by the names of `parts`.
    """

    name: str
    title: str
    adds_in_place: tuple[str, ...] = ()

    # The checkpoint
    # --------------------------------------------------------------------------------------------

    @abstractmethod
    def loaded(self) -> Any | None:
        """The checkpoint in memory, never loaded for the question; None without one."""

    @abstractmethod
    def chosen(self) -> Checkpoint | None:
        """The checkpoint that the next picture is drawn with; None where there is none."""

    @abstractmethod
    def load(self) -> Any:
        """The chosen checkpoint, loaded unless it is in memory.  Holds the queue's lock.

        Raises:
            CheckpointError: there is none, or it cannot be loaded.
        """

    @abstractmethod
    def drawing_with(self, checkpoint: Checkpoint) -> AbstractContextManager[None]:
        """While inside, pictures are drawn with another checkpoint.

        Raises:
            CheckpointError: it cannot be loaded.
        """

    def complete_picture(self, p: Any) -> None:  # noqa: B027  (nothing to add is no omission)
        """Put what else the program needs into its processing object."""

    @abstractmethod
    def add_family(self, family: SmallFamily) -> None:
        """Have the program recognize checkpoints of these widths; once, however often called."""

    # Its networks
    # --------------------------------------------------------------------------------------------

    @abstractmethod
    def unet(self, sd_model: Any) -> nn.Module:
        """With ldm's names."""

    @abstractmethod
    def vae(self, sd_model: Any) -> nn.Module:
        """The autoencoder."""

    @abstractmethod
    def text_networks(self, sd_model: Any) -> Sequence[TextNetwork]:
        """In the order in which their outputs are joined."""

    def parts(self, sd_model: Any) -> Mapping[str, nn.Module]:
        """The parts that are lent, by the names of `Part`."""
        text = nn.ModuleList(each.module for each in self.text_networks(sd_model))
        return {"unet": self.unet(sd_model), "vae": self.vae(sd_model), "text encoder": text}

    @abstractmethod
    def take_loras_out(self, sd_model: Any) -> None:
        """The checkpoint's own weights, whole and where the program keeps what it does not use.

        The next prompt merges anew what it names.
        """

    @abstractmethod
    def quantization(self, sd_model: Any) -> str:
        """What the U-Net's weights are packed in, such as nf4; '' for plain numbers."""

    @abstractmethod
    def forget_loras(self) -> None:
        """Forget what was read of LoRA files, and have the next prompt merge anew."""

    @abstractmethod
    def attention_that_trains(self) -> AbstractContextManager[None]:
        """While inside, attention has a backward pass."""

    # What they compute
    # --------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the networks compute."""

    @abstractmethod
    def compute_dtype(self, sd_model: Any) -> torch.dtype:
        """The dtype of the U-Net's passes."""

    @abstractmethod
    def prediction_type(self, sd_model: Any) -> str:
        """What the U-Net's output means: epsilon, v_prediction, or what we cannot train."""

    @abstractmethod
    def alphas_cumprod(self, sd_model: Any) -> Tensor:
        """(T,), as pictures are drawn: the last is pure noise where the file says so."""

    @abstractmethod
    def encode(self, sd_model: Any, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to unscaled latents: the distribution's mode."""

    def decode(self, sd_model: Any, latents: Tensor) -> Tensor:
        """Unscaled latents to (B, 3, 8h, 8w) in [-1, 1]."""
        vae: Any = self.vae(sd_model)
        pixels: Tensor = vae.decode(latents)
        return pixels

    @abstractmethod
    def scaled(self, sd_model: Any, latents: Tensor) -> Tensor:
        """Latents as the U-Net takes them, of the VAE's."""

    @abstractmethod
    def unscaled(self, sd_model: Any, latents: Tensor) -> Tensor:
        """The VAE's latents, of those that the U-Net takes."""
