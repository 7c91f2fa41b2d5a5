"""A host that draws as the settings of quality say: with its checkpoint's tags, or exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, cast

from ..families.quality import QualityTags, choose_quality
from ..host import CheckpointInfo, GeneratedImage, Host, ImageRequest, Keep
from ..jobs import Job
from ..settings.quality import QualitySettings


def quality_of(settings: QualitySettings, checkpoint: CheckpointInfo) -> QualityTags:
    """The tags that the settings mean for a checkpoint."""
    return choose_quality(
        settings.tags,
        settings.positive,
        settings.negative,
        f"{checkpoint.name} {checkpoint.title}".strip(),
        checkpoint.family.name,
        checkpoint.prediction,
    )


def with_quality_tags(host: Host, settings: QualitySettings) -> Host:
    """The host, with the tags in what it draws; it is else the same."""
    inner = host.inner if isinstance(host, QualityHost) else host
    return cast(Host, QualityHost(inner, settings))


class QualityHost:
    """Everything is the inner host's but the prompts, and how exactly pictures are computed.

    Captions and the labels of sheets are made before and have no quality tags.
    """

    def __init__(self, inner: Host, settings: QualitySettings) -> None:
        self.inner = inner
        self._settings = settings
        self._logged = QualityTags()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    @property
    def checkpoint(self) -> CheckpointInfo:
        """The loaded checkpoint, with its tags."""
        return self._tagged(self.inner.checkpoint)

    def other_checkpoint(self, name: str) -> CheckpointInfo:
        """Another one, with its own tags.  Raises: CheckpointError."""
        return self._tagged(self.inner.other_checkpoint(name))

    def _tagged(self, checkpoint: CheckpointInfo) -> CheckpointInfo:
        tags = quality_of(self._settings, checkpoint)
        return replace(checkpoint, quality=tags) if tags else checkpoint

    def generate(self, request: ImageRequest, job: Job) -> list[GeneratedImage]:
        """Draw with the tags."""
        self._log(job)
        return self.inner.generate(self._asked(request), job)

    def generate_batch(
        self, requests: Sequence[ImageRequest], job: Job, keep: Keep | None = None
    ) -> list[GeneratedImage]:
        """Draw several at once, on a host that can."""
        self._log(job)
        return self.inner.generate_batch([self._asked(each) for each in requests], job, keep)

    def _log(self, job: Job) -> None:
        """Once for each set of tags: which, and why."""
        tags = self.checkpoint.quality
        if tags and tags != self._logged:
            self._logged = tags
            job.log("quality", **asdict(tags))

    def _asked(self, request: ImageRequest) -> ImageRequest:
        request = replace(request, fast_convolutions=self._settings.fast_convolutions)
        tags = self.checkpoint.quality
        if not tags:
            return request
        return replace(
            request,
            prompt=tags.in_prompt(request.prompt),
            negative_prompt=tags.in_negative(request.negative_prompt),
        )
