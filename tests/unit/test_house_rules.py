"""Who may import whom: seven floors, arrows point down or sideways without a circle, never up."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

FLOORS = (
    ("function_app",),
    ("functions", "cli"),
    ("shared.workflows",),
    ("shared.composition",),
    ("shared.stores.sqlserver", "shared.stores.qdrant", "shared.checklist"),
    (
        "shared.octopus",
        "shared.planning",
        "shared.catalogue",
        "shared.blob",
        "shared.reporting",
        "shared.settings",
    ),
    ("shared.model", "shared.errors", "shared.clock"),
)
NO_IO = ("shared.planning", "shared.model", "shared.checklist", "shared.reporting")
IO_MODULES = {
    *("azure", "pyodbc", "httpx", "socket", "subprocess", "threading", "requests", "asyncio", "urllib3"),
    *("os", "pathlib", "shutil", "tempfile", "time", "random", "secrets", "uuid"),
}


def modules() -> Iterator[tuple[str, set[str]]]:
    """Every deployed module with what it imports, also inside functions."""
    for top in ("function_app.py", "functions", "cli", "shared"):
        path = ROOT / top
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            yield name, set(_imports(ast.parse(file.read_text("utf-8"))))


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


MODULES = dict(modules())


def room_of(module: str) -> str | None:
    rooms = [room for floor in FLOORS for room in floor]
    return next((room for room in rooms if module == room or module.startswith(f"{room}.")), None)


def floor_of(room: str) -> int:
    return next(number for number, floor in enumerate(FLOORS) if room in floor)


def arrows() -> set[tuple[str, str]]:
    """From room to room, without arrows inside a room."""
    found = set()
    for module, imports in MODULES.items():
        own = room_of(module)
        for imported in imports:
            other = room_of(imported)
            if own and other and own != other:
                found.add((own, other))
    return found


def test_every_deployed_module_lives_in_a_room() -> None:
    packages = {"shared", "shared.stores"}
    assert [name for name in MODULES if room_of(name) is None and name not in packages] == []


def test_arrows_never_point_up() -> None:
    assert [(a, b) for a, b in sorted(arrows()) if floor_of(b) < floor_of(a)] == []


def test_rooms_form_no_circle() -> None:
    graph: dict[str, set[str]] = {}
    for a, b in arrows():
        graph.setdefault(a, set()).add(b)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        pytest.fail(f"a circle: {circle.args[1]}")


def test_modules_form_no_circle() -> None:
    graph = {name: _modules_of(name, imports) for name, imports in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        pytest.fail(f"a circle: {circle.args[1]}")


def _modules_of(name: str, imports: set[str]) -> set[str]:
    """The modules behind imports: of ``from package import module`` the module, not the package."""
    found = {i for i in imports if i in MODULES and i != name}
    return found - {i for i in found if any(other.startswith(f"{i}.") for other in found)}


def test_a_store_never_imports_another_store() -> None:
    stores = {"shared.stores.sqlserver", "shared.stores.qdrant"}
    assert [(a, b) for a, b in arrows() if {a, b} <= stores] == []


@pytest.mark.parametrize("room", NO_IO)
def test_what_is_pure_imports_nothing_that_can_do_input_or_output(room: str) -> None:
    found = {
        (module, imported)
        for module, imports in MODULES.items()
        if room_of(module) == room
        for imported in imports
        if imported.split(".")[0] in IO_MODULES
    }
    assert found == set()


def test_nothing_deployed_imports_the_local_stack_or_the_tests() -> None:
    found = [
        (module, imported)
        for module, imports in MODULES.items()
        for imported in imports
        if imported.split(".")[0] in {"local", "tests"}
    ]
    assert found == []


def test_only_the_doors_know_azure_functions() -> None:
    found = [
        (module, imported)
        for module, imports in MODULES.items()
        if not module.startswith("function")
        for imported in imports
        if imported.startswith(("azure.functions", "azure.durable_functions", "durabletask"))
    ]
    assert found == []
