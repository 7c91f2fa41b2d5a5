from types import ModuleType
from typing import NamedTuple

class ScriptClassData(NamedTuple):
    script_class: type
    path: str
    basedir: str
    module: ModuleType

scripts_data: list[ScriptClassData]
