"""The house: which folder stands on which, and that no import runs back up."""

from __future__ import annotations

import ast
from pathlib import Path

import napari_sem_classify

PACKAGE = Path(napari_sem_classify.__file__).parent
NAME = "napari_sem_classify"
CORE = [
    "common",
    "image",
    "sem_io",
    "tiles",
    "network",
    "model",
    "maps",
    "outlines",
    "classify",
    "evaluate",
    "annotate",
    "teach",
    "finetune",
    "measure",
    "export",
    "batch",
    "cluster",
    "sample",
    "benchmark",
]
PLUGIN = [
    "app",
    "layers",
    "files",
    "forms",
    "tile",
    "measure",
    "classify",
    "teach",
    "finetune",
    "batch",
    "menu",
]


def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = [NAME, *path.relative_to(PACKAGE).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """Modules of the package that a file imports, in functions and for types too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(NAME):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in known else str(node.module))
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith(NAME)}
    return found


def running_up(part: str, order: list[str]) -> list[str]:
    known, start = modules(), f"{NAME}.{part}."
    place = {folder: floor for floor, folder in enumerate(order)}
    wrong = []
    for module, path in known.items():
        if not module.startswith(start):
            continue
        mine = place[module.removeprefix(start).split(".")[0]]
        for used in imports(path, known):
            if used.startswith(start) and place[used.removeprefix(start).split(".")[0]] > mine:
                wrong.append(f"{module} imports {used}")
    return sorted(wrong)


def folders(part: str) -> set[str]:
    return {path.name for path in (PACKAGE / part).iterdir() if (path / "__init__.py").is_file()}


def test_every_folder_of_core_has_its_floor_and_no_module_lies_loose():
    assert folders("core") == set(CORE)
    assert [path.name for path in (PACKAGE / "core").glob("*.py")] == ["__init__.py"]


def test_every_folder_of_the_plugin_has_its_floor_and_no_module_lies_loose():
    assert folders("plugin") == set(PLUGIN)
    assert [path.name for path in (PACKAGE / "plugin").glob("*.py")] == ["__init__.py"]


def test_no_import_of_core_runs_back_up():
    assert running_up("core", CORE) == []


def test_no_import_of_the_plugin_runs_back_up():
    assert running_up("plugin", PLUGIN) == []


def test_core_imports_neither_the_plugin_nor_the_command_line():
    known = modules()
    upper = (f"{NAME}.plugin", f"{NAME}.cli")
    wrong = [
        f"{module} imports {used}"
        for module, path in known.items()
        if module.startswith(f"{NAME}.core")
        for used in imports(path, known)
        if used.startswith(upper)
    ]
    assert wrong == []


def test_only_the_demo_leads_from_the_command_line_into_the_viewer():
    known = modules()
    wrong = []
    for one, other in (("plugin", "cli"), ("cli", "plugin")):
        for module, path in known.items():
            if module.startswith(f"{NAME}.{one}"):
                used = [each for each in imports(path, known) if each.startswith(f"{NAME}.{other}")]
                wrong += [f"{module} imports {each}" for each in used]
    assert wrong == [f"{NAME}.cli.classify_command imports {NAME}.plugin.files.demo_view"]


def test_each_dock_has_its_widget():
    for dock in PLUGIN[4:-1]:
        assert (PACKAGE / "plugin" / dock / "widget.py").is_file()
