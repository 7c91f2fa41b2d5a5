"""The tree of exceptions.

Every message says what was found, what was expected and what to do, in one line.

    SingleLoraError
    ├── SettingsError          a setting's name, type, range or file
    ├── WorkspaceError         a folder that cannot be read or written, an invalid name
    │   ├── NotFoundError      … a missing workspace, file of one, or job (HTTP 404)
    │   └── ConflictError      … a name that is taken, a workspace that another writer holds (409)
    ├── TooManyError           more than is accepted at once, such as waiting jobs (HTTP 429)
    ├── PictureError           a file that is no picture, or one too small, too large or broken
    ├── ImageModelError        an upscaler or matting model: unknown, broken, of another kind
    ├── CheckpointError        a checkpoint: missing, broken, of an unsupported architecture
    ├── LoraFileError          a LoRA file that cannot be read
    │   └── LoraKeyError       … whose keys match no module of the layout
    ├── PresetError            block weights: an unknown preset, a wrong number of values
    ├── WildcardError          a prompt template: an unknown wildcard, a mistaken brace
    ├── TaggerError            a tagger folder or model that does not follow the contract
    ├── TrainingError          a training that cannot go on (no pictures, NaN, out of memory)
    │   └── SnapshotError      a snapshot that is broken or belongs to other settings
    ├── StorageError           where workers meet: not there, of another version, clocks apart
    ├── MissingPackageError    an optional package that this action needs
    ├── HostBusyError          the host is doing something else
    └── JobCancelled           the user asked to stop; not a failure

The HTTP API answers by these types alone, never by words in a message; HostBusyError is 409 too,
the rest 422.
"""

from __future__ import annotations

MAX_LETTERS = 2000  # of a message, which may quote a whole file


class SingleLoraError(Exception):
    """Base of everything the product raises on purpose.

    Its message is one printable line, whatever it quotes.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(one_line(message))


def one_line(text: str) -> str:
    """The text in one printable line, shortened in the middle when it is long.

    Line breaks, control characters and lone surrogates become escapes.
    """
    if not text.isprintable():
        text = "".join(
            letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
            for letter in text
        )
    if len(text) <= MAX_LETTERS:
        return text
    return f"{text[: MAX_LETTERS // 2]} … {text[-MAX_LETTERS // 2 :]}"


class SettingsError(SingleLoraError):
    """A setting's name, type, range or file is wrong."""


class WorkspaceError(SingleLoraError):
    """The workspace's folder or one of its names cannot be used."""


class NotFoundError(WorkspaceError):
    """A workspace, one of its files or a job is not there."""


class ConflictError(WorkspaceError):
    """The request conflicts with what is there: a name that is taken, a workspace in use."""


class TooManyError(SingleLoraError):
    """More than is accepted at once; it may work later."""


class PictureError(SingleLoraError):
    """A picture cannot be used."""


class ImageModelError(SingleLoraError):
    """An upscaler or a matting model cannot be used."""


class CheckpointError(SingleLoraError):
    """A checkpoint is missing, broken or of an architecture that is not supported."""


class LoraFileError(SingleLoraError):
    """A LoRA file cannot be read."""


class LoraKeyError(LoraFileError):
    """A LoRA file's keys match no module of the layout."""


class PresetError(SingleLoraError):
    """Block weights cannot be understood."""


class WildcardError(SingleLoraError):
    """A prompt template cannot be resolved."""


class TaggerError(SingleLoraError):
    """A tagger does not follow the WD contract."""


class TrainingError(SingleLoraError):
    """A training cannot start or go on."""


class SnapshotError(TrainingError):
    """A snapshot is broken or belongs to other settings."""


class StorageError(SingleLoraError):
    """The storage in which workers meet cannot be used."""


class MissingPackageError(SingleLoraError):
    """An optional package is needed and not installed."""


class HostBusyError(SingleLoraError):
    """The host is doing something else."""


class JobCancelled(SingleLoraError):
    """The user asked to stop."""
