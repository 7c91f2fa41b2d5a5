"""Regularize: pictures of the class, drawn by the checkpoint itself from wildcard prompts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..dataset.captions import join_tags, split_tags
from ..dataset.folders import list_pictures
from ..dataset.wildcards import WildcardPrompts
from ..host import Host, ImageRequest
from ..imaging.load import load_picture
from ..imaging.png import png_bytes
from ..jobs import Job, Progress
from ..settings import Settings
from ..workspace import Workspace, fingerprint
from .continuing import begin, finish
from .crop import training_resolution
from .taggers import Taggers, looking, open_taggers, tags_above


@dataclass(frozen=True)
class Regularized:
    """pictures: what is in the folder now."""

    pictures: tuple[Path, ...]


def regularize(settings: Settings, workspace: Workspace, host: Host, job: Job, force: bool = False) -> Regularized:
    """Draw the set; picture n has the prompt and the seed of `regularization.seed` + n.

    Raises: WildcardError, before anything is drawn; JobCancelled, keeping what is drawn.
    """
    options, folder = settings.regularization, workspace.reg_folder(settings)
    size = training_resolution(settings, host)
    what = {key: value for key, value in vars(options).items() if key != "count"}
    mark = fingerprint(what, looking(settings.caption), settings.character.class_token, host.checkpoint.sha256, size)
    record, done = begin(workspace, "regularize", mark, force)
    # A smaller or larger number is no other set: what is drawn stays, and only what is missing is added.
    done = done and record.data.get("count") == options.count
    if not done:
        template = options.template.replace("{class}", settings.character.class_token)
        prompts = WildcardPrompts(template, host.paths.wildcards)
        made = []
        taggers = open_taggers(settings.caption, host, job)
        for index in range(options.count):
            job.raise_if_cancelled()
            path = folder / f"{index + 1:04d}.png"
            words = path.with_suffix(".txt")
            made += [path, words]
            job.report(Progress("regularize", index, options.count, f"picture {index + 1} of {options.count}"))
            if index < record.data.get("drawn", 0):
                continue  # this set's own, or taken out by hand
            prompt = prompts.draw(options.seed + index)
            if force or not workspace.edited(record, path):
                drawn = host.generate(_request(settings, prompt, options.seed + index, size), job)[0]
                workspace.write_unless_edited(record, path, png_bytes(drawn.image, drawn.parameters), force)
            tags = _tags(taggers, path, settings) if taggers else split_tags(prompt)
            caption = join_tags([settings.character.class_token, *tags]).encode()
            workspace.write_unless_edited(record, words, caption, force)
            record.data["drawn"] = index + 1
            workspace.save_record(record)
            job.report(Progress("regularize", index + 1, options.count, prompt, pictures=(path,)))
        record.data["count"] = record.data["drawn"] = options.count
        finish(workspace, record, made)
    return Regularized(tuple(list_pictures(folder)))


def _tags(taggers: Taggers, path: Path, settings: Settings) -> list[str]:
    return tags_above(taggers.tag([load_picture(path).image])[0], settings.caption)


def _request(settings: Settings, prompt: str, seed: int, size: int) -> ImageRequest:
    options = settings.regularization
    return ImageRequest(prompt, (seed,), size, size, options.negative_prompt, options.sampler, options.steps,
                        options.cfg_scale, settings.training.clip_skip)
