"""Other people's machines: an ordinary user, strange paths and locales, no right to write, other Pythons."""

import ast
import importlib.metadata
import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

HERE = Path(__file__).parent.parent
PROJECT = tomllib.loads((HERE / "pyproject.toml").read_text("utf-8"))["project"]
PYTHONS = [f"3.{minor}" for minor in range(8, 30) if f"3.{minor}" in SpecifierSet(PROJECT["requires-python"])]
PINS = {
    canonicalize_name(name): version
    for name, _, version in (
        line.partition("==") for line in (HERE / "constraints.txt").read_text("utf-8").splitlines()
    )
    if version
}

# ---- what a user does, where we do not stand -------------------------------------------------------------

ASCII = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def someone():
    """Keywords of `subprocess.run` for an ordinary user: nobody, or who runs the tests if it is not root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


@pytest.fixture(scope="module")
def clone():
    """A copy of the library, in a folder with spaces and letters beyond ASCII in its path."""
    with tempfile.TemporaryDirectory(prefix="Zoë's Kurs ñ ", ignore_cleanup_errors=True) as folder:
        clone = Path(folder, "my clone")
        shutil.copytree(HERE / "aelib", clone / "aelib", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(HERE / "tests" / "stranger.py", clone)
        for path in (clone.parent, *clone.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        yield clone


@pytest.fixture(scope="module")
def python():
    """A Python of our version that an ordinary user may run, and the folders of our packages."""
    folders = os.pathsep.join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    name = f"python3.{sys.version_info.minor}"
    for each in (sys.executable, shutil.which(name, path="/usr/local/bin:/usr/bin")):
        try:
            if each:
                environment = {"PYTHONPATH": folders}
                subprocess.run([each, "-c", "import numpy"], env=environment, check=True, **someone())
                return each, folders
        except (OSError, subprocess.CalledProcessError):
            continue
    pytest.skip(f"no {name} and its packages that another user may run: {sys.executable} is for root alone")


@pytest.mark.slow
@pytest.mark.parametrize("situation", ["umask 077", "-O", "a home that cannot be written", "LC_ALL=C"])
def test_what_a_user_does_works(situation, clone, python):
    executable, folders = python
    base = clone.parent / situation
    home, work = base / "höme", base / "my wörk"
    work.mkdir(parents=True)
    home.mkdir(mode=0o555 if "home" in situation else 0o755)
    who = someone()
    if who:
        for path in (work,) if "home" in situation else (work, home):
            os.chown(path, who["user"], who["group"])
    environment = {
        "PATH": "/usr/bin:/bin", "HOME": str(home), "AELIB_OFFLINE": "1", "OMP_NUM_THREADS": "1",
        "PYTHONPATH": f"{clone}{os.pathsep}{folders}", "LANG": "C.UTF-8",
    }  # fmt: skip
    run = "mein Läuf"
    if situation == "LC_ALL=C":
        environment |= ASCII
        run = "run"  # TensorBoard's files are named in UTF-8, so here it can write to names in ASCII alone
    done = subprocess.run(
        [executable, *(["-O"] if situation == "-O" else []), "-W", "error::EncodingWarning:aelib",
         clone / "stranger.py", run],
        cwd=work, env=environment, umask=0o077, capture_output=True, **who,
    )  # fmt: skip
    said = done.stdout.decode(errors="replace")
    assert said.endswith("whole\n"), said + done.stderr.decode(errors="replace")
    assert (work / run).is_dir() and not list(home.glob("**/*.safetensors"))


def sources():
    return sorted((HERE / "aelib").rglob("*.py"))


def test_no_check_is_an_assert():
    for path in sources():
        found = [n.lineno for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Assert)]
        assert not found, f"{path}:{found[0]}: python -O leaves it out; raise an error that says what to do"


def test_text_files_are_utf_8_whatever_the_locale():
    before = {"read_text": 0, "write_text": 1, "open": 3}  # arguments before the encoding
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Name("open"), args=[_, ast.Constant(mode)]) if "b" in mode:
                    pass
                case ast.Call(
                    ast.Name("open" as name) | ast.Attribute(_, "read_text" | "write_text" as name)
                ):
                    said = len(node.args) > before[name] or any(k.arg == "encoding" for k in node.keywords)
                    assert said, f"{path}:{node.lineno}: {name} takes the locale's encoding; name utf-8"


# ---- other Pythons and systems ---------------------------------------------------------------------------


def needed(python, system, machine):
    """(who, requirement) for all that aelib and its extras need there, as far as it is installed here."""
    environment = default_environment() | {
        "python_version": python, "python_full_version": f"{python}.0", "sys_platform": system.lower(),
        "platform_system": system, "platform_machine": machine,
    }  # fmt: skip
    known = {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
    known = {"aelib": {extra: list(map(Requirement, listed)) for extra, listed in known.items()}}
    todo, met = [("aelib", extra) for extra in known["aelib"]], set()
    while todo:
        who, extra = todo.pop()
        if (who, extra) in met:
            continue
        met.add((who, extra))
        try:
            listed = known["aelib"][extra] if who == "aelib" else importlib.metadata.requires(who) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for requirement in (r if isinstance(r, Requirement) else Requirement(r) for r in listed):
            if requirement.marker is None or requirement.marker.evaluate(environment | {"extra": extra}):
                name = canonicalize_name(requirement.name)
                yield who, requirement
                todo += [(name, ""), *((name, e) for e in requirement.extras)]


def test_the_project_names_its_pythons():
    assert PYTHONS == ["3.11", "3.12", "3.13"]
    assert f"3.{sys.version_info.minor}" in PYTHONS
    assert (
        yaml.safe_load((HERE / "environment.yml").read_text("utf-8"))["dependencies"][0].split("=")[1]
        in PYTHONS
    )


def test_every_package_that_is_needed_anywhere_is_pinned_to_what_all_allow():
    used = set()
    for system, machine in (("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "arm64")):
        for python in PYTHONS:
            for who, requirement in needed(python, system, machine):
                name = canonicalize_name(requirement.name)
                where = f"{who} needs {requirement} on {system} with Python {python}"
                assert name == "aelib" or name in PINS, f"{where}: constraints.txt does not pin it"
                assert name == "aelib" or requirement.specifier.contains(PINS[name]), f"{where}: {PINS[name]}"
                used.add(name)
    cuda = {name for name in PINS if name.startswith(("nvidia-", "cuda-")) or name == "triton"}
    unused = sorted(set(PINS) - used - cuda)  # not every build of torch asks for CUDA's libraries
    assert not unused, f"constraints.txt pins what nobody needs: {unused}"


def test_what_is_pinned_allows_every_python():
    here = {canonicalize_name(d.name): d for d in importlib.metadata.distributions() if d.name}
    assert len(PINS.keys() & here.keys()) > 150
    for name in PINS.keys() & here.keys():
        version = here[name].version.partition("+")[0]
        assert version == PINS[name], f"{name} {version} is installed, and another is pinned: run make test"
        allowed = SpecifierSet(here[name].metadata["Requires-Python"] or "")
        assert all(f"{python}.0" in allowed for python in PYTHONS), f"{name} wants Python {allowed}"


@pytest.fixture(scope="module")
def pip():
    """pip, with an index that answers."""
    options = "--disable-pip-version-check --no-cache-dir --retries 1 install --quiet --dry-run"
    options += " --ignore-installed --no-deps --only-binary=:all:"
    dry = [sys.executable, "-m", "pip", *options.split()]
    asked = subprocess.run([*dry, f"iniconfig=={PINS['iniconfig']}"], capture_output=True, text=True)
    if asked.returncode:
        pytest.skip(f"no package index answers: {asked.stderr.strip().splitlines()[-1]}")
    return dry


@pytest.mark.index
@pytest.mark.slow
@pytest.mark.parametrize("system, python", [*(("linux", p) for p in PYTHONS), ("macos", PYTHONS[-1])])
def test_the_pinned_set_resolves_to_wheels(system, python, pip, tmp_path):
    # of a wheel for any system the index has nothing new to say; see the test above
    compiled = [n for n in PINS if "none-any" not in wheel(n)]
    if system == "linux":
        tags = [f"manylinux_2_{minor}_x86_64" for minor in range(5, 29)]
        tags += ["manylinux1_x86_64", "manylinux2010_x86_64", "manylinux2014_x86_64"]
    else:
        tags = [f"macosx_{n}_0_{kind}" for n in range(11, 15) for kind in ("arm64", "universal2")]
        tags += [f"macosx_10_{n}_universal2" for n in range(9, 16)]
        ours_alone = {r.name for _, r in needed(python, "Linux", "x86_64")} - {
            r.name for _, r in needed(python, "Darwin", "arm64")
        }
        compiled = [n for n in compiled if n not in map(canonicalize_name, ours_alone)]
    asked = tmp_path / "asked.txt"
    asked.write_text("\n".join(f"{n}=={PINS[n]}" for n in compiled))
    done = subprocess.run(
        [*pip, "--python-version", python, "--implementation", "cp", *(f"--platform={t}" for t in tags),
         "--target", tmp_path / "nothing", "-r", asked],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(compiled) > 40 and not (tmp_path / "nothing").exists()


def wheel(name):
    """The tags of the wheel that a pinned package came in; none if it is not for this system."""
    try:
        return importlib.metadata.distribution(name).read_text("WHEEL") or ""
    except importlib.metadata.PackageNotFoundError:
        return ""
