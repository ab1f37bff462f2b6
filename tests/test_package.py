"""The package as users and napari get it: light to import, versioned, with its manifest."""

from __future__ import annotations

import ast
import json
import pkgutil
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, entry_points, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import napari_sem_classify

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = Path(napari_sem_classify.__file__).parent
# Torch modules cannot be written without torch: functions import these, the packages do not.
ENGINES = "napari_sem_classify.core.network.engine."
NEEDS_TORCH = {
    f"napari_sem_classify.core.{name}"
    for name in (
        "network.resnet",
        "network.torch_modules",
        "classify.int8",
        "finetune.compare",
        "finetune.finetune",
        "finetune.finetune_clock",
        "finetune.finetune_compiled",
        "finetune.finetune_data",
        "finetune.finetune_learner",
        "finetune.finetune_run",
        "finetune.finetune_look",
        "finetune.finetune_network",
        "finetune.finetune_rate",
        "finetune.finetune_start",
        "finetune.finetune_turned",
        "finetune.finetune_views",
    )
}


def modules_loaded_after(code: str) -> set[str]:
    """Run code in a fresh interpreter and return the top-level modules it loaded."""
    report = "import sys, json; print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    result = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stdout.splitlines()[-1]))


def core_modules() -> list[str]:
    return [
        module.name
        for module in pkgutil.walk_packages(
            [str(PACKAGE / "core")], prefix="napari_sem_classify.core."
        )
    ]


def test_importing_the_package_loads_nothing_heavy():
    loaded = modules_loaded_after("import napari_sem_classify")
    heavy = {"torch", "fastai", "napari", "qtpy", "PyQt6", "magicgui", "numpy", "dask", "skimage"}
    assert "napari_sem_classify" in loaded
    assert not loaded & heavy


def test_asking_for_the_version_loads_nothing_heavy():
    loaded = modules_loaded_after("import napari_sem_classify as p; p.__version__; dir(p)")
    assert not loaded & {"torch", "napari", "numpy"}


def test_core_knows_neither_napari_nor_qt():
    names = core_modules()
    assert names, "no core module was found"
    loaded = modules_loaded_after("\n".join(f"import {name}" for name in names))
    assert not loaded & {"napari", "npe2", "qtpy", "PyQt6", "PySide6", "magicgui", "superqt"}


def test_importing_core_does_not_load_torch_or_other_slow_libraries():
    names = [name for name in core_modules() if name not in NEEDS_TORCH]
    names = [name for name in names if not name.startswith(ENGINES)]
    loaded = modules_loaded_after("\n".join(f"import {name}" for name in names))
    slow = {"torch", "torchvision", "fastai", "sklearn", "skimage", "matplotlib", "openvino"}
    assert not loaded & (slow | {"zarr", "dask", "tifffile"})


def test_every_dependency_is_imported_and_every_import_is_a_dependency():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {Requirement(each).name for each in project["dependencies"]}
    extras = [each for extra in project["optional-dependencies"].values() for each in extra]
    # dask[distributed] is an extra too, and pandas comes with napari.
    optional = {Requirement(each).name for each in extras} | {"distributed", "pandas"}
    imported = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {each.name.partition(".")[0] for each in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(str(node.module).partition(".")[0])
    known = packages_distributions()
    foreign = imported - set(sys.stdlib_module_names) - {PACKAGE.name}
    used = {canonicalize_name(known.get(name, [name])[0]) for name in foreign}
    assert used - (optional - declared) == declared


def test_the_version_is_a_version():
    assert isinstance(napari_sem_classify.__version__, str)
    assert str(Version(napari_sem_classify.__version__))


@pytest.mark.parametrize("name", sorted(set(napari_sem_classify.__all__) - {"__version__"}))
def test_every_public_name_can_be_loaded(name):
    assert getattr(napari_sem_classify, name).__doc__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
        napari_sem_classify.no_such_name  # noqa: B018


def test_napari_finds_the_manifest_inside_the_package():
    (entry,) = entry_points(group="napari.manifest", name="napari-sem-classify")
    assert entry.value == "napari_sem_classify:napari.yaml"
    assert (PACKAGE / "napari.yaml").read_text(encoding="utf-8").startswith("name: napari-sem-c")


def test_the_manifest_at_the_root_is_the_one_in_the_package():
    root = REPOSITORY / "napari.yaml"
    inside = REPOSITORY / "src" / "napari_sem_classify" / "napari.yaml"
    assert root.read_text(encoding="utf-8") == inside.read_text(encoding="utf-8")
    assert root.resolve() == inside.resolve()


def test_the_package_brings_no_qt_backend_of_its_own():
    requirements = distribution("napari-sem-classify").requires or []
    required = [line for line in requirements if "extra ==" not in line]
    assert required
    assert not [line for line in required if "pyqt" in line.lower() or "pyside" in line.lower()]


def test_the_package_tells_type_checkers_that_it_is_typed():
    assert (PACKAGE / "py.typed").is_file()
