"""The laws of the house, read off the imports."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "lib_singlelora"
TOOLS = ROOT / "tools"

# Every room on a floor of its own, from the top: it may import those below it and none above.
# ARCHITECTURE.md shows the same list, in the same order.
ROOMS = (
    "__main__",
    "cli",
    "extension",
    "ui",
    "api",
    "web",
    "service",
    "sweeps",
    "hosts/webui",
    "hosts/forge",
    "hosts/webui_family",
    "hosts/standalone",
    "hosts",
    "stages",
    "judge",
    "library",
    "curation",
    "kohya",
    "sheets",
    "metrics",
    "training",
    "lora",
    "ops",
    "tagging",
    "workspace",
    "crops",
    "captions",
    "imaging",
    "host",
    "settings",
    "naming",
    "families",
    "download",
    "jobs",
    "files",
    "embedded",
    "bootstrap",
    "errors",
)
HOME_OF = {
    "modules": ("hosts/webui", "hosts/forge", "hosts/webui_family", "extension"),
    "modules_forge": ("hosts/forge", "extension"),
    "backend": ("hosts/forge", "extension"),
    "huggingface_guess": ("hosts/forge", "extension"),
    "ldm_patched": ("hosts/forge", "extension"),
    "diffusers": ("hosts/standalone",),
    "gradio": ("ui",),
}


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Absolute dotted names of everything a file imports, inside functions too; TYPE_CHECKING
    blocks count as well.
    """
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
    """The room of one of our modules, such as `hosts/webui`; "" of the package itself."""
    parts = dotted.split(".")[1:]
    return (
        next((name for name in ("/".join(parts[:2]), parts[0]) if name in ROOMS), parts[0])
        if parts
        else ""
    )


def module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_every_room_has_a_floor() -> None:
    assert {room(module(path)) for path in sources()} - {""} == set(ROOMS)


def test_the_architecture_shows_the_rooms_in_their_order() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    table = text.partition("## Rooms")[2].partition("\n## ")[0]
    shown = re.findall(r"^\| `([a-z_/]+?)(?:\.py|/)?`", table, flags=re.M)
    assert tuple(shown) == ROOMS


def test_imports_go_down_only() -> None:
    wrong = []
    for path in sources():
        own = room(module(path))
        for name in imports(path):
            other = room(name) if name.startswith("lib_singlelora.") else ""
            if own and other and other != own and ROOMS.index(other) < ROOMS.index(own):
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []


def test_hosts_know_no_face() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources()
        for name in imports(path)
        if room(module(path)).startswith("hosts")
        and room(name) in ("ui", "api", "web", "service", "extension")
        and name.startswith("lib_singlelora.")
    ]
    assert wrong == []


def test_foreign_programs_are_imported_at_home_only() -> None:
    wrong = []
    for path in sources():
        for name in imports(path):
            homes = HOME_OF.get(name.split(".")[0])
            if homes and room(module(path)) not in homes:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []


@pytest.mark.parametrize(
    ("rooms", "packages"),
    [
        (("naming", "families", "captions"), ("torch", "numpy")),
        (("crops", "settings", "workspace"), ("torch",)),
        (("bootstrap",), ("torch", "numpy", "PIL", "safetensors", "filelock")),
    ],
)
def test_rooms_that_need_no_large_packages(
    rooms: tuple[str, ...], packages: tuple[str, ...]
) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources()
        if room(module(path)) in rooms
        for name in imports(path)
        if name.split(".")[0] in packages
    ]
    assert wrong == []


def test_ops_know_no_lora_and_no_settings() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources()
        if room(module(path)) == "ops"
        for name in imports(path)
        if name.startswith("lib_singlelora.") and room(name) not in ("ops", "errors")
    ]
    assert wrong == []


def test_there_are_no_circles() -> None:
    graph: dict[str, set[str]] = {}
    for path in (*sources(), *TOOLS.rglob("*.py")):
        own = module(path)
        graph[own] = {
            name
            for name in imports(path)
            if name.startswith(("lib_singlelora.", "tools.")) and name != own
        }

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
        if path.relative_to(PACKAGE).parts[0] in ("hosts", "cli", "extension"):
            continue
        wrong += [
            f"{path.name}: {name}"
            for name in imports(path)
            if name.startswith("lib_singlelora.hosts")
        ]
    assert wrong == []


def test_one_reader_opens_pictures() -> None:
    """Pillow by itself tries every format, of which some start other programs, and decodes any
    size.
    """
    wrong = []
    for path in sources():
        if path.relative_to(PACKAGE).as_posix() == "imaging/load.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in (
                "Image.open",
                "PIL.Image.open",
            ):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
            if isinstance(node, ast.ImportFrom) and node.module == "PIL.Image":
                wrong += [
                    f"{path.relative_to(ROOT)}:{node.lineno}"
                    for each in node.names
                    if each.name == "open"
                ]
    assert wrong == []


def test_the_package_works_without_the_tools() -> None:
    """They are not installed with it; the word `bench` starts one as a program of its own."""
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources()
        for name in imports(path)
        if name.split(".")[0] == "tools"
    ]
    assert wrong == []
