"""Artifacts in `prepare`: found, cleaned where that is asked for, and written down."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

from ..errors import MissingPackageError
from ..imaging.artifact_location import place_finder
from ..imaging.artifacts import STRAY, Found, chosen, clean, find_artifacts, placed
from ..imaging.png import png_bytes
from ..sheets.artifact_sheet import draw_artifacts
from ..workspace.stage_record import StageRecord
from ..workspace.workspace import Workspace

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cleaned:
    """A picture after cleaning.

    image: the picture to go on with.
    found: the artifacts; None where they were not looked for.
    names: those that were cleaned.
    notes: for the user.
    """

    image: Image.Image
    found: Found | None
    names: tuple[str, ...]
    notes: tuple[str, ...]


def clean_picture(
    image: Image.Image, original: Image.Image, wanted: str, report: Callable[[int, int], None]
) -> Cleaned:
    """Look for artifacts and clean those that the setting names.

    original: the picture before it was enlarged.
    wanted: `prepare.clean_artifacts`.
    report: called with the steps done and their number.
    Raises: SettingsError, for a number that is not in the list; MissingPackageError, without
        OpenCV, where cleaning is asked for.
    """
    try:
        found = find_artifacts(image, original, report)
    except MissingPackageError as error:
        if wanted != "off":
            raise
        log.info("artifacts are not looked for: %s", error)
        return Cleaned(image, None, (), ())
    names = chosen(found, wanted)
    if not found.artifacts:
        return Cleaned(image, found, (), ())
    strays = sum(artifact.kind == STRAY for artifact in found.artifacts)
    kinds = [artifact.kind for artifact in found.artifacts if artifact.kind != STRAY]
    if strays:
        kinds.insert(0, f"{strays} stray colour{'' if strays == 1 else 's'}")
    outcome = (
        f"{len(names)} of {len(found.artifacts)} cleaned"
        if names
        else "none cleaned; see prepare.clean_artifacts"
    )
    return Cleaned(
        clean(image, found, names) if names else image,
        found,
        names,
        (f"artifacts: {', '.join(kinds)} ({outcome}); source/artifacts.png shows them",),
    )


def write_findings(
    workspace: Workspace,
    record: StageRecord,
    cleaned: Cleaned,
    before: Image.Image,
    mask: Image.Image,
    force: bool,
) -> list[Path]:
    """Write the list, its picture and, where something was cleaned, the uncleaned picture.

    before: the enlarged picture.
    mask: of the figure, L.
    Returns the paths of these files.
    """
    if cleaned.found is None:
        return []
    found = placed(cleaned.found, place_finder(before, mask))
    listed = [
        {
            **asdict(artifact),
            "sentence": artifact.sentence,
            "cleaned": artifact.name in cleaned.names,
        }
        for artifact in found.artifacts
    ]
    values = {"size": list(before.size), "cleaned": list(cleaned.names), "artifacts": listed}
    files = {
        workspace.artifacts: (json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode()
    }
    if found.artifacts:
        after = cleaned.image if cleaned.names else None
        files[workspace.artifacts.with_suffix(".png")] = png_bytes(
            draw_artifacts(before, found, after, cleaned.names)
        )
    if cleaned.names:
        files[workspace.uncleaned] = png_bytes(before)
    for path, data in files.items():
        workspace.write_unless_edited(record, path, data, force)
    return list(files)
