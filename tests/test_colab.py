"""What is installed in Colab: the torch that is there stays, what is missing has its pin."""

import sys
from pathlib import Path

import nbformat
import pytest
from packaging.requirements import Requirement

HERE = Path(__file__).parent.parent
sys.path.append(str(HERE / "materials" / "site"))

import colab  # noqa: E402
import editions  # noqa: E402

PINS = (HERE / "constraints.txt").read_text("utf-8")


def asked(text):
    return {colab.canonical(r.name): str(r.specifier) for r in map(Requirement, text.splitlines())}


@pytest.mark.parametrize("version", ["2.11.0", "2.13.0+cu130"])
def test_the_torch_that_is_there_stays(version):
    found = asked(colab.constraints(PINS, {"torch": version, "torchvision": "0.28.0"}))
    assert found["torch"] == f"=={version}" and found["torchvision"] == "==0.28.0"


def test_what_is_missing_has_its_pin_and_what_is_there_has_none():
    there = {"numpy": "2.1.0", "pyyaml": "6.0.1", "jupyterlab-widgets": "3.0.0"}
    found, pinned = (
        asked(colab.constraints(PINS, there)),
        asked("\n".join(line for line in PINS.splitlines() if "==" in line)),
    )
    assert set(pinned) - set(found) == set(there) & set(pinned) and "numpy" in pinned
    assert all(found[name] == pinned[name] for name in found)


def test_with_nothing_there_all_is_as_pinned():
    pinned = [line for line in PINS.splitlines() if "==" in line]
    assert colab.constraints(PINS, {}).splitlines() == pinned


def test_the_edition_for_colab_needs_to_know_where_the_course_is(tmp_path, monkeypatch):
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    with pytest.raises(SystemExit, match="GITHUB_REPOSITORY"):
        editions.make("colab", ["00"], tmp_path)
    monkeypatch.setenv("GITHUB_REPOSITORY", "owner/name")
    (file,) = editions.make("colab", ["00"], tmp_path)
    assert list(tmp_path.iterdir()) == [file] and "owner/name" in file.read_text("utf-8")


@pytest.mark.parametrize("page", sorted((HERE / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_a_page_for_colab_is_the_stored_page_after_one_cell(page):
    mine, stored = editions.colab(page, "owner/name"), nbformat.read(page, as_version=4)
    nbformat.validate(mine)
    assert mine.cells[1:] == stored.cells
    assert "https://github.com/owner/name course" in mine.cells[0].source
    for line in mine.cells[0].source.splitlines()[1:]:  # the files that it names are there
        for word in line.split():
            if word.startswith("course/"):
                assert (HERE / word.removeprefix("course/")).exists()
