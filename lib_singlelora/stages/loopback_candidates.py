"""Candidates of the judged loopback: what each is to show, and how it is drawn."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from ..captions.prompt_language import prompt_of
from ..captions.tag_categories import category_of
from ..captions.text import split_tags
from ..crops.buckets import Size, fit_to_bucket, nearest_bucket, training_buckets
from ..errors import NotFoundError
from ..files.fileio import fingerprint
from ..host import Fill, Host, ImageRequest, LoraUse
from ..imaging.load import read_rgb
from ..metrics.loopback_prompts import Wish, wishes
from ..settings.declare import SEEDS
from ..settings.schema import Settings
from ..workspace.crops import known_mask, view_box, view_tags
from ..workspace.kohya_folders import list_pictures, read_caption
from ..workspace.workspace import Workspace

# From the widest to the closest: where no crop has a framing, the next wider one is redrawn
FRAMINGS = ("full body", "cowboy shot", "upper body", "portrait", "close-up")
RIM = 1 / 40  # of a picture's longer side: what is redrawn keeps so far from the figure


@dataclass(frozen=True)
class Candidate:
    """One picture to draw.

    number: from 1.
    wish: what it is to show; its framing is that of the crop where one is redrawn.
    request: with its one seed.
    """

    number: int
    wish: Wish
    request: ImageRequest

    @property
    def name(self) -> str:
        """Of its file, without suffix; another request has another name."""
        ask = self.wish.ask.replace(" ", "_")
        return f"{self.number:04d}-{self.wish.source}-{ask}-{request_mark(self.request)}"


def request_mark(request: ImageRequest) -> str:
    """What a request for a picture is told by, without its LoRA's file; 6 letters."""
    images = [
        hashlib.sha256(image.tobytes()).hexdigest() if image else ""
        for image in (request.image, request.mask)
    ]
    values = {
        name: value
        for name, value in vars(request).items()
        if name not in ("image", "mask", "loras")
    }
    return fingerprint(values, images)[:6]


@dataclass(frozen=True)
class _Crop:
    """A crop to redraw.  tags: of its view."""

    path: Path
    tags: tuple[str, ...]

    def framing(self) -> str:
        return next((tag for tag in self.tags if tag in FRAMINGS), "")


def plan_candidates(
    settings: Settings, workspace: Workspace, host: Host, lora: LoraUse, known: set[str] | None
) -> list[Candidate]:
    """The candidates, the same for the same settings; more of them begin with those of fewer.

    known: tags that the tagger can see; None without a tagger.
    Raises: NotFoundError, when there are no crops, or nothing new to ask for.
    """
    planner = _Planner(settings, workspace, host, lora)
    options = settings.loopback
    wanted = wishes(tuple(dict.fromkeys(options.sources)), planner.captions, known)
    candidates = [
        planner.candidate(number, wish)
        for number, wish in enumerate(islice(wanted, options.count), 1)
    ]
    if not candidates:
        raise NotFoundError(
            "loopback: found no pose, view, expression or place that the crops do not show and the"
            " tagger knows, expected some; choose other loopback.sources, or another caption.tagger"
        )
    return candidates


def base_request(candidate: Candidate, class_token: str) -> ImageRequest:
    """What the checkpoint alone draws of the same framing and view, from the prompt."""
    wish = candidate.wish
    view = [wish.ask] if wish.kind == "view" else []
    return replace(
        candidate.request,
        prompt=prompt_of([class_token, "solo", wish.framing, *view]),
        seeds=(1,),
        loras=(),
        image=None,
        mask=None,
    )


class _Planner:
    """What all candidates of a workspace share."""

    def __init__(self, settings: Settings, workspace: Workspace, host: Host, lora: LoraUse) -> None:
        self.settings = settings
        self.workspace = workspace
        self.lora = lora
        self.buckets = training_buckets(settings, host)
        folder = workspace.image_folder(settings)
        views = view_tags(workspace)
        files = list_pictures(folder)
        if not files:
            raise NotFoundError(f"{folder}: found no pictures, expected crops; call 'crop' first")
        self.crops = [_Crop(path, views.get(path.stem, ())) for path in files]
        self.captions = [split_tags(read_caption(path)) for path in files]
        named = dict.fromkeys(tag for tags in self.captions for tag in tags)
        self.frequent = [
            tag
            for tag in named
            if 2 * sum(tag in tags for tags in self.captions) > len(self.captions)
        ]

    def candidate(self, number: int, wish: Wish) -> Candidate:
        """One candidate with its request."""
        options = self.settings.loopback
        crop, shows = self._crop(wish.framing)
        if not shows and "txt2img" in options.sources:
            # No crop is wide enough to be redrawn so
            wish = replace(wish, source="txt2img")
        image = mask = None
        denoise = max(options.denoise)
        fill: Fill = "original"
        if wish.source != "txt2img":
            wish = replace(wish, framing=crop.framing() or wish.framing)
            picture = read_rgb(crop.path)
            size = nearest_bucket(picture.size, self.buckets)
            image = fit_to_bucket(picture, size)
        else:
            size = self._size(wish.framing)
        if wish.source == "inpaint":
            hole = self._hole(wish.kind, crop)
            mask = fit_to_bucket(hole, size) if hole else None
            if mask and wish.kind != "expression":
                # What was there would come back: a white place, arms that hang down
                fill = "latent noise"
                denoise = 1.0
        elif wish.source == "img2img":
            denoise = options.denoise[number % len(options.denoise)]
        request = ImageRequest(
            self._prompt(wish),
            ((options.seed + number - 1) % SEEDS,),
            *size,
            self.settings.plot.negative_prompt,
            self.settings.plot.sampler,
            self.settings.plot.steps,
            self.settings.plot.cfg_scale,
            self.settings.training.clip_skip,
            (self.lora,),
            image,
            mask,
            denoise,
            fill,
        )
        return Candidate(number, wish, request)

    def _prompt(self, wish: Wish) -> str:
        character = self.settings.character
        of = {
            kind: [tag for tag in self.frequent if category_of(tag) in categories]
            for kind, categories in (
                ("count", ("count",)),
                ("clothes", ("outfit", "accessory")),
                ("background", ("background",)),
            )
        }
        gaze = () if wish.kind == "view" or wish.ask == "closed eyes" else ("looking at viewer",)
        stance = ("standing",) if wish.kind == "background" and wish.framing == "full body" else ()
        place = of["background"] if not wish.background else [wish.background]
        return prompt_of(
            dict.fromkeys(
                (
                    character.trigger,
                    character.class_token,
                    *(of["count"] or ["solo"]),
                    wish.framing,
                    *wish.asks[:1],
                    *stance,
                    *gaze,
                    *of["clothes"],
                    *place,
                )
            )
        )

    def _crop(self, framing: str) -> tuple[_Crop, bool]:
        """(the crop with a framing or the next wider one, True), else (the first, False)."""
        place = FRAMINGS.index(framing)
        for wanted in reversed(FRAMINGS[: place + 1]):
            for crop in self.crops:
                if wanted in crop.tags:
                    return crop, True
        return self.crops[0], False

    def _size(self, framing: str) -> Size:
        """The bucket of the crop with this framing, else the square."""
        for crop in self.crops:
            if framing in crop.tags:
                return nearest_bucket(read_rgb(crop.path).size, self.buckets)
        return min(self.buckets, key=lambda size: abs(size[0] / size[1] - 1))

    def _hole(self, kind: str, crop: _Crop) -> Image.Image | None:
        """What is redrawn of a crop, white; None for all of it, where its parts are not known."""
        figure = known_mask(self.workspace, crop.path)
        face = _face_in(self.workspace, crop)
        if figure is None or (face is None and kind != "background"):
            return None
        if kind == "expression" and face is not None:
            hole = Image.new("L", figure.size)
            ImageDraw.Draw(hole).ellipse(face, fill=255)
            return hole
        if kind == "background":  # up to the figure: a rim would stay as a halo
            return figure.point(lambda value: 255 if value < 128 else 0)
        kept = np.asarray(_widened(figure)) > 127
        if face is not None:
            kept[int(face[3]) :] = False  # the head stays, all below the chin is drawn anew
        return Image.fromarray(np.where(kept, 0, 255).astype(np.uint8))


def _face_in(workspace: Workspace, crop: _Crop) -> tuple[float, float, float, float] | None:
    """The face's box in a crop, its pixels; None where it is not known or lies outside."""
    face = view_box(workspace, "face") or view_box(workspace, "portrait")
    box = view_box(workspace, crop.path.stem)
    if face is None or box is None:
        return None
    width, height = read_rgb(crop.path).size
    across = width / (box[2] - box[0])
    down = height / (box[3] - box[1])
    left = max(0.0, (face[0] - box[0]) * across)
    top = max(0.0, (face[1] - box[1]) * down)
    right = min(float(width), (face[2] - box[0]) * across)
    bottom = min(float(height), (face[3] - box[1]) * down)
    return (left, top, right, bottom) if right - left > 8 and bottom - top > 8 else None


def _widened(figure: Image.Image) -> Image.Image:
    """The figure with a rim, so that its outline stays.

    It is widened at a small size, for the filter's time grows with the square of the rim.
    """
    small = figure.convert("L")
    small.thumbnail((256, 256))
    reach = max(1, round(RIM * max(small.size)))
    return small.filter(ImageFilter.MaxFilter(2 * reach + 1)).resize(figure.size)
