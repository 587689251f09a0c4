"""The project as a whole: what it depends on, and which way its imports go."""

import ast
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).parent.parent
PROJECT = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
ORDER = [
    "errors", "files", "materials", "contexts", "datasets", "distributions", "heads", "nets", "priors",
    "models", "losses", "evaluation", "metrics", "baselines", "plots", "training", "runs", "latent",
    "pretrained", "faces", "outliers", "diagnosis", "retrieval", "graphs", "estimators",
    "report", "export", "explorers", "cli", "__main__",
]  # fmt: skip


def test_every_dependency_has_bounds_and_a_pin_within_them():
    pins = dict(
        line.split("==") for line in (HERE / "constraints.txt").read_text().splitlines() if "==" in line
    )
    pins = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    extras = PROJECT["optional-dependencies"]
    listed = [*PROJECT["dependencies"], *(r for extra in extras.values() for r in extra)]
    for requirement in map(Requirement, listed):
        if requirement.name == "aelib":
            continue
        operators = {s.operator for s in requirement.specifier}
        assert operators - {"!="} == {">=", "<"}, f"{requirement} needs a lower and an upper bound"
        assert requirement.specifier.contains(pins[requirement.name.lower()]), (
            f"the pin is outside {requirement}"
        )


def test_every_pin_is_locked_with_the_sums_of_its_files_and_nothing_else_is():
    pins = set(re.findall(r"^([\w.-]+)==([\w.]+)$", (HERE / "constraints.txt").read_text(), re.M))
    lock = (HERE / "requirements.lock").read_text()
    locked = re.findall(
        r"^([\w.-]+)==(\S+)(?: ; (.+?))? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", lock, re.M
    )
    assert len(re.findall("^[^ #]", lock, re.M)) == len(locked)  # each line was understood
    apart = {canonicalize_name(Requirement(r).name) for r in PROJECT["optional-dependencies"]["grade"]}
    canonical = {
        (name, v) for n, v in pins if (name := canonicalize_name(n)) not in apart
    }  # [dev] has it not
    windows = {"colorama", "pywinpty"}
    assert {
        (canonicalize_name(n), v) for n, v, *_ in locked if canonicalize_name(n) not in windows
    } == canonical
    assert {
        canonicalize_name(n) for n, _, where, _ in locked if "win32" in where or "'nt'" in where
    } >= windows
    assert all(len(set(sums.split())) >= 1 for *_, sums in locked)
    for name in ("numpy", "torch", "pillow", "faiss-cpu"):  # files for each Python and each system
        (sums,) = (sums for n, *_, sums in locked if n == name)
        assert sums.count("sha256") >= 9


def test_conda_installs_the_package_with_its_pins():
    environment = yaml.safe_load((HERE / "environment.yml").read_text())
    assert environment["dependencies"][-1]["pip"] == ["-c constraints.txt", "-e .[dev]"]


def modules():
    for path in sorted((HERE / "aelib").rglob("*.py")):
        name = path.relative_to(HERE / "aelib").parts[0].removesuffix(".py")
        if name != "__init__":
            yield name, path


def dotted(path):
    """aelib/runs/run.py → aelib.runs.run, aelib/runs/__init__.py → aelib.runs"""
    parts = path.relative_to(HERE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {dotted(path): path for path in sorted((HERE / "aelib").rglob("*.py"))}


def arrows(name, path):
    """The modules of the package that a file imports, wherever in it the import stands."""
    package = name.split(".") if path.stem == "__init__" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])
        elif isinstance(node, ast.ImportFrom):
            base = node.module
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name in FILES)
            continue
        else:
            continue
        for alias in node.names:
            if f"{base}.{alias.name}" in FILES:
                yield f"{base}.{alias.name}"
            elif base in FILES and alias.name != "__version__":
                yield base


@pytest.mark.parametrize("name", [n for n in FILES if n != "aelib"])
def test_imports_go_down_in_function_bodies_too(name):
    room = name.split(".")[1]
    for other in arrows(name, FILES[name]):
        assert other != "aelib", f"{name} imports the package's top"
        below = other.split(".")[1]
        assert below == room or ORDER.index(below) < ORDER.index(room), f"{name} imports {other}"


def test_no_circle_of_imports():
    sorter = TopologicalSorter({n: {o for o in arrows(n, p) if o != n} for n, p in FILES.items()})
    sorter.prepare()  # names the circle, if there is one


@pytest.mark.parametrize("name, path", list(modules()), ids=lambda v: v.stem if isinstance(v, Path) else "")
def test_libraries_stay_where_they_belong(name, path):
    top = [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.Import | ast.ImportFrom)]
    names = {a.name.split(".")[0] for n in top if isinstance(n, ast.Import) for a in n.names}
    names |= {n.module.split(".")[0] for n in top if isinstance(n, ast.ImportFrom) and not n.level}
    assert "matplotlib" not in names or name in ("plots", "explorers")
    assert "ipywidgets" not in names or name == "explorers"
    assert "sklearn" not in names or name == "estimators"  # derives from its classes, imported when used
    slow = {"zuko", "skimage", "torchvision", "torch_geometric", "pooch", "lightning_fabric"}
    assert not names & slow, "slow: import it where it is used"


def test_every_import_is_of_a_package_that_is_asked_for():
    """By aelib itself or its lab extra, and not only by something that these ask for."""
    extras = PROJECT["optional-dependencies"]
    listed = [*PROJECT["dependencies"], *extras["lab"], *extras["export"]]
    asked = {canonicalize_name(Requirement(r).name) for r in listed}
    distributions = packages_distributions()
    for _, path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            for top in {name.split(".")[0] for name in names} - sys.stdlib_module_names:
                assert asked & {canonicalize_name(d) for d in distributions.get(top, ())}, (
                    f"{path} imports {top}"
                )


def test_only_one_module_looks_for_files_outside_the_package():
    """An installed library has no checkout around it, and materials.py knows what to do then."""
    up = re.compile(r"__file__\).*\.(parents|parent\.parent)")
    assert {name for name, path in modules() if up.search(path.read_text())} == {"materials"}


def test_a_file_is_read_in_one_sitting():
    for _, path in modules():
        assert len(path.read_text().splitlines()) <= 350, path


def test_importing_the_package_is_quick_and_quiet():
    code = "import sys, aelib; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n" and done.stderr == ""


def test_docstrings_examples_run():
    import doctest
    import importlib

    tried = 0
    for name, path in modules():
        if path.stem not in ("drawn",):
            parts = path.relative_to(HERE).with_suffix("").parts
            result = doctest.testmod(importlib.import_module(".".join(p for p in parts if p != "__init__")))
            assert result.failed == 0, name
            tried += result.attempted
    assert tried >= 10
