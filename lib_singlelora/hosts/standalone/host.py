"""The host without a WebUI: one checkpoint, drawn with and trained on through diffusers."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import count as count_from
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from ...captions.prompt_language import without_comments, without_extra_networks
from ...errors import CheckpointError, HostBusyError, SettingsError
from ...host import (
    CheckpointInfo,
    GeneratedImage,
    HostPaths,
    HostTagger,
    ImageRequest,
    LoraCard,
    LoraUse,
    TrainingModel,
    Upscaler,
)
from ...imaging.masked_fill import surroundings
from ...jobs import Job, Progress
from ..precision import DTYPES, half_of, has_bf16
from .bundled_embeddings import embedding_tokens
from .checkpoint_loader import CheckpointNetworks, load_networks
from .conditioning import Guidance, guidance
from .inspection import cached_sha256, inspect, legacy_hash
from .merged_loras import MergedLoras
from .prompt_loras import loras_of
from .sampler import SAMPLERS, Img2ImgStart, denoise, make_scheduler, noise_for
from .training_model import (
    StandaloneTrainingModel,
    borrowed_networks,
    placement,
    weighted_modules,
    weights_dtype,
)

log = logging.getLogger(__name__)
PARTS = ("unet", "vae", "text encoder")
LATENT_FILLS = {"latent noise": "noise", "latent nothing": "nothing"}


class StandaloneHost:
    """A Host on diffusers.  The file is inspected at once, the networks are loaded when they are
    first needed.

    Raises: CheckpointError, for a file that cannot be used.
    """

    def __init__(self, checkpoint: Path, device: str | None = None) -> None:
        self._found = inspect(checkpoint)
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._lock = threading.RLock()

    @property
    def name(self) -> str:
        """For the log and the metadata."""
        return "standalone"

    @cached_property
    def checkpoint(self) -> CheckpointInfo:
        """The loaded checkpoint."""
        path = self._found.path
        return CheckpointInfo(
            path.stem,
            path,
            self._found.native_size,
            legacy_hash(path),
            cached_sha256(path),
            self._found.preset,
        )

    def other_checkpoint(self, name: str) -> CheckpointInfo:
        """A file by its path, or by its name beside the loaded one.  Raises: CheckpointError."""
        path = self._file(name)
        found = inspect(path)
        return CheckpointInfo(
            path.stem, path, found.native_size, legacy_hash(path), cached_sha256(path), found.preset
        )

    def _file(self, name: str) -> Path:
        beside = self._found.path.parent
        for path in (
            Path(name).expanduser(),
            *(beside / f"{name}{suffix}" for suffix in ("", ".safetensors", ".ckpt")),
        ):
            if path.is_file():
                return path.resolve()
        raise CheckpointError(
            f"{name}: found no such checkpoint, expected a file, or the name of one in {beside};"
            " check the path"
        )

    @contextmanager
    def drawing_with(self, name: str) -> Iterator[None]:
        """Both checkpoints are in memory while inside.  Raises: CheckpointError."""
        if self._file(name) == self._found.path.resolve():
            yield
            return
        loaded = ("checkpoint", "networks", "_loras")
        kept: dict[str, object] = {
            key: self.__dict__.pop(key) for key in loaded if key in self.__dict__
        }
        found, self._found = self._found, inspect(self._file(name))
        try:
            yield
        finally:
            for key in loaded:
                self.__dict__.pop(key, None)
            self.__dict__.update(kept)
            self._found = found

    @property
    def paths(self) -> HostPaths:
        """No folders of its own."""
        return HostPaths()

    @property
    def samplers(self) -> Sequence[str]:
        """Names that a request may ask for."""
        return tuple(SAMPLERS)

    def taggers(self) -> Sequence[HostTagger]:
        """It has none."""
        return ()

    def upscalers(self) -> Sequence[Upscaler]:
        """None."""
        return ()

    @contextmanager
    def exclusive(self, job: Job) -> Iterator[None]:
        """Hold the host.  Raises: HostBusyError, when another thread does."""
        if not self._lock.acquire(blocking=False):
            raise HostBusyError(
                f"{job.title}: the host is busy, expected it to be free; wait for the other job or"
                " cancel it"
            )
        try:
            yield
        finally:
            self._lock.release()

    def mirror(self, job: Job, progress: Progress) -> None:
        """There is no other display."""

    def publish(self, card: LoraCard) -> None:
        """Files are used by their paths here."""

    @cached_property
    def networks(self) -> CheckpointNetworks:
        """The networks on their device: bf16 on a GPU that has it, else fp16 (the VAE in fp32);
        fp32 on the CPU.
        """
        return self._loaded(torch.float32 if self._device == "cpu" else half_of(self._device))

    def _loaded(self, dtype: torch.dtype) -> CheckpointNetworks:
        networks = load_networks(self._found)
        if self._device != "cpu" or dtype != torch.float32:
            networks.unet.to(self._device, dtype)
            networks.text.to(self._device, dtype)
            networks.vae.to(self._device)
        return networks

    @cached_property
    def _loras(self) -> MergedLoras:
        return MergedLoras(weighted_modules(self.networks))

    @contextmanager
    def open_for_training(self, precision: str = "auto") -> Iterator[TrainingModel]:
        """Lend the networks without any LoRA applied."""
        self._loras.remove()
        own = weights_dtype(self.networks)
        wanted = DTYPES.get(precision, own)
        if (
            wanted == torch.bfloat16
            and torch.device(self._device).type == "cuda"
            and not has_bf16(self._device)
        ):
            log.warning(
                "training.precision=bf16: this GPU has no bf16 and emulates it, which is slow; fp16"
                " suits it"
            )
        with (
            self._lying_in(wanted) as networks,
            borrowed_networks(networks, self._device) as places,
        ):
            yield StandaloneTrainingModel(networks, self._device, wanted, places)

    @contextmanager
    def _lying_in(self, wanted: torch.dtype) -> Iterator[CheckpointNetworks]:
        """Networks whose weights lose nothing in a precision.

        Halved weights are no help to fp32, nor bf16's to fp16: the file is read again for the time
        of the training, and the networks that draw wait on the CPU.
        """
        own = self.networks
        if weights_dtype(own) in (wanted, torch.float32):
            yield own  # fp32 weights under autocast, on a CPU
            return
        waiting = placement(own, self._device)
        with waiting.kept():
            waiting.set_aside(*PARTS)
            fresh = self._loaded(wanted)
            try:
                yield fresh
            finally:
                placement(fresh, self._device).set_aside(*PARTS)  # both have no room there

    def generate(self, request: ImageRequest, job: Job) -> list[GeneratedImage]:
        """Draw one picture per seed, one after another, so that a picture does not depend on its
        company.

        The prompts are written in the WebUI's language (`captions/prompt_language.py`).
        Raises: JobCancelled, SettingsError (unknown sampler, a size that is no multiple of 8, a
        mistaken prompt), LoraFileError.
        """
        if request.sampler not in SAMPLERS:
            raise SettingsError(
                f"sampler: found {request.sampler!r}, expected one of {', '.join(SAMPLERS)}"
            )
        if request.steps < 1:
            raise SettingsError(f"steps: found {request.steps}, expected at least 1")
        if request.width % 8 or request.height % 8 or min(request.width, request.height) < 8:
            raise SettingsError(
                f"size: found {request.width}x{request.height}, expected multiples of 8"
            )
        prompt, found = without_extra_networks(without_comments(request.prompt))
        self._loras.apply((*request.loras, *loras_of(found, request, self._found.path)))
        networks, outer = self.networks, job.view().progress
        with torch.inference_mode():
            with embedding_tokens(
                networks.text, networks.tokenizer, self._loras.embeddings
            ) as words:
                texts = guidance(
                    networks.text,
                    networks.tokenizer,
                    prompt,
                    without_comments(request.negative_prompt),
                    request.clip_skip,
                    request.steps,
                    self._device,
                    words,
                )
            return [
                self._draw(request, seed, texts, index, job, outer)
                for index, seed in enumerate(request.seeds)
            ]

    def _draw(
        self,
        request: ImageRequest,
        seed: int,
        texts: Guidance,
        index: int,
        job: Job,
        outer: Progress,
    ) -> GeneratedImage:
        networks, count = self.networks, len(request.seeds)
        scheduler = make_scheduler(
            request.sampler,
            networks.beta_start,
            networks.beta_end,
            len(networks.alphas_cumprod),
            networks.prediction,
        )
        noise, generators = noise_for([seed], (4, request.height // 8, request.width // 8))

        steps_done = count_from(0)

        def guided(latents: Tensor, timestep: Tensor) -> Tensor:
            dtype = next(networks.unet.parameters()).dtype

            def unet(noisy: Tensor, context: Tensor) -> Tensor:
                answer: Tensor = networks.unet(noisy.to(dtype), timestep, context.to(dtype)).sample
                return answer.float()

            return texts.predict(unet, latents, next(steps_done), request.cfg_scale)

        def each(done: int, total: int) -> None:
            job.raise_if_cancelled()
            which = f"picture {index + 1} of {count}, " if count > 1 else ""
            message = f"{outer.message}; {which}step {done} of {total}".removeprefix("; ")
            if outer.stage:
                job.report(Progress(outer.stage, outer.done, outer.total, message))
            else:
                job.report(Progress("generate", index * total + done, count * total, message))

        latents = denoise(
            scheduler,
            guided,
            noise.to(self._device),
            generators,
            request.steps,
            self._start(request),
            each,
        )
        decoded = networks.vae.decode(latents.float() / networks.scale).sample[0]
        image = Image.fromarray(
            ((decoded / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
        )
        if request.image is not None and request.mask is not None:
            image = _paste_back(image, request.image, request.mask)
        return GeneratedImage(image, seed, self._parameters(request, seed))

    def _start(self, request: ImageRequest) -> Img2ImgStart | None:
        if request.image is None:
            return None
        size = (request.width, request.height)
        picture = request.image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        if request.fill == "fill" and request.mask is not None:
            picture = surroundings(
                picture, request.mask.convert("L").resize(size, Image.Resampling.LANCZOS)
            )
        pixels = torch.from_numpy(np.asarray(picture, dtype=np.float32) / 127.5 - 1).permute(
            2, 0, 1
        )[None]
        latents = (
            self.networks.vae.encode(pixels.to(self._device)).latent_dist.mode()
            * self.networks.scale
        )
        mask = None
        if request.mask is not None:
            small = request.mask.convert("L").resize(
                (size[0] // 8, size[1] // 8), Image.Resampling.BOX
            )
            # Any cell that the mask touches is redrawn; the exact edge is drawn when the original
            # is pasted back.
            mask = torch.from_numpy((np.asarray(small) > 8).astype(np.float32))[None, None].to(
                self._device
            )
        return Img2ImgStart(latents, request.denoise, mask, LATENT_FILLS.get(request.fill, ""))

    def _parameters(self, request: ImageRequest, seed: int) -> str:
        """The text that the WebUI's PNG Info reads."""
        tags = "".join(f" <lora:{use.path.stem}:{_strengths(use)}>" for use in request.loras)
        fields = {
            "Steps": request.steps,
            "Sampler": request.sampler,
            "CFG scale": f"{request.cfg_scale:g}",
            "Seed": seed,
            "Size": f"{request.width}x{request.height}",
            "Model hash": self.checkpoint.sha256[:10],
            "Model": self.checkpoint.name,
        }
        if request.image is not None:
            fields["Denoising strength"] = f"{request.denoise:g}"
        if request.clip_skip > 1:
            fields["Clip skip"] = request.clip_skip
        if request.mask is not None:
            fields["Masked content"] = request.fill
        negative = (
            f"\nNegative prompt: {request.negative_prompt}" if request.negative_prompt else ""
        )
        return f"{request.prompt}{tags}{negative}\n" + ", ".join(
            f"{key}: {_quoted(value)}" for key, value in fields.items()
        )


def _strengths(use: LoraUse) -> str:
    """As in the WebUI's `<lora:NAME:both>` and `<lora:NAME:text encoder:U-Net>`."""
    return f"{use.unet:g}" if use.unet == use.text_encoder else f"{use.text_encoder:g}:{use.unet:g}"


def _quoted(value: object) -> str:
    """A field's value, as a JSON string where it would break the list of fields.

    Source: AUTOMATIC1111 1.10.1, modules/infotext_utils.py, quote.
    """
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if any(mark in text for mark in ",:\n") else text


def _paste_back(image: Image.Image, original: Image.Image, mask: Image.Image) -> Image.Image:
    """The original outside the mask, with a soft edge of a pixel or two inside it."""
    own = original.convert("RGB").resize(image.size, Image.Resampling.LANCZOS)
    hole = mask.convert("L").resize(image.size, Image.Resampling.LANCZOS)
    soft = hole.filter(ImageFilter.GaussianBlur(max(1, image.width // 256)))
    return Image.composite(
        image, own, Image.fromarray(np.minimum(np.asarray(soft), np.asarray(hole)))
    )
