"""The pages as documents: in step with their text, executed, small, and compared wherever they can be.

The rule of what is compared: what a cell without the tag `nbval-ignore-output` prints depends neither on the
data, nor on the profile, nor on the machine; and every cell, tagged or not, has outputs of the same *kinds*
everywhere: streams, results, pictures. What is stored is the full profile on the real data. `.ci/run` runs
each page in the quick profile twice, without data on one thread and with the data on two, so that a cell that
breaks the rule fails in one of the runs (notebooks/conftest.py compares the kinds). What two runs on one
machine do not show, such as its name, its versions and its clock, is looked for below, in the cells.
"""

import json
import re
from pathlib import Path

import jupytext
import nbformat
import pytest

HERE = Path(__file__).parent.parent
PAGES = sorted((HERE / "notebooks").glob("*.ipynb"))
IGNORE = "nbval-ignore-output"
ASKS = r"course\.(data|graph|machine|device|profile)\b|\b(time\.\w+|perf_counter|\w+_threads|cpu_count)\b"
TELLS = r"Python \d|torch \d|\bCPU\b|\bcuda|/tmp/|\b0x[0-9a-f]{6}|\b20\d\d-\d\d-\d\d"


def code_cells(page):
    return [c for c in nbformat.read(page, as_version=4).cells if c.cell_type == "code"]


def text_outputs(cell):
    """What nbval would compare: printed text, and results that are not pictures or widgets."""
    out = []
    for o in cell.outputs:
        if o.output_type == "stream":
            out.append("".join(o.text))
        elif (
            "image/png" not in o.get("data", {}) and "application/vnd.jupyter.widget-view+json" not in o.data
        ):
            out.append(str(o.data))
    return out


def test_every_source_has_its_page_and_every_page_its_source():
    assert [p.stem for p in PAGES] == sorted(p.stem for p in (HERE / "notebooks/source").glob("*.py"))
    assert len(PAGES) >= 2


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_a_page_says_what_its_source_says(page):
    source = jupytext.read(HERE / "notebooks/source" / f"{page.stem}.py")
    cells = nbformat.read(page, as_version=4).cells
    assert [(c.cell_type, c.source) for c in source.cells] == [(c.cell_type, c.source) for c in cells]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_every_cell_was_executed_in_order_without_error(page):
    cells = [c for c in code_cells(page) if c.source.strip()]
    assert [c.execution_count for c in cells] == list(range(1, len(cells) + 1))
    assert not [o for c in cells for o in c.outputs if o.output_type == "error" or o.get("name") == "stderr"]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_no_more_cells_are_marked_than_need_it(page):
    """A marked cell has text, with a number or a name of the machine in it; at most a third are marked."""
    cells = code_cells(page)
    marked = [c for c in cells if IGNORE in c.metadata.get("tags", [])]
    for cell in marked:
        texts = text_outputs(cell)
        assert texts, f"nothing to ignore in: {cell.source[:60]}"
        assert re.search(r"\d", " ".join(texts)), f"no number in what is ignored: {cell.source[:60]}"
    assert len(marked) <= len(cells) / 3
    assert not any("NBVAL_IGNORE" in c.source for c in cells)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_what_is_compared_is_not_about_the_machine(page):
    for cell in code_cells(page):
        text = " ".join(text_outputs(cell))
        if text and IGNORE not in cell.metadata.get("tags", []):
            for found in (re.search(ASKS, cell.source), re.search(TELLS, text)):
                assert not found, f"tag it {IGNORE}, or print no {found[0]!r}: {cell.source[:60]}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_a_page_is_small_and_its_cells_are_short(page):
    assert page.stat().st_size <= 3e6
    for cell in code_cells(page):
        assert cell.source.count("\n") <= 18, cell.source[:60]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_every_picture_has_words_for_those_who_cannot_see_it(page):
    """A sentence or two, of its own, that the cell holds: `figure.described("…")`."""
    seen = set()
    for cell in code_cells(page):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                words = output.metadata.get("image/png", {}).get("alt", "")
                assert 40 <= len(words) <= 300, f"{words!r} after {cell.source[-60:]}"
                assert words not in seen, f"said twice: {words}"
                seen.add(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_stored_outputs_are_those_of_a_full_run(page):
    text = json.dumps([o for c in code_cells(page) for o in c.outputs])
    assert "profile full" in text and "is not here, so this page runs on" not in text
    for leak in ("/home/", "/root/", "/work/", "Traceback"):
        assert leak not in text
