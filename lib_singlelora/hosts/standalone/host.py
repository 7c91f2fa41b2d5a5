"""The host without a WebUI: one checkpoint, which diffusers draws with and which is trained."""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import count as count_from
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from ...captions.prompt_language import without_comments, without_extra_networks
from ...errors import CheckpointError, HostBusyError, SettingsError
from ...host import (
    NOTHING_TO_MEND,
    AskedPreset,
    CheckpointInfo,
    CheckpointProblem,
    Conditioning,
    Control,
    GeneratedImage,
    HostPaths,
    HostTagger,
    ImageRequest,
    Keep,
    LoraCard,
    LoraUse,
    TrainingModel,
    Upscaler,
)
from ...imaging.masked_fill import surroundings
from ...jobs import Job, Progress, in_series
from ..batches import BatchSizes, check_alike, single
from ..precision import DTYPES, half_of, has_bf16
from ..request import check_steps_and_size
from .bundled_embeddings import embedding_tokens
from .checkpoint_loader import CheckpointNetworks, load_networks
from .conditioning import Guidance, guidance, predict
from .cpu_precision import bf16_weights, is_quicker_in_bf16
from .inspection import CheckpointFile, cached_sha256, inspect, legacy_hash
from .loras_by_picture import PassByPicture, Values, can_differ, holds_many
from .merged_loras import MergedLoras
from .prompt_loras import loras_of
from .sampler import SAMPLERS, Img2ImgStart, denoise, make_scheduler, noise_for
from .traced_pass import TracedPass
from .training_model import (
    StandaloneTrainingModel,
    borrowed_networks,
    fast_drawing,
    placement,
    weighted_modules,
    weights_dtype,
)

logger = logging.getLogger(__name__)

PARTS = ("unet", "vae", "text encoder")
# The U-Net's output for rows, their timestep, their conditioning and the picture of each row
Prediction = Callable[[Tensor, Tensor, Conditioning, Sequence[int]], Tensor]
LATENT_FILLS = {"latent noise": "noise", "latent nothing": "nothing"}


class StandaloneHost:
    """A Host on diffusers.

    The file is inspected at once; the networks are loaded when they are first needed.

    Raises:
        CheckpointError: the file cannot be used.
    """

    def __init__(self, checkpoint: Path, device: str | None = None) -> None:
        self._file = inspect(checkpoint)
        self._asked = AskedPreset(self._file.preset, self._file.path.stem)
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._lock = threading.RLock()
        self._batches = BatchSizes(self._device)

    @property
    def name(self) -> str:
        """For the log and the metadata."""
        return "standalone"

    @property
    def title(self) -> str:
        """For people."""
        return "Standalone"

    @cached_property
    def checkpoint(self) -> CheckpointInfo:
        """The loaded checkpoint."""
        if self._file.parameterization.assumed and self._file.family.measures_prediction:
            _ = self.networks  # which are asked what they predict
        return _checkpoint_info(self._file)

    @property
    def asked_preset(self) -> AskedPreset:
        """The preset that the loaded file names; it stays while another one is drawn with."""
        return self._asked

    @property
    def checkpoint_problem(self) -> CheckpointProblem | None:
        """None: what the file says is read from the file."""
        return None

    def mend_checkpoint(self) -> str:
        """Nothing to mend.

        Raises:
            CheckpointError: always.
        """
        raise CheckpointError(NOTHING_TO_MEND)

    def other_checkpoint(self, name: str) -> CheckpointInfo:
        """A file by its path, or by its name beside the loaded one.

        Raises:
            CheckpointError: there is none, or it cannot be used.
        """
        return _checkpoint_info(inspect(self._path_of(name)))

    def _path_of(self, name: str) -> Path:
        folder = self._file.path.parent
        for path in (
            Path(name).expanduser(),
            *(folder / f"{name}{suffix}" for suffix in ("", ".safetensors", ".ckpt")),
        ):
            if path.is_file():
                return path.resolve()
        raise CheckpointError(
            f"{name}: found no such checkpoint, expected a file, or the name of one in {folder};"
            " check the path"
        )

    @contextmanager
    def drawing_with(self, name: str) -> Iterator[None]:
        """Another checkpoint is the loaded one while inside; both are in memory.

        Raises:
            CheckpointError: there is none, or it cannot be used.
        """
        path = self._path_of(name)
        if path == self._file.path.resolve():
            yield
            return
        file = inspect(path)
        loaded = ("checkpoint", "networks", "_loras", "_predicted")  # the cached properties
        kept: dict[str, object] = {
            key: self.__dict__.pop(key) for key in loaded if key in self.__dict__
        }
        file_before = self._file
        self._file = file
        try:
            yield
        finally:
            for key in loaded:
                self.__dict__.pop(key, None)
            self.__dict__.update(kept)
            self._file = file_before

    @property
    def paths(self) -> HostPaths:
        """None: this host has no folders."""
        return HostPaths()

    @property
    def samplers(self) -> Sequence[str]:
        """Names that a request may use."""
        return tuple(SAMPLERS)

    def taggers(self) -> Sequence[HostTagger]:
        """None."""
        return ()

    def upscalers(self) -> Sequence[Upscaler]:
        """None."""
        return ()

    def controls(self) -> Sequence[Control]:
        """None."""
        return ()

    @contextmanager
    def exclusive(self, job: Job) -> Iterator[None]:
        """Hold the host.

        Raises:
            HostBusyError: another thread holds it.
        """
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
        """The networks on their device.

        bf16 on a GPU that has it, else fp16, with the VAE in fp32; on a CPU all in fp32.
        """
        return self._load(torch.float32 if self._device == "cpu" else half_of(self._device))

    def _load(self, dtype: torch.dtype) -> CheckpointNetworks:
        networks = load_networks(self._file, dtype)
        if networks.parameterization is not None:  # where the networks had to be asked
            self._file = replace(self._file, parameterization=networks.parameterization)
        logger.info("%s: %s", self._file.path.name, self._file.description)
        if self._device != "cpu" or dtype != torch.float32:
            networks.unet.to(self._device, dtype)
            for module in networks.text_modules():
                module.to(self._device, dtype)
            networks.vae.to(self._device)
        return networks

    @cached_property
    def _loras(self) -> MergedLoras:
        return MergedLoras(weighted_modules(self.networks), self._file.family)

    @cached_property
    def _predicted(self) -> dict[bool, TracedPass]:
        """With fast convolutions and without: a trace is of one of them."""
        return {is_fast: TracedPass(self.networks.unet) for is_fast in (True, False)}

    @contextmanager
    def open_for_training(self, precision: str | None = None) -> Iterator[TrainingModel]:
        """Lend the networks for training, without any LoRA applied."""
        self._loras.remove()
        dtype = DTYPES.get(precision or "", weights_dtype(self.networks))
        if precision == "auto" and self._is_quicker_in_bf16:
            dtype = torch.bfloat16
        on_gpu = torch.device(self._device).type == "cuda"
        if dtype == torch.bfloat16 and on_gpu and not has_bf16(self._device):
            logger.warning(
                "training.precision=bf16: this GPU has no bf16 and emulates it, which is slow; fp16"
                " suits it"
            )
        with (
            self._networks_for(dtype) as networks,
            bf16_weights(networks.unet, self._device, dtype),
            borrowed_networks(networks, self._device) as places,
        ):
            yield StandaloneTrainingModel(networks, self._device, dtype, places)

    @cached_property
    def _is_quicker_in_bf16(self) -> bool:
        """Whether a training takes less time in bf16 here, measured once."""
        on_cpu = torch.device(self._device).type == "cpu"
        return on_cpu and is_quicker_in_bf16(self.networks.unet)

    @contextmanager
    def _networks_for(self, dtype: torch.dtype) -> Iterator[CheckpointNetworks]:
        """Networks whose weights lose nothing when passes compute in a dtype.

        Halved weights are no help to fp32, nor bf16's to fp16: the file is read again for the time
        of the training, and the networks that draw wait on the CPU.
        """
        networks = self.networks
        if weights_dtype(networks) in (dtype, torch.float32):
            yield networks  # fp32 weights under autocast, on a CPU
            return
        waiting = placement(networks, self._device)
        with waiting.kept():
            waiting.set_aside(*PARTS)
            fresh = self._load(dtype)
            try:
                yield fresh
            finally:
                # Off the GPU before the others come back: both may not fit there.
                placement(fresh, self._device).set_aside(*PARTS)

    def generate(self, request: ImageRequest, job: Job) -> list[GeneratedImage]:
        """Draw one picture per seed, as `generate_batch` does.

        Raises: as `generate_batch`.
        """
        return self.generate_batch(single(request), job)

    def generate_batch(
        self, requests: Sequence[ImageRequest], job: Job, keep: Keep | None = None
    ) -> list[GeneratedImage]:
        """Draw one picture per request, as many at once as `batch_limit` says.

        Each has its own noise, and is what it is alone but for the last bits of the arithmetic.
        The prompts are written in the WebUI's language (`captions/prompt_language.py`).

        Raises:
            JobCancelled: inside a picture too.
            SettingsError: unknown sampler, a size that is no multiple of 8, a malformed prompt.
            LoraFileError: a LoRA cannot be used.
        """
        check_alike(requests)
        for request in requests[:1]:
            _check(request)
        prompts = [without_extra_networks(without_comments(each.prompt)) for each in requests]
        uses = [
            (*request.loras, *loras_of(extra_networks, request, self._file.path))
            for request, (_, extra_networks) in zip(requests, prompts, strict=True)
        ]
        texts = [text for text, _ in prompts]
        outer = job.view().progress
        companies: dict[object, list[int]] = {}
        for number, company in enumerate(self._companies(uses, requests)):
            companies.setdefault(company, []).append(number)
        drawn: dict[int, GeneratedImage] = {}
        for company, chosen in companies.items():
            if company is not None:  # what merging wants of memory says nothing of a batch's size
                self._loras.apply(uses[chosen[0]])
            report = _StepReport(job, outer, len(requests), len(drawn))
            pictures = self._batches.draw(
                [requests[n] for n in chosen],
                partial(
                    self._draw_batch, [texts[n] for n in chosen], [uses[n] for n in chosen], report
                ),
                torch.cuda.empty_cache,
            )
            drawn |= dict(zip(chosen, pictures, strict=True))
            for number in chosen:
                if keep:
                    keep(number, drawn[number])
        return [drawn[number] for number in range(len(requests))]

    def _companies(
        self, uses: Sequence[tuple[LoraUse, ...]], requests: Sequence[ImageRequest]
    ) -> list[object]:
        """Of each picture what it shares with those that it is drawn with: its LoRAs, or nothing.

        Merged LoRAs are quicker for the pictures of one as soon as these fill half a batch.

        uses: the LoRAs of each.
        """
        counts = Counter(uses)
        modules = self._loras.modules

        def are_merged(loras: tuple[LoraUse, ...]) -> bool:
            limit = self.batch_limit(requests[0].width, requests[0].height)
            if not self.mixes_loras or 1 < counts[loras] >= limit / 2:
                return True
            known = modules.keys() & self._loras.reached(loras)
            return not all(can_differ(modules[name]) for name in known)

        merged = {loras for loras in counts if are_merged(loras)}
        return [loras if loras in merged else None for loras in uses]

    @property
    def mixes_loras(self) -> bool:
        """Whether pictures with different LoRAs are drawn at once: those of a small U-Net on a CPU.

        On a GPU it was not measured.
        """
        on_cpu = torch.device(self._device).type == "cpu"
        return on_cpu and holds_many(self.networks.unet)

    def batch_limit(self, width: int, height: int) -> int:
        """How many pictures of so many pixels are drawn at once."""
        return self._batches.limit(width, height)

    def _draw_batch(
        self,
        prompts: Sequence[str],
        uses: Sequence[tuple[LoraUse, ...]],
        report: _StepReport,
        requests: Sequence[ImageRequest],
        before: int,
    ) -> list[GeneratedImage]:
        """Pictures that are drawn at once, with the same LoRAs or with such as may be mixed.

        prompts: of all that were asked for, without comments and extra networks.
        uses: their LoRAs.
        before: how many of them were drawn before these.
        """
        own = uses[before : before + len(requests)]
        texts: dict[int, Guidance] = {}
        values: dict[tuple[LoraUse, ...], Values] = {}
        for loras in dict.fromkeys(own):
            chosen = [n for n, each in enumerate(own) if each == loras]
            self._loras.apply(loras)  # the text encoder's count in its own pictures' prompts
            texts |= zip(
                chosen,
                self._guidance(
                    [prompts[before + n] for n in chosen], [requests[n] for n in chosen]
                ),
                strict=True,
            )
            if len(chosen) < len(requests):
                values[loras] = self._loras.unet_values()
        predicted: Prediction = self._predicted[requests[0].fast_convolutions]
        if values:
            self._loras.remove()
            predicted = PassByPicture(
                self.networks.unet, self._loras.modules, [values[loras] for loras in own]
            )
        ordered = [texts[n] for n in range(len(requests))]
        return self._draw(ordered, predicted, report, requests, before)

    def _draw(
        self,
        texts: Sequence[Guidance],
        predicted: Prediction,
        report: _StepReport,
        requests: Sequence[ImageRequest],
        before: int,
    ) -> list[GeneratedImage]:
        """Pictures that are drawn at once.

        texts: their prompts.
        predicted: with their LoRAs.
        before: how many pictures of those that were asked for were drawn before these.
        """
        networks = self.networks
        first = requests[0]
        seeds = [request.seeds[0] for request in requests]
        noise, generators = noise_for(seeds, (4, first.height // 8, first.width // 8))
        step_numbers = count_from(0)
        is_fast = first.fast_convolutions and torch.device(self._device).type == "cpu"
        with fast_drawing(networks) if is_fast else nullcontext(), torch.inference_mode():

            def guided(latents: Tensor, timestep: Tensor) -> Tensor:
                dtype = weights_dtype(networks)

                def unet(
                    noisy: Tensor, conditioning: Conditioning, owners: Sequence[int]
                ) -> Tensor:
                    return predicted(noisy.to(dtype), timestep, conditioning, owners).float()

                return predict(texts, unet, latents, next(step_numbers), first.cfg_scale)

            latents = denoise(
                self._scheduler(first),
                guided,
                noise.to(self._device),
                generators,
                first.steps,
                self._start(first),
                partial(report, before, len(requests)),
            )
            # One by one: a decoder takes far more memory than a step
            images = [
                _to_image(networks.vae.decode(each[None].float() / networks.scale).sample[0])
                for each in latents
            ]
        if first.image is not None and first.mask is not None:
            images = [
                _paste_back(image, first.image, first.mask, first.hard_edge) for image in images
            ]
        return [
            GeneratedImage(image, seed, self._parameters(request, seed))
            for image, seed, request in zip(images, seeds, requests, strict=True)
        ]

    @torch.inference_mode()
    def _guidance(self, prompts: Sequence[str], requests: Sequence[ImageRequest]) -> list[Guidance]:
        """The encoded prompts of each picture; equal ones are encoded once."""
        networks = self.networks
        encoded: dict[tuple[str, str], Guidance] = {}
        with embedding_tokens(
            networks.encoders, networks.tokenizer, self._loras.embeddings
        ) as embeddings:
            for prompt, request in zip(prompts, requests, strict=True):
                key = (prompt, request.negative_prompt)
                encoded[key] = encoded.get(key) or guidance(
                    networks.encoders,
                    networks.tokenizer,
                    prompt,
                    without_comments(request.negative_prompt),
                    request.clip_skip,
                    request.steps,
                    self._device,
                    embeddings,
                    self._file.family.zeroes_empty_negative,
                )
        return [
            encoded[prompt, request.negative_prompt]
            for prompt, request in zip(prompts, requests, strict=True)
        ]

    def _scheduler(self, request: ImageRequest) -> Any:
        networks = self.networks
        return make_scheduler(
            request.sampler,
            networks.beta_start,
            networks.beta_end,
            len(networks.alphas_cumprod),
            request.prediction or networks.prediction,
            request.zero_terminal_snr or networks.zero_terminal_snr,
        )

    def _start(self, request: ImageRequest) -> Img2ImgStart | None:
        if request.image is None:
            return None
        networks = self.networks
        size = (request.width, request.height)
        picture = request.image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        if request.fill == "fill" and request.mask is not None:
            picture = surroundings(
                picture, request.mask.convert("L").resize(size, Image.Resampling.LANCZOS)
            )
        pixels = torch.from_numpy(np.asarray(picture, dtype=np.float32) / 127.5 - 1)
        pixels = pixels.permute(2, 0, 1)[None].to(self._device)
        latents = networks.vae.encode(pixels).latent_dist.mode() * networks.scale
        mask = None
        if request.mask is not None:
            small = request.mask.convert("L").resize(
                (request.width // 8, request.height // 8), Image.Resampling.BOX
            )
            # Any cell that the mask touches is redrawn; the exact edge is drawn when the original
            # is pasted back.
            touched = (np.asarray(small) > 8).astype(np.float32)
            mask = torch.from_numpy(touched)[None, None].to(self._device)
        return Img2ImgStart(latents, request.denoise, mask, LATENT_FILLS.get(request.fill, ""))

    def _parameters(self, request: ImageRequest, seed: int) -> str:
        """The parameters of a picture as the WebUI's PNG Info reads them."""
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
        lines = [f"{request.prompt}{tags}"]
        if request.negative_prompt:
            lines.append(f"Negative prompt: {request.negative_prompt}")
        lines.append(", ".join(f"{key}: {_quoted(value)}" for key, value in fields.items()))
        return "\n".join(lines)


@dataclass(frozen=True)
class _StepReport:
    """Tells the job of each step; called with (before, count, step, steps).

    outer: the job's progress when the pictures were asked for.
    total: pictures that were asked for.
    earlier: of them, those that were drawn with other LoRAs.
    """

    job: Job
    outer: Progress
    total: int
    earlier: int

    def __call__(self, before: int, count: int, step: int, steps: int) -> None:
        self.job.raise_if_cancelled()
        before += self.earlier
        of = f"{in_series(before, count)} of {self.total}, " if self.total > 1 else ""
        outer = self.outer
        message = f"{outer.message}; {of}step {step} of {steps}".removeprefix("; ")
        if outer.stage:
            self.job.report(Progress(outer.stage, outer.done, outer.total, message))
        else:
            done = before * steps + step * count
            self.job.report(Progress("generate", done, self.total * steps, message))


def _checkpoint_info(file: CheckpointFile) -> CheckpointInfo:
    path = file.path
    return CheckpointInfo(
        name=path.stem,
        path=path,
        native_size=file.native_size,
        legacy_hash=legacy_hash(path),
        sha256=cached_sha256(path),
        preset=file.preset,
        family=file.family,
        prediction=file.parameterization.prediction,
        title=file.title,
        description=file.description,
    )


def _check(request: ImageRequest) -> None:
    if request.sampler not in SAMPLERS:
        raise SettingsError(
            f"sampler: found {request.sampler!r}, expected one of {', '.join(SAMPLERS)}"
        )
    if request.controls:
        raise SettingsError(
            "controls: found units of ControlNet, expected none; this host has no ControlNet"
        )
    check_steps_and_size(request)


def _strengths(use: LoraUse) -> str:
    """As in the WebUI's `<lora:NAME:both>` and `<lora:NAME:text encoder:U-Net>`."""
    return f"{use.unet:g}" if use.unet == use.text_encoder else f"{use.text_encoder:g}:{use.unet:g}"


def _quoted(value: object) -> str:
    """A field's value, as a JSON string where it would break the list of fields.

    Source: AUTOMATIC1111 1.10.1, modules/infotext_utils.py, quote.
    """
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if any(mark in text for mark in ",:\n") else text


def _to_image(pixels: Tensor) -> Image.Image:
    """pixels: (3, H, W) in [-1, 1]."""
    levels = ((pixels / 2 + 0.5).clamp(0, 1) * 255).round().byte()
    return Image.fromarray(levels.permute(1, 2, 0).cpu().numpy())


def _paste_back(
    image: Image.Image, original: Image.Image, mask: Image.Image, hard_edge: bool
) -> Image.Image:
    """The original outside the mask, with a soft edge of a pixel or two inside it."""
    size = image.size
    original = original.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    hole = mask.convert("L").resize(size, Image.Resampling.LANCZOS)
    if hard_edge:
        return Image.composite(image, original, hole)
    soft = hole.filter(ImageFilter.GaussianBlur(max(1, image.width // 256)))
    inside = Image.fromarray(np.minimum(np.asarray(soft), np.asarray(hole)))
    return Image.composite(image, original, inside)
