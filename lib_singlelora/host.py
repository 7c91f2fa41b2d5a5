"""The two ports, Host and TrainingModel: all that the core knows of a host.

A host draws pictures with the checkpoint it has loaded, and lends that checkpoint's networks for
training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from PIL import Image

from .families.family import Family, Prediction
from .families.quality import NO_TAGS, QualityTags
from .families.sd1 import SD1
from .jobs import Job, Progress
from .settings.training import DEFAULT_PRESET

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from .naming.blocks import BlockLayout

Fill = Literal["fill", "original", "latent noise", "latent nothing"]
Control = Literal["inpaint", "reference"]
Part = Literal["unet", "vae", "text encoder"]  # what of a checkpoint a training may do without
NOTHING_TO_MEND = "found nothing to mend: the checkpoint in use is taken for what it is"


@dataclass(frozen=True)
class LoraUse:
    """A LoRA file and the strengths at which it is applied."""

    path: Path
    unet: float = 1.0
    text_encoder: float = 1.0


@dataclass(frozen=True)
class ControlUnit:
    """A ControlNet that steers a picture.

    kind: inpaint, by a model that sees the picture and its mask; or reference, by the features of
        another picture.
    weight: 0 to 2.
    image: RGB, of a reference.
    """

    kind: Control
    weight: float = 1.0
    image: Image.Image | None = None


@dataclass(frozen=True)
class ImageRequest:
    """A request for pictures, one per seed.

    seeds: 0 to 2**32 - 1.
    width, height: pixels, multiples of 8; an `image` is resized to them.
    image: makes it img2img.
    mask: L, white is redrawn; with an `image`, makes it inpainting.
    denoise: denoising strength, 0 to 1; of img2img and inpainting.
    fill: what the masked part starts from, in the WebUI's words: the colours around it, the
        picture itself, noise, or nothing (latents of zero).
    hard_edge: the picture outside the mask comes back up to the mask's very edge, without a soft
        one of the host's, for a caller who makes the seam.
    controls: of the kinds that the host has; of img2img and inpainting.
    prediction: what the U-Net's output means; None is what the host has read of the checkpoint.
    zero_terminal_snr: the schedule ends in pure noise, whether or not the checkpoint says so.
    fast_convolutions: the host may take such as end in other last bits.
    """

    prompt: str
    seeds: tuple[int, ...]
    width: int
    height: int
    negative_prompt: str = ""
    sampler: str = "DPM++ 2M Karras"
    steps: int = 20
    cfg_scale: float = 7.0
    clip_skip: int = 1
    loras: tuple[LoraUse, ...] = ()
    image: Image.Image | None = None
    mask: Image.Image | None = None
    denoise: float = 0.75
    fill: Fill = "original"
    hard_edge: bool = False
    controls: tuple[ControlUnit, ...] = ()
    prediction: Prediction | None = None
    zero_terminal_snr: bool = False
    fast_convolutions: bool = True

    def as_mark(self) -> dict[str, Any]:
        """What a picture shows, as plain values: all but how its last bits come about."""
        values = asdict(self)
        del values["fast_convolutions"]
        return values


@dataclass(frozen=True)
class GeneratedImage:
    """A picture and how it was drawn.

    parameters: what draws it again, in the text form of the WebUI's PNG Info.
    skipped: the user pressed Skip, so the picture is unfinished; the next one is drawn.
    """

    image: Image.Image
    seed: int
    parameters: str
    skipped: bool = False


Keep = Callable[[int, GeneratedImage], None]


@dataclass(frozen=True)
class CheckpointInfo:
    """A checkpoint of the host's.

    native_size: pixels of the side that it was trained at.
    legacy_hash: 8 hex digits, as `ss_sd_model_hash` in LoRA metadata.
    sha256: of the file, as `ss_new_sd_model_hash`.
    preset: the training preset that the file names, else the one for checkpoints of full size.
    family: what is true of every checkpoint of its kind.
    prediction: what its U-Net's output means.
    title: that its metadata has; "" where it has none.
    quality: tags that go into every prompt drawn with it.
    description: its family and what it predicts, and where that was read; for the log.
    declared: the settings by which it predicts other than was read; "" where there are none.
    """

    name: str
    path: Path
    native_size: int = 512
    legacy_hash: str = ""
    sha256: str = ""
    preset: str = DEFAULT_PRESET
    family: Family = SD1
    description: str = ""
    prediction: Prediction = "epsilon"
    title: str = ""
    quality: QualityTags = NO_TAGS
    declared: str = ""

    @property
    def drawing_mark(self) -> str:
        """What pictures depend on: the file, the quality tags and the settings of prediction.

        The last two where there are any.
        """
        marks = [self.sha256]
        if self.quality:
            marks += [self.quality.positive, self.quality.negative, self.quality.place]
        if self.declared:
            marks.append(self.declared)
        return "\n".join(marks)


@dataclass(frozen=True)
class CheckpointProblem:
    """Why the host takes the checkpoint in use for what it is not.

    text: what was found, what was expected and what to do.
    remedy: what `Host.mend_checkpoint` does, as a button says it; "" where only the user can.
    """

    text: str
    remedy: str = ""


@dataclass(frozen=True)
class AskedPreset:
    """The training preset that the checkpoint in use asks for.

    name: the default one where its metadata names none.
    checkpoint: the checkpoint's name, "" where there is none.
    """

    name: str = DEFAULT_PRESET
    checkpoint: str = ""


@dataclass(frozen=True)
class LoraCard:
    """A trained file as the host's own list of LoRAs shows it.

    name: what a prompt calls it, unique over all workspaces.
    folder: the subfolder that it goes into.
    trigger: the words that call the character.
    preview: a picture.
    """

    path: Path
    name: str
    folder: str
    trigger: str
    description: str
    preview: Path | None = None


@dataclass(frozen=True)
class HostPaths:
    """The host's folders.

    loras: its LoRAs.
    taggers: folders that may hold WD taggers.
    wildcards: folders of `.txt` files.
    downloads: where a downloaded tagger goes; None leaves that to us.
    presets: folders that may hold an `lbwpresets.txt`.
    """

    loras: Path | None = None
    taggers: tuple[Path, ...] = ()
    wildcards: tuple[Path, ...] = ()
    downloads: Path | None = None
    presets: tuple[Path, ...] = ()


class Upscaler(Protocol):
    """Enlarges a picture."""

    name: str

    def upscale(self, image: Image.Image, scale: float) -> Image.Image:
        """The picture enlarged by scale (> 1)."""
        ...


class HostTagger(Protocol):
    """A tagger that the host has.

    name: what `caption.tagger` calls it.
    """

    name: str

    def tag(self, images: Sequence[Image.Image]) -> list[dict[str, float]]:
        """Probability (0 to 1) of each tag, as the tagger spells it, for each picture.

        Raises:
            TaggerError: the host cannot load it.
        """
        ...


@dataclass(frozen=True)
class Conditioning:
    """Encoded prompts.

    context: (B, 77k, D).
    pooled: (B, P), of the prompts' first chunk, where the family has it; else None.
    sizes: (B, 6), pixels: original height and width, crop top and left, target height and width;
        read only where the family takes sizes. None is a whole picture of the size that is
        predicted, as at inference.
    """

    context: Tensor
    pooled: Tensor | None = None
    sizes: Tensor | None = None

    def tensors(self) -> list[Tensor]:
        """Those that there are."""
        return [value for value in vars(self).values() if value is not None]

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Conditioning:
        """With another tensor in place of each, such as one on another device."""
        return Conditioning(
            change(self.context),
            None if self.pooled is None else change(self.pooled),
            None if self.sizes is None else change(self.sizes),
        )


class TrainingModel(Protocol):
    """The networks of the loaded checkpoint, frozen, ready to take LoRA branches.

    layout: names and widths of the networks' blocks.
    prediction: what the U-Net's output means.
    alphas_cumprod: (T,).
    recording_obstacle: why a CUDA graph may not hold `predict`; "" where that launches the same
        kernels for the same shapes and does nothing else.  Asked before branches are attached.
    """

    layout: BlockLayout
    prediction: Literal["epsilon", "v_prediction"]
    alphas_cumprod: Tensor

    @property
    def recording_obstacle(self) -> str:
        """Why a CUDA graph may not hold `predict`, or ""."""
        ...

    @property
    def device(self) -> str:
        """PyTorch's name of the device on which the networks compute."""
        ...

    @property
    def compute_dtype(self) -> torch.dtype:
        """The dtype of forward and backward passes; float16 needs loss scaling."""
        ...

    def set_aside(self, *parts: Part) -> None:
        """Move parts that the next steps do not need off the GPU.

        They come back when they are needed, and at the end of the training; on a CPU nothing moves.
        """
        ...

    def encode_images(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to scaled latents (B, 4, H/8, W/8): the distribution's mode.

        Raises:
            TrainingError: the VAE gives NaN.
        """
        ...

    def encode_prompts(self, prompts: Sequence[str], clip_skip: int) -> Conditioning:
        """Prompts to conditioning without sizes.

        Gradients flow into LoRA branches on the text encoders.
        clip_skip: ignored by a family that takes a fixed layer.
        """
        ...

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Scaled latents (B, 4, h, w) to (B, 3, 8h, 8w) in [-1, 1].

        Raises:
            TrainingError: the VAE gives NaN.
        """
        ...

    def count_tokens(self, prompt: str) -> int:
        """CLIP tokens of a prompt, without those of start and end."""
        ...

    def token_positions(self, prompt: str, part: str) -> list[int]:
        """Where the tokens of a part of a prompt first lie in the prompt's context, 0 to 77k-1.

        None if they are not there, one after the other.
        """
        ...

    def predict(self, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        """The U-Net's output for noisy latents (B, 4, h, w) at timesteps (B,)."""
        ...

    def targets(self) -> Iterator[tuple[str, nn.Module]]:
        """(canonical name, module) of every Linear and Conv2d of the U-Net and the text encoder."""
        ...

    def blocks(self) -> Iterator[nn.Module]:
        """The modules that gradient checkpointing may compute again in the backward pass.

        The U-Net's residual and attention blocks and the text encoder's layers.
        """
        ...


class Host(Protocol):
    """A program with a checkpoint loaded."""

    @property
    def name(self) -> str:
        """For the log and the metadata."""
        ...

    @property
    def checkpoint(self) -> CheckpointInfo:
        """The loaded checkpoint."""
        ...

    @property
    def asked_preset(self) -> AskedPreset:
        """The preset of the checkpoint that is loaded, or would be for the next job.

        Pages ask every second: nothing is loaded or hashed for it, and nothing is raised.
        """
        ...

    @property
    def checkpoint_problem(self) -> CheckpointProblem | None:
        """Why the checkpoint in use is taken for what it is not; None where it is not.

        Pages ask every second: nothing is loaded for it, and nothing is raised.
        """
        ...

    def mend_checkpoint(self) -> str:
        """Do the problem's remedy; a line for the user.

        Raises:
            CheckpointError: there is nothing to mend, or only the user can.
            WorkspaceError: the checkpoint's folder cannot be written.
        """
        ...

    def other_checkpoint(self, name: str) -> CheckpointInfo:
        """Another checkpoint of the host's, by its name, or by its path where the host takes files.

        Raises:
            CheckpointError: there is none, or it cannot be used.
        """
        ...

    def drawing_with(self, name: str) -> AbstractContextManager[None]:
        """Another checkpoint is the loaded one while inside; the one before is back after the exit.

        Raises:
            CheckpointError: there is none, or it cannot be used.
        """
        ...

    @property
    def title(self) -> str:
        """The program's name, for people."""
        ...

    @property
    def paths(self) -> HostPaths:
        """The host's folders."""
        ...

    @property
    def samplers(self) -> Sequence[str]:
        """Names that `ImageRequest.sampler` may take."""
        ...

    def generate(self, request: ImageRequest, job: Job) -> list[GeneratedImage]:
        """Draw one picture per seed; progress by picture and step goes to the job.

        Several are drawn at once where that is faster, as in `generate_batch`.

        Raises:
            JobCancelled: inside a picture too.
        """
        ...

    def generate_batch(
        self, requests: Sequence[ImageRequest], job: Job, keep: Keep | None = None
    ) -> list[GeneratedImage]:
        """Draw pictures of several prompts, one per request; several at once where that is faster.

        A picture is the same as alone, but for the last bits of the arithmetic.

        requests: of one seed each, that differ in prompt, negative prompt, seed and LoRAs only.
        keep: called with the number of a request and its picture, as soon as those are drawn that
            were drawn with it.

        Raises:
            JobCancelled: inside a picture too.
        """
        ...

    def batch_limit(self, width: int, height: int) -> int:
        """How many pictures of so many pixels the host draws at once, at least 1."""
        ...

    @property
    def mixes_loras(self) -> bool:
        """Whether pictures with different LoRAs are drawn at once, else one LoRA after another.

        That is of the checkpoint that is drawn with now.
        """
        ...

    def open_for_training(
        self, precision: str | None = None
    ) -> AbstractContextManager[TrainingModel]:
        """Lend the networks for training; after the exit everything is what it was.

        precision: `training.precision`; auto takes what is quickest on the host's device, where
            that may be measured.  None takes the networks as they lie.

        Raises:
            CheckpointError: the checkpoint cannot be trained.
            TrainingError: the host cannot compute in that precision.
        """
        ...

    def exclusive(self, job: Job) -> AbstractContextManager[None]:
        """Hold the host for a job; the same thread may enter again.

        Raises:
            HostBusyError: another job holds it, where the host's users do not expect it to wait.
            JobCancelled: while it waits.
        """
        ...

    def mirror(self, job: Job, progress: Progress) -> None:
        """Show progress where the host shows its own.

        Cancels the job when the user told the host to stop.
        """
        ...

    def publish(self, card: LoraCard) -> None:
        """Make a file known to prompts at once; for a file that is known, renew what is shown."""
        ...

    def upscalers(self) -> Sequence[Upscaler]:
        """The host's upscalers, best first; the first one works without a download."""
        ...

    def controls(self) -> Sequence[Control]:
        """The kinds of ControlNet units that a request may have; none without ControlNet."""
        ...

    def taggers(self) -> Sequence[HostTagger]:
        """The host's taggers; they are used only where the user names them."""
        ...
