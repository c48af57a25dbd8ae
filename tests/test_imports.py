"""Imports point one way, from the shell to the pure rooms, and the pure rooms stay pure."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "kpi_app"

#: What each room may import of the others. A new room, or a new arrow, is a decision: make it here.
ROOMS = {
    "errors": set(),
    "allocator": set(),
    "core": {"errors"},
    "feeds": {"core", "errors"},
    "secured": {"errors"},
    "database_url": set(),
    "names": set(),
    "settings": {"core", "database_url", "errors", "feeds", "names", "secured"},
    "sinks": {"core", "errors", "feeds", "secured"},
    "sources": {"core", "errors", "feeds"},
    "local": {"errors"},
    "stream": {"core", "errors", "feeds", "secured", "settings", "sinks"},
    "report": {"core", "errors", "feeds", "settings", "sinks"},
    "web": {"core", "errors", "feeds", "report", "settings", "sinks", "stream"},
    "preflight": {"errors"},
    "top": {"core", "errors", "feeds", "report", "settings", "sources", "stream", "web"},
    "reset": {"database_url", "errors", "feeds", "settings", "sinks", "stream"},
    "worker": {"errors", "feeds", "preflight", "settings", "sinks", "stream", "web"},
    "rejected": {"core", "errors", "feeds", "settings", "sources", "stream"},
    "demo": {"core", "errors", "feeds", "local", "preflight", "settings", "sinks", "sources", "stream"},
    "cli": {
        "core",
        "demo",
        "errors",
        "feeds",
        "local",
        "preflight",
        "rejected",
        "report",
        "reset",
        "settings",
        "sinks",
        "sources",
        "stream",
        "top",
    },
    "__init__": {"allocator", "worker"},
}

#: Libraries of the outside world; the pure rooms have none of them.
IMPURE = {"aiohttp", "aiokafka", "asyncio", "asyncpg", "faust", "mode", "os", "random", "rocksdict", "socket", "time"}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts)


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


@cache
def imported(path: Path) -> tuple[str, ...]:
    return tuple(_imported(path))


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield (
                    full if (PACKAGE.parent / Path(*full.split("."))).with_suffix(".py").exists() else str(node.module)
                )
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_a_room_imports_only_rooms_below_it(path: Path) -> None:
    """A module imports from its own room and from those that its room is allowed."""
    room = room_of(name_of(path))
    assert room in ROOMS, f"{room} is a new room: say in ROOMS what it may import"
    others = {room_of(name) for name in imported(path) if name.split(".")[0] == "kpi_app" and name != "kpi_app"}
    assert others - {room} <= ROOMS[room]


def test_no_room_reaches_itself() -> None:
    """The allowed arrows form no cycle, or "one way" would mean nothing."""
    done: set[str] = set()
    while ready := {room for room, below in ROOMS.items() if room not in done and below <= done}:
        done |= ready
    assert done == set(ROOMS)


@pytest.mark.parametrize("path", [p for p in modules() if room_of(name_of(p)) in ("core", "feeds")], ids=name_of)
def test_pure_rooms_know_no_outside_world(path: Path) -> None:
    """core and feeds import no broker, database, clock or event loop, and define nothing that awaits."""
    assert not {name.split(".")[0] for name in imported(path)} & IMPURE
    assert not [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.AsyncFunctionDef)]


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_modules_have_no_cycles(path: Path) -> None:
    """No module imports, by whatever way, a module that imports it."""
    graph = {name_of(p): {n for n in imported(p) if n.startswith("kpi_app.")} for p in modules()}
    start, seen, todo = name_of(path), set(), [name_of(path)]
    while todo:
        for below in graph.get(todo.pop(), set()):
            assert below != start
            if below not in seen:
                seen.add(below)
                todo.append(below)


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_a_module_fits_in_the_head(path: Path) -> None:
    """A module has at most about 300 lines; a longer one holds two rooms."""
    assert len(path.read_text().splitlines()) <= 330
