"""Claims: what a sentence of a page says, and the printed numbers that it rests on.

notebooks/claims/NN.yaml is a list of claims about page NN. A claim names its sentence and its evidence,

    says      words of the page's text, as they stand there (where lines break does not matter)
    cell      words of the code cell whose printed text is the evidence; no other cell has them

and says what must hold of it:

    number    A, or a list, of which each must hold; `over: B` divides it by B first, `minus: B` subtracts B
    is        C: equal, rounded to as many digits as C is written with
    above     C: larger than C; also `below`, `at least`, `at most`, and `between: [C, D]`
    rises     [A, B, …]: each number is larger than the one before it; also `falls`
    prints    words that the printed text has
    code      words that the cell has, for a sentence about a setting

A to D are numbers ("18 %" is 0.18), or say where to find one: words of the printed text, after which it comes
on the same line (… stands for anything in between), or `{row: …, column: …}`, the place of a table where
the line that begins with the one meets what stands below the other. `{after: …, cell: …}` looks into another
cell.
"""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from nbformat import NotebookNode

HERE = Path(__file__).parent
NUMBER = re.compile(r"(?<![\w.])[-−+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[-+]?\d+)?(?: ?%)?")
COMPARED = {
    "above": lambda a, c: a > c, "below": lambda a, c: a < c,
    "at least": lambda a, c: a >= c, "at most": lambda a, c: a <= c,
}  # fmt: skip
TESTS = ("is", *COMPARED, "between")
KEYS = {"says", "cell", "number", "over", "minus", *TESTS, "rises", "falls", "prints", "code"}


class Broken(AssertionError):
    """A claim that does not hold, or one that cannot be read."""


class Page(NamedTuple):
    """The texts of a page, one a cell, without line breaks; and (code, printed text) of each code cell."""

    texts: list[str]
    cells: list[tuple[str, str]]


def page(notebook: NotebookNode) -> Page:
    cells = [(c.source, _printed(c)) for c in notebook.cells if c.cell_type == "code"]
    return Page([_flat(c.source) for c in notebook.cells if c.cell_type == "markdown"], cells)


def read(number: str) -> list[dict[str, Any]]:
    """The claims about page `number` ("01a"): all that is no list or mapping in them is a string."""
    claims = yaml.load((HERE / "claims" / f"{number}.yaml").read_text(), yaml.BaseLoader)
    for claim in claims:
        if unknown := set(claim) - KEYS:
            raise Broken(f"{claim}: a claim has no {unknown}, but {sorted(KEYS)}")
        if missing := {"says", "cell"} - set(claim):
            raise Broken(f"{claim}: it needs {missing}")
        tests = [key for key in (*TESTS, "rises", "falls", "prints", "code") if key in claim]
        if not tests or ("number" in claim) != any(key in TESTS for key in tests):
            raise Broken(f"{claim}: it needs a number and one of {TESTS}, or rises, falls, prints or code")
    return claims


def verify(claim: dict[str, Any], page: Page) -> None:
    """Nothing, or Broken."""
    try:
        _verify(claim, page)
    except Broken as e:
        raise Broken(f"{claim['says']!r}: {e}") from None


def _verify(claim: dict[str, Any], page: Page) -> None:
    if not any(_flat(claim["says"]) in text for text in page.texts):
        raise Broken("no text of the page has these words; if it says it otherwise now, is it still true?")
    code, printed = _cell(page, claim["cell"])
    for key, where in (("prints", printed), ("code", code)):
        if key in claim and _flat(claim[key]) not in _flat(where):
            raise Broken(f"{key} {claim[key]!r} is not so; it has:\n{where}")
    for key, sign in (("rises", 1), ("falls", -1)):
        found = [sign * _number(spec, claim, page) for spec in claim.get(key, [])]
        if any(b <= a for a, b in pairwise(found)):
            raise Broken(f"{key} is not so of {[sign * a for a in found]}")
    specs = claim.get("number", [])
    for spec in specs if isinstance(specs, list) else [specs]:
        a = _number(spec, claim, page)
        a = a / _number(claim["over"], claim, page) if "over" in claim else a
        a = a - _number(claim["minus"], claim, page) if "minus" in claim else a
        for key in TESTS:
            if key in claim and not _holds(a, key, claim[key], claim, page):
                raise Broken(f"{a:.6g} ({spec}) is not {key} {claim[key]}")


def failing(notebook: NotebookNode, number: str) -> list[str]:
    """What is wrong with the claims about a page, a sentence each."""
    wrong = []
    for claim in read(number) if (HERE / "claims" / f"{number}.yaml").is_file() else []:
        try:
            verify(claim, page(notebook))
        except Broken as e:
            wrong.append(str(e))
    return wrong


def _flat(text: str) -> str:
    return " ".join(text.split())


def _printed(cell: NotebookNode) -> str:
    """What a cell printed, and the words of its result, if that is no picture."""
    data = [o.get("data", {}) for o in cell.outputs]
    words = [d["text/plain"] for d in data if "text/plain" in d and "image/png" not in d]
    return "\n".join([o.text for o in cell.outputs if o.output_type == "stream"] + words)


def _cell(page: Page, words: str) -> tuple[str, str]:
    found = [cell for cell in page.cells if _flat(words) in _flat(cell[0])]
    if len(found) != 1:
        raise Broken(f"{len(found)} code cells have {words!r}: it must be one")
    return found[0]


def _holds(a: float, key: str, wanted: Any, claim: dict[str, Any], page: Page) -> bool:
    if key == "between":
        return _number(wanted[0], claim, page) <= a <= _number(wanted[1], claim, page)
    c = _number(wanted, claim, page)
    if key == "is":
        written = NUMBER.fullmatch(wanted) if isinstance(wanted, str) else None
        half = 0.5 * 10.0 ** -len(wanted.strip(" %").partition(".")[2]) if written else 0.0
        return abs(a - c) <= half / (100 if written and "%" in wanted else 1) * (1 + 1e-6) + 1e-12
    return COMPARED[key](a, c)


def _number(spec: Any, claim: dict[str, Any], page: Page) -> float:
    """The number that is written, or found in what a cell printed."""
    if isinstance(spec, str) and NUMBER.fullmatch(spec):
        return value(spec)
    place = {"after": spec} if isinstance(spec, str) else spec
    if not isinstance(place, dict) or set(place) - {"cell"} not in ({"after"}, {"row", "column"}):
        raise Broken(f"{spec!r} is neither a number nor words, nor has it after, or row and column")
    printed = _cell(page, place.get("cell", claim["cell"]))[1]
    found = _after(place["after"], printed) if "after" in place else _in_table(place, printed)
    if found is None:
        raise Broken(f"there is no number at {spec!r} in\n{printed}")
    return value(found)


def value(text: str) -> float:
    """18 % → 0.18"""
    number = float(text.strip(" %").replace(",", "").replace("−", "-"))
    return number / 100 if "%" in text else number


def _words(text: str) -> str:
    """As a regular expression: any space between, … for anything, whole words."""
    parts = [r"\s+".join(map(re.escape, part.split())) for part in text.split("…")]
    end = r"(?!\w|\.\d)" if re.search(r"\w$", text) else ""
    return r"(?<![\w.])" + ".*?".join(parts) + end


def _after(text: str, printed: str) -> str | None:
    found = [m for line in printed.splitlines() for m in re.finditer(_words(text) + "(?P<rest>.*)", line)]
    if len(found) > 1:  # one that begins its line is the one that is meant
        found = [m for m in found if not m.string[: m.start()].strip()] or found
    if len(found) > 1:
        raise Broken(f"{text!r} stands on {len(found)} lines: say more words\n{printed}")
    number = NUMBER.search(found[0]["rest"]) if found else None
    return number[0] if number else None


def _in_table(place: dict[str, str], printed: str) -> str | None:
    lines = printed.splitlines()
    begins = re.compile(r"\s*" + _words(place["row"]) + r"(?=\s{2,}|\s*[-−+]?\d|\s*[:≥–]|$)")
    rows = [(i, m) for i, line in enumerate(lines) if (m := begins.match(line))]
    if len(rows) > 1:
        raise Broken(f"{len(rows)} lines begin with {place['row']!r}: say more words\n{printed}")
    for i, row in rows:
        heads = (re.search(_words(place["column"]), line) for line in lines[:i][::-1])
        if head := next(filter(None, heads), None):
            numbers = NUMBER.finditer(lines[i], row.end())
            below = (n[0] for n in numbers if n.start() < head.end() and n.end() > head.start())
            return next(below, None)
    return None
