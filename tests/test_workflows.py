"""What runs elsewhere, and so is read here: the workflow of the public repository, and the container."""

import itertools
import json
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import container
import pytest
import yaml
from packaging.specifiers import SpecifierSet

from aelib import cli

HERE = Path(__file__).parent.parent
WORKFLOWS = sorted((HERE / ".github" / "workflows").glob("*.y*ml"))
# `on` stays a word
FLOW, PUBLISH = (yaml.load(path.read_text("utf-8"), yaml.BaseLoader) for path in WORKFLOWS)
REQUIRES = SpecifierSet(
    tomllib.loads((HERE / "pyproject.toml").read_text("utf-8"))["project"]["requires-python"]
)
MAKEFILE = (HERE / "Makefile").read_text("utf-8")
STEPS = [(name, step) for name, job in FLOW["jobs"].items() for step in job.get("steps", [])]
LINES = [(name, step, line) for name, step in STEPS for line in step.get("run", "").splitlines()]
# the names that GitHub's schema of workflows allows; a slip such as `step:` or `run-on:` is found by them
TOP = {"name", "run-name", "on", "permissions", "env", "defaults", "concurrency", "jobs"}
BOTH = {"name", "if", "env", "timeout-minutes", "continue-on-error"}
JOB = BOTH | {"permissions", "needs", "runs-on", "environment", "outputs", "steps", "strategy", "services"}
STEP = BOTH | {"id", "uses", "run", "with", "shell", "working-directory"}


def test_it_is_a_workflow():
    assert [path.name for path in WORKFLOWS] == ["ci.yml", "pages.yml"]
    assert TOP >= FLOW.keys() >= {"name", "on", "jobs", "permissions"}
    assert FLOW["permissions"] == {"contents": "read"}
    assert FLOW["on"].keys() == {"push", "pull_request", "schedule", "workflow_dispatch"}
    assert FLOW["on"]["push"] == {"branches": ["main"]}
    for name, job in FLOW["jobs"].items():
        assert re.fullmatch(r"[A-Za-z_][\w-]*", name)
        assert JOB >= job.keys() >= {"runs-on", "steps", "timeout-minutes"}, name
        assert job["steps"][0]["uses"].startswith("actions/checkout@"), f"{name} begins without the checkout"
    for name, step in STEPS:
        assert step.keys() <= STEP and ("uses" in step) != ("run" in step), f"{name}: {step}"
        assert ("with" in step) <= ("uses" in step)
        if "uses" in step:
            pinned = re.fullmatch(r"actions/[\w-]+@(v\d+(\.\d+){0,2}|[0-9a-f]{40})", step["uses"])
            assert pinned, f"{step['uses']}: of another's hand, or of no version"


def test_the_pages_are_published_as_the_makefile_builds_them():
    assert TOP >= PUBLISH.keys() >= {"name", "on", "jobs", "permissions"}
    assert PUBLISH["permissions"] == {"contents": "read", "pages": "write", "id-token": "write"}
    job = PUBLISH["jobs"]["publish"]
    assert "permissions" not in job
    assert JOB >= job.keys() >= {"runs-on", "steps", "timeout-minutes", "environment"}
    assert all(step.keys() <= STEP and ("uses" in step) != ("run" in step) for step in job["steps"])
    for step in job["steps"]:
        assert re.fullmatch(r"actions/[\w-]+@v\d+", step.get("uses", "actions/none@v1"))
    assert [step["run"] for step in job["steps"] if "run" in step] == ["make site"]
    (upload,) = [s for s in job["steps"] if "upload-pages-artifact" in s.get("uses", "")]
    assert f"-c $(SITE) . {upload['with']['path']}" in MAKEFILE
    python = next(s["with"]["python-version"] for s in job["steps"] if "python" in s.get("uses", ""))
    assert python in REQUIRES


def test_one_job_alone_may_write_to_the_repository_the_pages_for_colab():
    assert PUBLISH["jobs"].keys() == {"publish", "colab"} and PUBLISH["on"]["push"] == {"branches": ["main"]}
    job = PUBLISH["jobs"]["colab"]
    assert job["permissions"] == {"contents": "write"} and job.keys() <= JOB and "timeout-minutes" in job
    for step in job["steps"]:
        assert step.keys() <= STEP and ("uses" in step) != ("run" in step)
        assert re.fullmatch(r"actions/[\w-]+@v\d+", step.get("uses", "actions/none@v1"))
    lines = [line for step in job["steps"] for line in step.get("run", "").splitlines()]
    assert "python notebooks/editions.py colab" in lines
    assert [line.split()[-1] for line in lines if line.startswith("git push")] == ["colab"]  # and never main


def test_every_expression_has_a_value():
    known = {"github", "runner", "env", "secrets", "matrix"}
    for name, job in FLOW["jobs"].items():
        text = json.dumps(job)
        conditions = [s["if"] for s in (job, *job["steps"]) if "if" in s]
        for asked in [*re.findall(r"\$\{\{(.*?)\}\}", text), *conditions]:
            for context, key in re.findall(r"\b([a-z]+)\.([\w-]+)", re.sub(r"'[^']*'", "", asked)):
                assert context in known, f"{name}: {asked}"
                matrix = job.get("strategy", {}).get("matrix", {})
                assert context != "matrix" or key in matrix, f"{name} has no {key} in its matrix: {asked}"
    text = WORKFLOWS[0].read_text("utf-8")
    assert text.count("${{") == text.count("}}") > 0


def test_the_matrix_is_what_the_project_supports():
    pythons = [f"3.{minor}" for minor in range(8, 30) if f"3.{minor}" in REQUIRES]
    test, newest = (FLOW["jobs"][name]["strategy"]["matrix"] for name in ("test", "newest"))
    assert test["python"] == newest["python"] == pythons
    assert {system.split("-")[0] for system in test["system"]} == {"ubuntu", "macos"}
    assert test["data"] == ["none", "cached"]
    steps = [s for _, s in STEPS if s.get("uses", "").startswith("actions/setup-python@")]
    assert all(s["with"]["python-version"] == "${{ matrix.python }}" for s in steps) and len(steps) == 2


def test_each_combination_runs_the_tests_once():
    """The conditions of steps are written so that Python reads them too, but for && and ||."""
    matrix = FLOW["jobs"]["test"]["strategy"]["matrix"]
    steps = [s for s in FLOW["jobs"]["test"]["steps"] if "make test" in s.get("run", "")]
    for system, data in itertools.product(matrix["system"], matrix["data"]):
        scope = {"startsWith": str.startswith, "matrix": type("Matrix", (), {"system": system, "data": data})}
        run = [s["run"] for s in steps if eval(s["if"].replace("&&", "and"), scope)]
        assert len(run) == 1, (system, data)
        assert ("-m data" in run[0]) == (data == "cached")
        assert ("not browser" in run[0]) == ("macos" in system and data == "none")


def test_once_a_week_it_takes_the_newest_versions():
    (cron,) = FLOW["on"]["schedule"]
    minute, hour, day, month, weekday = cron["cron"].split()
    assert int(minute) in range(60) and int(hour) in range(24)
    assert (day, month) == ("*", "*") and int(weekday) in range(7)
    newest = FLOW["jobs"]["newest"]
    assert "github.event_name == 'schedule'" in newest["if"]
    (command,) = [step["run"] for step in newest["steps"] if "run" in step]
    installs = {each: installing(*shlex.split(each)[1:]) for each in (command, "make test")}
    assert " -c " not in installs[command] and "-e .[dev]" in installs[command]
    assert installs["make test"].endswith("--no-deps --no-build-isolation -e .[dev]")


def installing(*words):
    """The command by which `make` with these words would install everything."""
    words = ["make", "--dry-run", "--always-make", *words]
    said = subprocess.run(words, cwd=HERE, capture_output=True, text=True, check=True).stdout
    return "; ".join(" ".join(shlex.split(line)) for line in said.splitlines() if "pip install" in line)


def test_what_is_installed_is_known_by_its_sum_but_from_another_index():
    said = installing(".venv/ready")
    assert (
        said.count("pip install") == 2
        and " --require-hashes --only-binary :all: -r requirements.lock;" in said
    )
    other = installing(".venv/ready", "PIP_EXTRA_INDEX_URL=https://example.org")
    assert other.count("pip install") == 1 and " -c constraints.txt -e .[dev]" in other


def test_its_commands_are_those_that_people_are_told():
    targets = set(re.findall(r"^(\S+):(?!=)", MAKEFILE, re.M)) | {".venv/ready"}
    settings = set(re.findall(r"\$\((\w+)[):]", MAKEFILE))
    markers = {"data", "browser"}
    for name, step, line in LINES:
        subprocess.run(["bash", "-n", "-c", line], check=True)
        command, *words = shlex.split(line)
        if command == "make":
            for word in words:
                assert word in targets or word.partition("=")[0] in settings, f"{name}: {line}"
            asked = re.findall(r"-m '?(?:not )?(\w+)", line)
            assert set(asked) <= markers, f"{name}: {line}"
        elif command == "docker":
            assert words[0] in ("build", "run")
            told = container.DOCKERFILE.read_text("utf-8")
            assert words[0] == "run" or f"#   {line}" in told, f"the Dockerfile does not say: {line}"
        else:
            assert command in (".venv/bin/aelib", ".venv/bin/python"), f"{name}: {line}"
            assert step["if"] == "matrix.data == 'cached'"


@pytest.mark.data
@pytest.mark.slow
def test_what_is_downloaded_is_named_rightly(capsys):
    """The commands that download, where all is there already: a name that is wrong fails."""
    lines = [shlex.split(line) for _, _, line in LINES if line.startswith(".venv/bin/")]
    assert len(lines) >= 5
    for program, *words in lines:
        if program.endswith("aelib"):
            cli.main(words)
        else:
            assert words[0] == "-c"
            exec(words[1], {})
    assert capsys.readouterr().out.count("train, ") == 3


# ---- the container ---------------------------------------------------------------------------------------

STEPS_OF_IMAGE = list(container.instructions(container.DOCKERFILE))


def test_the_image_is_for_an_ordinary_user_and_of_the_pinned_set():
    (base,) = [rest for word, rest in STEPS_OF_IMAGE if word == "FROM"]
    assert re.fullmatch(r"debian:[a-z]+-slim", base)
    (user,) = [rest for word, rest in STEPS_OF_IMAGE if word == "USER"]
    assert f"useradd --uid {user} " in dict(STEPS_OF_IMAGE[1:2])["RUN"] and int(user) >= 1000
    (installs,) = [
        rest for word, rest in STEPS_OF_IMAGE if "make" in rest and word == "RUN" and "apt" not in rest
    ]
    assert installs.endswith('make "$VENV/ready"') and '="$PYTORCH_INDEX"' in installs
    venv = dict(rest.split("=", 1) for word, rest in STEPS_OF_IMAGE if word == "ENV")["VENV"]
    for index, by in (("https://example.org", " -c constraints.txt "), ("", " -r requirements.lock")):
        assert by in installing(f"{venv}/ready", f"VENV={venv}", f"PIP_EXTRA_INDEX_URL={index}")
    (command,) = [json.loads(rest) for word, rest in STEPS_OF_IMAGE if word == "CMD"]
    assert command[:2] == ["make", "lab"] and command[2].startswith("LAB=")


def test_what_the_image_copies_is_there():
    copied = [rest.split()[1:-1] for word, rest in STEPS_OF_IMAGE if word == "COPY"]
    assert copied[-1] == ["."] and all((HERE / source).exists() for sources in copied for source in sources)
    before = {source for sources in copied[:-1] for source in sources}
    project = tomllib.loads((HERE / "pyproject.toml").read_text("utf-8"))["project"]
    assert before >= {"pyproject.toml", "constraints.txt", project["readme"], *project["license-files"]}
    ignored = {
        line.strip("/").removeprefix("**/") for line in (HERE / ".dockerignore").read_text().splitlines()
    }
    for line in (HERE / ".gitignore").read_text("utf-8").split():
        assert line.strip("/") in ignored, f"docker would copy {line}"


def test_the_development_container_is_that_image():
    about = json.loads((HERE / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
    folder = HERE / ".devcontainer"
    assert (folder / about["build"]["dockerfile"]) == container.DOCKERFILE
    assert (folder / about["build"]["context"]).resolve() == HERE.resolve()
    assert f"{about['remoteUser']} " in f"{dict(STEPS_OF_IMAGE[1:2])['RUN']} "
    assert (
        about["postCreateCommand"] == "make --always-make $VENV/ready"
    )  # a new checkout, the same environment
    environment = dict(rest.split("=", 1) for word, rest in STEPS_OF_IMAGE if word == "ENV")["VENV"]
    settings = about["customizations"]["vscode"]["settings"]
    assert settings["python.defaultInterpreterPath"] == f"{environment}/bin/python"
    ports = [int(rest) for word, rest in STEPS_OF_IMAGE if word == "EXPOSE"]
    assert about["forwardPorts"] == ports == [8888]


def test_the_reader_of_dockerfiles_reads_what_docker_reads(tmp_path):
    file = tmp_path / "Dockerfile"
    file.write_text("# one\nFROM  debian:a-slim\n\nRUN a \\\n # not this\n  && b\\\n c 'x  y'\ncopy . ./\n")
    assert list(container.instructions(file)) == [
        ("FROM", "debian:a-slim"), ("RUN", "a    && b  c 'x  y'"), ("COPY", ". ./"),
    ]  # fmt: skip
