"""The laws of the house, read off the imports."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "lib_singlelora"

# Higher floors may import lower ones, never the other way round; rooms of one floor may import each other.
FLOORS = [
    {"__main__", "launcher"},
    {"tools_cli", "settings_cli", "captions_cli", "regularization_cli", "versions_cli"},
    {"hosts", "ui", "api", "api_bench", "api_dataset", "api_fence", "api_guard"},
    {"service", "service_bench", "service_dataset", "service_start", "web"},
    {"pipeline"},
    {"stages"},
    {"training", "evaluation"},
    {"lora", "tagging", "imaging", "dataset"},
    {"host", "foreign", "foreign_reading", "foreign_writing", "foreign_tables", "foreign_values"},
    {"naming", "workspace", "optimizer_fit"},
    {"settings"},
    {"settings_training", "settings_captions", "settings_prepare", "settings_judge", "settings_regularization"},
    {"jobs", "download", "environment", "declaring", "arguments", "optimizer_table", "requirements_webui"},
    {"event_log", "fileio", "names", "stage_record", "weight_files", "writer_lock"},
    {"errors", "embedded", "allocator"},
]
HOME_OF = {"modules": "hosts/webui", "diffusers": "hosts/standalone", "gradio": "ui"}


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Absolute dotted names of everything a file imports, inside functions too; TYPE_CHECKING blocks count as well."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = f"{base}.{node.module}" if base and node.module else base or node.module or ""
            yield module
            if base and not node.module:
                yield from (f"{module}.{alias.name}" for alias in node.names)


def room(dotted: str) -> str:
    parts = dotted.split(".")
    return parts[1] if len(parts) > 1 else ""


def floor(name: str) -> int:
    return next((i for i, rooms in enumerate(FLOORS) if name in rooms), -1)


def test_every_room_has_a_floor() -> None:
    rooms = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in sources()} - {"__init__"}
    assert {name for name in rooms if floor(name) < 0} == set()


def test_imports_go_down_only() -> None:
    wrong = []
    for path in sources():
        own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for name in imports(path):
            if name.startswith("lib_singlelora.") and room(name) and floor(room(name)) < floor(own):
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []


def test_foreign_programs_are_imported_at_home_only() -> None:
    wrong = []
    for path in sources():
        for name in imports(path):
            home = HOME_OF.get(name.split(".")[0])
            if home and not path.relative_to(PACKAGE).as_posix().startswith(f"{home}/"):
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []


def test_naming_and_dataset_need_no_torch() -> None:
    wrong = [str(path) for path in sources() if path.relative_to(PACKAGE).parts[0] in ("naming", "dataset")
             and any(name.split(".")[0] == "torch" for name in imports(path))]
    assert wrong == []


def test_there_are_no_circles() -> None:
    graph: dict[str, set[str]] = {}
    for path in sources():
        own = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        graph[own] = {name for name in imports(path) if name.startswith("lib_singlelora.") and name != own}

    def reaches(start: str) -> set[str]:
        seen: set[str] = set()
        todo = list(graph.get(start, ()))
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                todo.extend(graph.get(name, ()))
        return seen

    assert [name for name in graph if name in reaches(name)] == []


def test_nothing_but_entrances_picks_a_host() -> None:
    wrong = []
    for path in sources():
        if path.relative_to(PACKAGE).parts[0] in ("hosts", "__main__.py"):
            continue
        wrong += [f"{path.name}: {name}" for name in imports(path) if name.startswith("lib_singlelora.hosts")]
    assert wrong == []


def test_one_reader_opens_pictures() -> None:
    """Pillow by itself tries every format, of which some start other programs, and decodes any size."""
    wrong = []
    for path in sources():
        if path.relative_to(PACKAGE).as_posix() == "imaging/load.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in ("Image.open", "PIL.Image.open"):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
            if isinstance(node, ast.ImportFrom) and node.module == "PIL.Image":
                wrong += [f"{path.relative_to(ROOT)}:{node.lineno}" for each in node.names if each.name == "open"]
    assert wrong == []
