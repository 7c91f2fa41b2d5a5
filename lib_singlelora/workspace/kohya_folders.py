"""kohya's folders: `N_name` holds pictures, each shown N times an epoch, and their captions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import TrainingError
from ..files.fileio import is_own_file, write_text
from ..files.names import is_repeats
from ..files.text_file import read_text

PICTURE_SUFFIXES = tuple(
    ".png .jpg .jpeg .jfif .webp .bmp .gif .tif .tiff .avif .jp2 .ppm .tga".split()
)
# Files that belong to a picture, or are being written: no pictures that the user would miss.
COMPANION_SUFFIXES = (".txt", ".caption", ".npz", ".json", ".part", ".tmp")
SYSTEM_FILES = ("thumbs.db", "desktop.ini")  # of file managers


@dataclass(frozen=True)
class TrainingFolder:
    """A folder of pictures.

    repeats: how often an epoch shows each.
    name: the caption of pictures without a text.
    """

    path: Path
    repeats: int
    name: str

    @classmethod
    def from_path(cls, path: Path) -> TrainingFolder:
        """Read repeats and name off the folder's own name.  Raises: TrainingError."""
        number, underscore, name = path.name.partition("_")
        if not underscore or not is_repeats(number) or not name:
            raise TrainingError(
                f"{path}: found the name '{path.name}', expected one such as '5_isabella' "
                "(repeats, then class); rename the folder"
            )
        return cls(path, int(number), name)

    def pictures(self) -> list[Path]:
        """The pictures in it by name, hidden and temporary files left out."""
        return list_pictures(self.path)

    def caption(self, picture: Path) -> str:
        """The caption of a picture: its text file, else the folder's name."""
        return read_caption(picture) or self.name


def training_folders(parent: Path) -> list[TrainingFolder]:
    """The folders `N_name` in a folder, by name; others are left out, as in kohya's trainer."""
    folders = []
    for path in sorted(parent.iterdir() if parent.is_dir() else ()):
        number, _, name = path.name.partition("_")
        if path.is_dir() and not path.is_symlink() and is_repeats(number) and name:
            folders.append(TrainingFolder.from_path(path))
    return folders


def list_pictures(folder: Path) -> list[Path]:
    """The pictures in a folder by name; empty for no such folder.

    Links are left out: they may lead anywhere.
    """
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in PICTURE_SUFFIXES
        and not path.name.startswith(".")
        and is_own_file(path)
    )


def ignored_files(folder: Path) -> list[str]:
    """A note on each file in a folder of pictures that is not used, with the reason."""
    notes = []
    pictures = list_pictures(folder)
    stems = {path.stem for path in pictures}
    for path in sorted(folder.iterdir() if folder.is_dir() else ()):
        suffix = path.suffix.lower()
        name = f"{folder.name}/{path.name}"
        if path in pictures or path.name.startswith(".") or path.name.lower() in SYSTEM_FILES:
            continue
        if path.is_symlink():
            notes.append(f"{name} is a link and is not used: put the file itself there")
        elif path.is_dir():
            notes.append(
                f"{name} is a folder and is not used: only the pictures of {folder.name} itself are"
            )
        elif suffix in (".txt", ".caption"):
            if path.stem not in stems:
                notes.append(f"{name} is not used: there is no picture of that name beside it")
        elif suffix not in COMPANION_SUFFIXES:
            notes.append(
                f"{name} is not used: files that end in '{suffix}' are not read as pictures; save"
                " it as PNG"
            )
    return notes


def caption_file(picture: Path) -> Path:
    """The file of a picture's text: `.txt`, or an existing `.caption`, which is kohya's default."""
    text = picture.with_suffix(".txt")
    caption = picture.with_suffix(".caption")
    return caption if caption.exists() and not text.exists() else text


def read_caption(picture: Path) -> str:
    """The text beside a picture, or '' for none; a link to a text elsewhere is not followed.

    Raises: WorkspaceError, for another encoding than UTF-8: a misread text would be trained.
    """
    path = caption_file(picture)
    return read_text(path).strip() if is_own_file(path) else ""


def write_caption(picture: Path, caption: str) -> None:
    """Write the text beside a picture.  Raises: WorkspaceError."""
    write_text(caption_file(picture), caption.strip() + "\n")
