"""What a user gets: the wheel, made from the sdist, in an environment of its own, far from the checkout.

Nothing is downloaded. The new environment sees those distributions of this one that `pip install aelib[lab]`
would bring, and no other: they are linked into it, one by one.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path

import onnx
import pandas as pd
import pytest
from packaging.requirements import Requirement

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent.parent
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir")
STRANGER = """
import importlib.util, pkgutil, sys
import aelib
from aelib import cli, datasets, losses, materials, models, pretrained, training

assert aelib.__file__.startswith(sys.prefix), aelib.__file__
assert not any(map(importlib.util.find_spec, ["pytest", "nbval", "playwright"]))  # which [dev] brings
for module in pkgutil.walk_packages(aelib.__path__, "aelib."):  # all can be imported, also those for the lab
    importlib.import_module(module.name)
for name in pretrained.MODELS:
    assert aelib.load(f"pretrained/{name}").encoder is not None
    assert pretrained.record(name)["test"]["images"] >= 1000
for name in ("ae-lfw", "vae-lfw"):
    assert pretrained.directions(name)["Smiling"].norm() > 0
digits = datasets.load("digits")
model = models.autoencoder(digits.shape, 8, net="mlp", hidden=(64,))
history = aelib.fit(model, digits.train, losses.elbo, training.adam(model, 1e-3), epochs=3)
assert history[-1]["train/loss"] < history[0]["train/loss"]
assert "LFW" in materials.licences().read_text(encoding="utf-8")
assert not materials.RESULTS.exists()
print("whole")
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A copy of the checkout, the sdist that is made of it, and the wheel that is made of the sdist."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for each in ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(HERE / each, source)
    for each in ("aelib", "materials", "notebooks", "tests"):
        shutil.copytree(HERE / each, source / each, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    code = f"from setuptools import build_meta; build_meta.build_sdist({str(out)!r})"
    done(sys.executable, "-c", code, cwd=source)
    sdist = next(out.glob("*.tar.gz"))
    done(*PIP, "wheel", "--no-build-isolation", "--no-deps", "--no-index", "-w", out, sdist, cwd=out)
    return source, sdist, next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """The folder of a new environment in which the wheel is installed."""
    folder = tmp_path_factory.mktemp("elsewhere") / "venv"
    done(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    done(*PIP, "--python", folder / "bin" / "python", "install", "--no-deps", "--no-index", built[2],
         cwd=folder.parent)  # fmt: skip
    site = next(folder.glob("lib/python*/site-packages"))
    aelib = metadata.Distribution.at(next(site.glob("aelib-*.dist-info")))
    for distribution in closure(aelib, "lab").values():
        for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(distribution.locate_file(top))
    return folder


def closure(first, extra):
    """Name → distribution: all that this one with this extra requires, and what those require."""
    found, todo = {}, [(first, (extra,))]
    while todo:
        distribution, extras = todo.pop()
        for requirement in map(Requirement, distribution.requires or ()):
            if requirement.marker is None or any(
                requirement.marker.evaluate({"extra": e}) for e in ("", *extras)
            ):
                own = requirement.name == first.name
                wanted = (requirement.name, tuple(sorted(requirement.extras)))
                if wanted not in found:
                    found[wanted] = first if own else metadata.distribution(requirement.name)
                    todo.append((found[wanted], wanted[1]))
    return {name: distribution for (name, _), distribution in found.items() if name != first.name}


def done(*words, cwd):
    """What a command prints, in a process that knows nothing of this checkout and its settings."""
    home = Path(cwd) / "home"
    home.mkdir(exist_ok=True)
    ours = ("AELIB", "PYTHON", "PIP_", "VIRTUAL_", "ORT_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    settings = {"HOME": home, "AELIB_OFFLINE": "1", "AELIB_CACHE": home / "empty"}
    process = subprocess.run(
        [str(w) for w in words], cwd=cwd, env=kept | {k: str(v) for k, v in settings.items()},
        capture_output=True, text=True,
    )  # fmt: skip
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def test_wheel_and_sdist_hold_the_library_whole_and_nothing_of_the_course(built):
    checkout, sdist, wheel = built
    ours = {p.relative_to(checkout).as_posix(): p for p in (checkout / "aelib").rglob("*") if p.is_file()}
    assert "aelib/py.typed" in ours and sum(name.endswith(".safetensors") for name in ours) >= 10
    top, info = (
        sdist.name.removesuffix(".tar.gz"),
        f"{wheel.name.removesuffix('-py3-none-any.whl')}.dist-info",
    )
    with zipfile.ZipFile(wheel) as file:
        inside = {name: file.read(name) for name in file.namelist()}
    with tarfile.open(sdist) as file:
        source = {m.name.removeprefix(f"{top}/"): file.extractfile(m).read() for m in file if m.isfile()}
    for held in (inside, source):
        assert {name for name in held if name.startswith("aelib/")} == ours.keys()
        assert all(held[name] == path.read_bytes() for name, path in ours.items())
    assert {name.split("/")[0] for name in inside} == {"aelib", info}
    assert not [name for name in source if name.startswith(("tests", "notebooks"))]
    terms = inside[f"{info}/licenses/materials/data_licences.md"]
    assert terms == (checkout / "materials" / "data_licences.md").read_bytes()


def test_the_lab_extra_alone_is_enough_to_use_everything(installed, tmp_path):
    python, aelib = installed / "bin" / "python", installed / "bin" / "aelib"
    assert done(python, "-W", "ignore", "-c", STRANGER, cwd=tmp_path).endswith("whole\n")
    assert "data_licences.md" in (listed := done(aelib, "datasets", cwd=tmp_path))
    assert Path(listed.splitlines()[-1]).is_relative_to(installed)
    small = ("--net", "mlp", "--hidden", "[16]", "--latent", "3", "--epochs", "2")
    done(aelib, "train", "digits", *small, "--out", "my run", cwd=tmp_path)
    assert len(pd.read_csv(tmp_path / "my run" / "history.csv")) == 2
    done(aelib, "report", "my run", cwd=tmp_path)
    assert (tmp_path / "my run" / "report.html").read_text(encoding="utf-8").count("<img") > 2
    done(aelib, "export", "my run", cwd=tmp_path)
    for part in ("encoder", "decoder"):
        onnx.checker.check_model(tmp_path / "my run" / f"{part}.onnx")
    assert not list((tmp_path / "home").rglob("deviceid"))  # ONNX Runtime's, under which it would report
