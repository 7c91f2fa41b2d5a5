"""The checkpoint in the program's memory as a TrainingModel, given back bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import TrainingError
from ...host import Conditioning, Part
from .. import placement, precision
from ..size_vector import size_vector
from ..webui_family.loan import frozen, give_memory_back, trim
from .architecture import family_of, layout_of, prediction_of, require_trainable
from .in_place import additions_in_place
from .plain_tensors import plain_tensors
from .program import Program
from .text_encoders import TextEncoders, is_linear

ANOTHER_VAE = "choose another one at the top of the page"


class ForgeTrainingModel:
    """A TrainingModel on the program's own networks; no tensor is copied on a CPU."""

    # It moves weights in the middle of a pass, and extensions patch its networks
    recording_obstacle = "in this program, which was never recorded"

    def __init__(self, program: Program, sd_model: Any, wanted_precision: str = "auto") -> None:
        self._program = program
        self._model = sd_model
        self._family = family_of(sd_model)
        self._own_dtype = program.compute_dtype(sd_model)
        self._dtype = _pass_dtype(wanted_precision, self._own_dtype, program.device)
        self._text = TextEncoders(self._family, program.text_networks(sd_model))
        self._unet: Any = program.unet(sd_model)
        self._places = placement.Placement(program.parts(sd_model), str(program.device))
        self.layout = layout_of(program, sd_model)
        self.prediction = prediction_of(program, sd_model)
        self.alphas_cumprod = program.alphas_cumprod(sd_model).detach().float().cpu().clone()

    @property
    def device(self) -> str:
        """Where the networks compute."""
        return str(self._program.device)

    @property
    def compute_dtype(self) -> torch.dtype:
        """The dtype of a pass."""
        return self._dtype

    @property
    def places(self) -> placement.Placement:
        """Where the parts lie."""
        return self._places

    def set_aside(self, *parts: Part) -> None:
        """Parts to the CPU until they are needed."""
        self._places.set_aside(*parts)

    def encode_images(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to scaled latents (B, 4, H/8, W/8), by the VAE the user chose.

        Raises:
            TrainingError: the VAE gives NaN in fp32 too.
        """
        mode = self._through_vae(lambda values: self._program.encode(self._model, values), pixels)
        trim()  # the VAE's activations, before those of a training come on top
        return self._program.scaled(self._model, mode.float())

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Scaled latents (B, 4, h, w) to (B, 3, 8h, 8w) in [-1, 1].

        Raises:
            TrainingError: the VAE gives NaN in fp32 too.
        """
        latents = self._program.unscaled(self._model, latents)
        pixels = self._through_vae(
            lambda values: self._program.decode(self._model, values), latents
        )
        return pixels.float().clamp(-1, 1)

    def _through_vae(self, call: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
        self._places.bring("vae")
        vae = self._program.vae(self._model)
        return precision.through_vae(vae, call, values, self._program.device, ANOTHER_VAE)

    def count_tokens(self, prompt: str) -> int:
        """CLIP tokens of a prompt, without those of start and end."""
        return self._text.count_tokens(prompt)

    def token_positions(self, prompt: str, part: str) -> list[int]:
        """Where a part of a prompt first lies in its context; none if it is not there."""
        return self._text.token_positions(prompt, part)

    def encode_prompts(self, prompts: Sequence[str], clip_skip: int) -> Conditioning:
        """Prompts to conditioning, without emphasis, as every trainer encodes captions."""
        self._places.bring("text encoder")
        with self._autocast():
            return self._text.encode(prompts, clip_skip, self._program.device)

    def predict(self, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        """The U-Net's output for latents (B, 4, h, w) at timesteps (B,)."""
        device = self._program.device
        noisy = noisy.to(device).float()
        conditioning = conditioning.mapped(lambda each: each.to(device).float())
        vector = size_vector(conditioning, noisy) if self._family.takes_sizes else None
        self._places.bring("unet")
        with self._autocast():
            # In fp32: a cast to the weights' fp16 on the way in is one on the way back, where small
            # gradients would be lost.  The dictionary is new, for the U-Net writes into it.
            prediction: Tensor = self._unet(
                noisy,
                timesteps.to(device).float(),
                context=conditioning.context,
                y=vector,
                transformer_options={},
            )
            return prediction

    def _autocast(self) -> AbstractContextManager[object]:
        """None in fp32: the programs know no autocast, they cast each module's weights."""
        if self._dtype == torch.float32:
            return nullcontext()
        return precision.autocast(self._program.device, self._dtype)

    def targets(self) -> Iterator[tuple[str, nn.Module]]:
        """(canonical name, module) of every Linear and Conv2d of text encoders and U-Net."""
        yield from self._text.targets()
        for name, module in self._unet.named_modules():
            if is_linear(module) or isinstance(module, nn.Conv2d):
                yield name, module

    def blocks(self) -> Iterator[nn.Module]:
        """Residual and attention blocks of the U-Net, layers of the text encoders."""
        for part in (*self._unet.input_blocks, self._unet.middle_block, *self._unet.output_blocks):
            yield from (module for module in part if not isinstance(module, nn.Conv2d))
        yield from self._text.layers()


def _pass_dtype(wanted: str, own: torch.dtype, device: torch.device) -> torch.dtype:
    """The dtype of a training's passes for `training.precision`.

    auto: the program's own, but bf16 in place of fp16 where the GPU has it.

    Raises:
        TrainingError: fp32 is asked for and the program computes in half precision.
    """
    if wanted == "auto":
        return precision.half_of(device) if own == torch.float16 else own
    dtype = precision.DTYPES[wanted]
    if dtype == torch.float32 != own:
        raise TrainingError(
            "training.precision=fp32: found the checkpoint in half precision, as the program loads"
            " it, expected fp32; start it with --all-in-fp32, or set training.precision to auto"
        )
    return dtype


@contextmanager
def borrowed_networks(
    program: Program, sd_model: Any, wanted_precision: str = "auto"
) -> Iterator[ForgeTrainingModel]:
    """The networks, ready to train LoRA branches; after the exit everything is what it was.

    Raises:
        CheckpointError: a checkpoint that cannot be trained.
        TrainingError: the program cannot compute in that precision.
    """
    require_trainable(program, sd_model)  # before anything of the model is touched
    parts = program.parts(sd_model)
    give_memory_back()  # what the last picture left
    with ExitStack() as stack:
        stack.callback(give_memory_back)
        program.take_loras_out(sd_model)
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(plain_tensors(parts.values()))
        model = ForgeTrainingModel(program, sd_model, wanted_precision)
        stack.enter_context(model.places.kept())
        model.places.bring("unet", "vae", "text encoder")
        stack.enter_context(frozen(parts.values()))
        stack.enter_context(program.attention_that_trains())
        stack.enter_context(additions_in_place([parts[name] for name in program.adds_in_place]))
        yield model
