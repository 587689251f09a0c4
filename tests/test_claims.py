"""What the pages say is what they print: `pytest -m claims` (notebooks/claiming.py says what a claim is)."""

import copy
from functools import cache
from itertools import count, cycle
from pathlib import Path

import claiming
import execute
import nbformat
import pytest

HERE = Path(__file__).parent.parent / "notebooks"
PAGES = {p.stem.split("_")[0]: p for p in sorted(HERE.glob("*.ipynb"))}
CLAIMED = sorted(p.stem for p in (HERE / "claims").glob("*.yaml"))
CLAIMS = [(number, claim) for number in CLAIMED for claim in claiming.read(number)]
pytestmark = pytest.mark.claims
each = pytest.mark.parametrize("number, claim", CLAIMS, ids=[f"{n}: {c['says'][:50]}" for n, c in CLAIMS])


@cache
def notebook(number):
    return nbformat.read(PAGES[number], as_version=4)


@cache
def page(number):
    return claiming.page(notebook(number))


def test_every_page_has_claims():
    assert set(CLAIMED) <= set(PAGES) and len(CLAIMS) >= 300
    for number in CLAIMED:
        assert len(claiming.read(number)) >= 8, f"few sentences of page {number} are held by claims"


@each
def test_a_page_prints_what_it_says(number, claim):
    claiming.verify(claim, page(number))


@each
def test_every_claim_can_fail(number, claim, monkeypatch):
    """A sentence that is changed breaks it, and so does one of these at least in the place of its numbers."""
    claimed = page(number)
    with pytest.raises(claiming.Broken, match="no text of the page has these words"):
        claiming.verify(claim | {"says": claim["says"] + " not"}, claimed)
    if "prints" in claim or "code" in claim:
        key = "prints" if "prints" in claim else "code"
        with pytest.raises(claiming.Broken, match=f"{key} .* is not so"):
            claiming.verify(claim | {key: claim[key] + " not"}, claimed)
        return
    others = [count(), count(0, -1), count(10**9), count(-(10**9)), cycle([1, 9]), cycle([9, 1])]
    assert any(broken_by(numbers, claim, claimed, monkeypatch) for numbers in others), "it holds of all"


def broken_by(numbers, claim, claimed, monkeypatch):
    """Whether a claim breaks if these are the numbers that it finds on the page."""
    with monkeypatch.context() as m:
        m.setattr(claiming, "_after", lambda text, printed: str(next(numbers)))
        m.setattr(claiming, "_in_table", lambda place, printed: str(next(numbers)))
        try:
            claiming.verify(claim, claimed)
        except claiming.Broken:
            return True
    return False


def test_a_page_that_printed_another_number_is_found():
    changed = copy.deepcopy(notebook("01"))
    (cell,) = [c for c in changed.cells if 'table = {"linear, 128"' in c.source]
    cell.outputs[0].text = cell.outputs[0].text.replace("0.00477   against PCA's 0.00557: -14.4%", "0.00577")
    assert claiming.failing(notebook("01"), "01") == []
    wrong = claiming.failing(changed, "01")
    assert len(wrong) >= 2 and any("what bent layers gain" in sentence for sentence in wrong)


def test_a_sentence_that_says_something_else_is_found():
    changed = copy.deepcopy(notebook("01"))
    (cell,) = [c for c in changed.cells if "faces differ less" in c.source and c.cell_type == "markdown"]
    cell.source = cell.source.replace("faces differ less", "faces differ more")
    wrong = claiming.failing(changed, "01")
    assert wrong and all("no text of the page has these words" in sentence for sentence in wrong)


def test_a_page_is_held_to_its_claims_when_it_was_run(tmp_path, monkeypatch, capsys):
    class Kernel:  # that prints 0.3 in every cell
        def __init__(self, notebook, **options):
            self.cells = [c for c in notebook.cells if c.cell_type == "code"]

        def execute(self):
            for cell in self.cells:
                cell.outputs = [nbformat.v4.new_output("stream", text="a is 0.3\n")]

    for name, text in {
        "99_page.py": "# %% [markdown]\n# It is one half.\n\n# %%\nprint(a)\n",
        "claims/99.yaml": "- {says: It is one half, cell: print(a), number: a is, is: 0.5}\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(execute, "HERE", tmp_path)
    monkeypatch.setattr(claiming, "HERE", tmp_path)
    monkeypatch.setattr(execute, "NotebookClient", Kernel)
    for profile, says in (("full", True), ("quick", False)):  # a quick run's numbers are not what is stored
        monkeypatch.setenv("AELIB_PROFILE", profile)
        execute.execute(tmp_path / "99_page.py")
        assert ("prints what it says. 'It is one half': 0.3" in capsys.readouterr().out) == says


def made(*cells):
    """A page of (code, what it prints)."""
    return claiming.Page(["It is one half, and b is twice as large."], list(cells))


@pytest.mark.parametrize(
    "evidence, says",
    [
        ({"number": "a is", "above": "0.5"}, "0.5 .a is. is not above 0.5"),
        ({"number": "c is", "above": "0.5"}, "no number at 'c is'"),
        ({"number": "is", "above": "0"}, "stands on 2 lines: say more words"),
        ({"number": "a is", "is": "0.6"}, "is not is 0.6"),
        ({"number": "b is", "over": "a is", "is": "2.1"}, "2 .b is. is not is 2.1"),
        ({"number": ["a is", "b is"], "between": ["0.4", "0.6"]}, "1 .b is. is not between"),
        ({"rises": ["b is", "a is"]}, "rises is not so of .1.0, 0.5"),
        ({"number": {"row": "first", "column": "right"}, "is": "3"}, "4 .* is not is 3"),
        ({"number": {"row": "second", "column": "right"}, "is": "3"}, "no number at"),
        ({"number": {"row": "first"}, "is": "3"}, "neither a number nor words"),
        ({"number": "a is", "is": "0.5", "cell": "print"}, "2 code cells have 'print': it must be one"),
        ({"prints": "b is 2"}, "prints 'b is 2' is not so"),
        ({"code": "print(b, c)"}, "code .* is not so"),
    ],
)
def test_what_is_wrong_is_said(evidence, says):
    claim = {"says": "It is one half", "cell": "print(a, b)"} | evidence
    prints = "a is 0.50\nb is 100%\n\n       left   right\nfirst     3      4\n"
    with pytest.raises(claiming.Broken, match=says):
        claiming.verify(claim, made(("print(a, b)", prints), ("print(1)", "1")))


@pytest.mark.parametrize(
    "evidence",
    [
        {"number": "a is", "is": "0.5"}, {"number": "a is", "is": "50 %"}, {"number": "a is", "is": "a is"},
        {"number": "b is", "over": "a is", "is": "2"}, {"number": "b is", "minus": "a is", "is": "0.50"},
        {"number": ["a is", "b is"], "at least": "a is"}, {"falls": ["b is", "a is"]},
        {"number": {"row": "first", "column": "left"}, "is": "3"}, {"prints": "a is 0.50 b"},
        {"number": {"after": "c … :", "cell": "print(c)"}, "is": "12,000"},
    ],
)  # fmt: skip
def test_what_holds(evidence):
    prints = "a is 0.50\nb is 100%\n\n       left   right\nfirst     3      4\n"
    claim = {"says": "It is one half", "cell": "print(a, b)"} | evidence
    claiming.verify(claim, made(("print(a, b)", prints), ("print(c)", "c of −2: 12,000 nats")))


@pytest.mark.parametrize(
    "claim, says",
    [
        ("- {says: a, cell: b, nmber: c, is: 1}", "has no {'nmber'}"),
        ("- {says: a, number: c, is: 1}", "it needs {'cell'}"),
        ("- {says: a, cell: b}", "it needs a number and one of"),
        ("- {says: a, cell: b, number: c}", "it needs a number and one of"),
        ("- {says: a, cell: b, above: 1}", "it needs a number and one of"),
    ],
)
def test_a_claim_that_cannot_be_read_is_said(claim, says, tmp_path, monkeypatch):
    monkeypatch.setattr(claiming, "HERE", tmp_path)
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "01.yaml").write_text(claim)
    with pytest.raises(claiming.Broken, match=says):
        claiming.read("01")
