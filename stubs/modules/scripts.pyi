from types import ModuleType
from typing import Any, NamedTuple

class ScriptClassData(NamedTuple):
    script_class: type
    path: str
    basedir: str
    module: ModuleType

scripts_data: list[ScriptClassData]

class Script:
    args_from: int
    args_to: int

    def title(self) -> str: ...

class ScriptRunner:
    scripts: list[Script]
    alwayson_scripts: list[Script]
    selectable_scripts: list[Script]
    callback_map: dict[str, Any]

scripts_img2img: ScriptRunner
