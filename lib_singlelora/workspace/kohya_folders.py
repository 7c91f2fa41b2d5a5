"""kohya's folders: `N_name` holds pictures, each shown N times an epoch, with a text beside each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import TrainingError
from ..files.fileio import is_own_file, write_text
from ..files.names import is_repeats
from ..files.text_file import read_text

# What a picture's name may end in.
SUFFIXES = (
    ".png",
    ".jpg",
    ".jpeg",
    ".jfif",
    ".webp",
    ".bmp",
    ".gif",
    ".tif",
    ".tiff",
    ".avif",
    ".jp2",
    ".ppm",
    ".tga",
)
# What belongs to a picture or to a file browser, and is no picture that somebody misses.
BESIDE = (".txt", ".caption", ".npz", ".json", ".part", ".tmp")
NOBODYS = ("thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class TrainingFolder:
    """A folder of pictures.

    repeats: how often an epoch shows each.
    name: their caption where no text is.
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
    """The folders `N_name` within a folder, by name; others are left out, as kohya does."""
    found = []
    for path in sorted(parent.iterdir() if parent.is_dir() else ()):
        number, _, name = path.name.partition("_")
        if path.is_dir() and not path.is_symlink() and is_repeats(number) and name:
            found.append(TrainingFolder.from_path(path))
    return found


def list_pictures(folder: Path) -> list[Path]:
    """The pictures in a folder by name; none when it is not there.

    Links, which may lead anywhere, are none of them.
    """
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and is_own_file(path)
    )


def ignored_files(folder: Path) -> list[str]:
    """What lies in a folder of pictures and is not used, one sentence each, with the reason."""
    found = []
    pictures = list_pictures(folder)
    stems = {path.stem for path in pictures}
    for path in sorted(folder.iterdir() if folder.is_dir() else ()):
        suffix, named = path.suffix.lower(), f"{folder.name}/{path.name}"
        if path in pictures or path.name.startswith(".") or path.name.lower() in NOBODYS:
            continue
        if path.is_symlink():
            found.append(f"{named} is a link and is not used: put the file itself there")
        elif path.is_dir():
            found.append(
                f"{named} is a folder and is not used: only the pictures of {folder.name}"
                " itself are"
            )
        elif suffix in (".txt", ".caption"):
            if path.stem not in stems:
                found.append(f"{named} is not used: there is no picture of that name beside it")
        elif suffix not in BESIDE:
            found.append(
                f"{named} is not used: files that end in '{suffix}' are not read as pictures; save"
                " it as PNG"
            )
    return found


def caption_file(picture: Path) -> Path:
    """Where the text of a picture lies: `.txt` beside it, or an existing `.caption`, kohya's
    default.
    """
    text, caption = picture.with_suffix(".txt"), picture.with_suffix(".caption")
    return caption if caption.exists() and not text.exists() else text


def read_caption(picture: Path) -> str:
    """The text beside a picture, or '' when there is none; a link to a text elsewhere is none.

    Raises: WorkspaceError, for another encoding than UTF-8: what is misread would be trained.
    """
    path = caption_file(picture)
    return read_text(path).strip() if is_own_file(path) else ""


def write_caption(picture: Path, caption: str) -> None:
    """Write the text beside a picture.  Raises: WorkspaceError."""
    write_text(caption_file(picture), caption.strip() + "\n")
