"""The tests' own machinery, judged by tests that it runs: who finds the data, and what a page may print."""

import shutil
from pathlib import Path

import nbformat
import pytest

HERE = Path(__file__).parent.parent
pytest_plugins = "pytester"
ASKING = """\
import os
import pytest
from pathlib import Path


@pytest.fixture(scope="module")
def found():
    return os.environ.get("AELIB_DATA"), [p.name for p in Path(os.environ["AELIB_CACHE"]).iterdir()]


def test_unmarked(found):
    assert found == (None, [])


@pytest.mark.data
def test_marked():
    assert os.path.isdir(os.environ["AELIB_DATA"])
    assert os.listdir(os.environ["AELIB_CACHE"]) == ["mnist"]
"""


@pytest.fixture
def project(pytester, monkeypatch):
    """An empty project with our settings, our tests' conftest.py, and data and a cache of its own."""
    for name in ("pyproject.toml", "tests/conftest.py", "notebooks/conftest.py"):
        (pytester.path / name).parent.mkdir(exist_ok=True)
        shutil.copy(HERE / name, pytester.path / name)
    for variable, folder in (("AELIB_DATA", "data/lfw"), ("AELIB_CACHE", "cache/mnist")):
        (pytester.path / folder).mkdir(parents=True)
        monkeypatch.setenv(variable, str((pytester.path / folder).parent))
    return pytester


def test_only_a_marked_test_finds_the_real_data(project, monkeypatch):
    (project.path / "tests/test_asking.py").write_text(ASKING)
    project.runpytest_subprocess("tests").assert_outcomes(passed=2)
    monkeypatch.delenv("AELIB_DATA")
    project.runpytest_subprocess("tests").assert_outcomes(passed=1, skipped=1)


def cell(source, stored, *tags):
    outputs = [nbformat.v4.new_output(*kind, **content) for kind, content in stored]
    return nbformat.v4.new_code_cell(source, outputs=outputs, execution_count=1, metadata={"tags": [*tags]})


def test_a_cell_whose_kind_of_output_changes_fails_marked_or_not(project):
    line = [(("stream",), {"text": "1\n"})]
    result = [(("execute_result",), {"data": {"text/plain": "2"}, "execution_count": 1})]
    both = {"text/plain": "Picture", "image/png": ""}
    picture = [(("display_data",), {"data": both})]
    widget = {"text/plain": "Explorer", "application/vnd.jupyter.widget-view+json": {"model_id": "1"}}
    moved = [(("display_data",), {"data": widget})]  # beside which a still picture may lie, or not
    show = "from IPython.display import display\ndisplay({}, raw=True)"
    ignored = "nbval-ignore-output"
    good = [
        cell("print(1)", line), cell("print(3)", line, ignored), cell("3", result, ignored),
        cell(show.format(both), picture), cell("print(3)\n3", line + result, ignored),
        cell(show.format(widget | {"image/png": ""}), moved),
    ]  # fmt: skip
    bad = [
        cell("pass", line, ignored), cell("print(3)", [], ignored), cell("3", line, ignored),
        cell("import sys\nprint(3, file=sys.stderr)", line, ignored), cell("print(3)\n3", result, ignored),
        cell(show.format({"text/plain": "Picture"}), picture), cell("print(3)\n2", result + line, ignored),
        cell("print(3)", line),
    ]  # fmt: skip
    nbformat.write(nbformat.v4.new_notebook(cells=good + bad), project.path / "notebooks/page.ipynb")
    done = project.runpytest_subprocess("notebooks")
    done.assert_outcomes(passed=len(good), failed=len(bad))
    done.stdout.fnmatch_lines(["*kinds of its outputs differ*", "stored: ['stdout']", "now:    []"])


def test_without_a_chromium_the_browser_tests_fail_where_CI_is_set_and_are_skipped_elsewhere(
    project, monkeypatch
):
    shutil.copy(HERE / "tests/test_browser.py", project.path / "tests")
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CI", raising=False)
    some = ("tests/test_browser.py", "-k", "search")
    assert set(project.runpytest_subprocess(*some).parseoutcomes()) == {"skipped", "deselected"}
    monkeypatch.setenv("CI", "true")
    assert set(project.runpytest_subprocess(*some).parseoutcomes()) == {"errors", "deselected"}
