from collections.abc import Callable
from typing import Any

from typing_extensions import Self

class OptionInfo:
    section: tuple[str, ...] | None
    onchange: Callable[[], object] | None

    def __init__(self, default: object = None, label: str = "") -> None: ...
    def info(self, info: str) -> Self: ...

class Options:
    data: dict[str, Any]
    data_labels: dict[str, OptionInfo]
    sd_model_checkpoint: str | None

    def add_option(self, key: str, info: OptionInfo) -> None: ...
