"""One table of who solved what: `python notebooks/grade.py FOLDER [--csv]`.

FOLDER is a course of nbgrader after `nbgrader autograde`: `autograded/NAME/PAGE/PAGE.ipynb` are read. Or it
has a folder per learner with the `progress.jsonl` that the checks wrote. nbgrader runs every page again; the
second way believes what was written.
"""

import csv
import json
import re
import sys
from pathlib import Path

import nbformat

SOLVED, TRIED, NOTHING = "●", "◐", "○"
Marks = dict[str, dict[str, str]]  # learner → exercise → mark


def graded(folder: Path) -> Marks:
    """Of pages that nbgrader executed: solved where the hidden test behind a check raised nothing."""
    marks: Marks = {}
    for file in sorted(folder.glob("autograded/*/*/*.ipynb")):
        mine = marks.setdefault(file.parent.parent.name, {})
        for cell in nbformat.read(file, as_version=4).cells:
            if cell.metadata.get("nbgrader", {}).get("grade"):
                said = "".join(o.get("text", "") for o in cell.outputs)
                failed = any(o.output_type == "error" for o in cell.outputs)
                names = re.findall(r"check\.passed\(\"(\w+)\"\)", cell.source)
                untouched = "nothing is written" in said or "returns nothing" in said
                for name in names:
                    mine[name] = SOLVED if not failed else NOTHING if untouched else TRIED
    return marks


def noted(folder: Path) -> Marks:
    """Of what the checks wrote down beside the pages."""
    marks: Marks = {}
    for file in sorted(folder.glob("*/progress.jsonl")):
        mine = marks.setdefault(file.parent.name, {})
        for line in file.read_text("utf-8").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue  # half a line: the kernel was stopped
            if mine.get(row["exercise"]) != SOLVED:
                mine[row["exercise"]] = SOLVED if row["solved"] else TRIED
    return marks


def table(marks: Marks) -> list[list[str]]:
    """A header and a row per learner: the name, how many are solved, a mark per exercise."""
    names = list(dict.fromkeys(name for mine in marks.values() for name in mine))
    rows = [["learner", "solved", *names]]
    for learner, mine in marks.items():
        cells = [mine.get(name, NOTHING) for name in names]
        rows.append([learner, f"{cells.count(SOLVED)}/{len(names)}", *cells])
    return rows


def main(folder: str, *options: str) -> None:
    """Print the table.

    Raises:
        SystemExit: there is nothing in the folder to read; the message says what was looked for.
    """
    root = Path(folder)
    marks = graded(root) or noted(root)
    if not marks:
        raise SystemExit(
            f"nothing to grade in {root}: neither autograded/NAME/PAGE/PAGE.ipynb nor NAME/progress.jsonl"
        )
    rows = table(marks)
    if "--csv" in options:
        csv.writer(sys.stdout).writerows(rows)
        return
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
