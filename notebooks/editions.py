"""The editions of the pages, made from notebooks/source: `python notebooks/editions.py EDITION [PAGE …]`.

In the source a solution stands between `### BEGIN SOLUTION` and `### END SOLUTION`. The solved edition is the
pages themselves (notebooks/NN_topic.ipynb). From the same source come

    exercises   notebooks/exercises: a stub in place of each solution, no outputs; it runs from top to bottom
    solutions   the same, each solution folded below its check
    nbgrader    notebooks/nbgrader: a course for nbgrader, whose `generate_assignment` writes the stubs
    colab       notebooks/colab: the pages as they are stored, with a first cell for Google's Colab that gets
                the course from GITHUB_REPOSITORY, "owner/name"

Beside the pages of the first three lie copies of the modules that they import, and the glossary that they
link to, so a folder can be handed out as it is.
"""

import os
import re
import shutil
import sys
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

HERE = Path(__file__).parent
GLOSSARY = HERE.parent / "materials/glossary.md"
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
REGION = re.compile(rf"^([ \t]*){BEGIN}\n(.*?)^[ \t]*{END}[ \t]*$", re.S | re.M)
CHECK = re.compile(r"\bcheck\.(?!progress\b|passed\b)(\w+)\(")
STUB = "...  # your code"
TOOLS = ("editions", "execute", "thumbnails", "claiming", "conftest", "grade")  # what no page imports
CONFIG = '''"""For `nbgrader generate_assignment PAGE` and `nbgrader autograde PAGE`."""

c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "aelib"
c.ClearSolutions.code_stub = {{"python": "{stub}"}}
c.ExecutePreprocessor.timeout = 3600
c.Execute.timeout = 3600
'''


def stubbed(source: str) -> str:
    """A cell without its solutions: a stub in place of each, but none below a line that has dots itself."""

    def stub(region: re.Match[str]) -> str:
        asks = not region[1] and re.search(r"\.\.\..*\n\Z", source[: region.start()])
        return "" if asks else region[1] + STUB

    return REGION.sub(stub, source).rstrip()


def solutions(source: str) -> str:
    """A cell as it is solved, without the markers."""
    return "\n".join(line for line in source.splitlines() if line.strip() not in (BEGIN, END))


def exercises(source: Path, fold: bool = False) -> NotebookNode:
    """The exercise edition of a page; with `fold`, each solution folded into a cell below its check."""
    page = jupytext.read(source)
    cells, waiting = [], []
    for cell in page.cells:
        solved = cell.cell_type == "code" and BEGIN in cell.source
        if solved:
            waiting.append(solutions(cell.source))
            cell.source = stubbed(cell.source)
        cells.append(cell)
        if fold and waiting and cell.cell_type == "code" and CHECK.search(cell.source):
            code = "\n\n\n".join(waiting)
            text = f"<details><summary>A solution</summary>\n\n```python\n{code}\n```\n</details>"
            cells.append(nbformat.v4.new_markdown_cell(text))
            waiting = []
    return _page(page, cells)


def colab(page: Path, repository: str) -> NotebookNode:
    """A stored page for Google's Colab: its first cell gets the course of "owner/name" and installs it."""
    notebook = nbformat.read(page, as_version=4)
    first = nbformat.v4.new_code_cell(
        "# In Colab, run this cell first. It takes a few minutes; the torch that is here stays as it is.\n"
        f"!git clone -q --depth 1 https://github.com/{repository} course\n"
        "!python course/materials/site/colab.py\n"
        "%cd -q course/notebooks",
        id="colab",
    )
    notebook.cells.insert(0, first)
    return notebook


def graded(source: Path) -> NotebookNode:
    """A page with nbgrader's metadata: solutions are the learner's cells, checks are locked, a point each.

    A check never raises, so a hidden test behind it asks whether the answer passed.
    """
    page = jupytext.read(source)
    for i, cell in enumerate(page.cells):
        facts = {"schema_version": 3, "grade": False, "solution": False, "locked": False, "task": False}
        names = CHECK.findall(cell.source) if cell.cell_type == "code" else []
        if cell.cell_type == "code" and BEGIN in cell.source:
            facts |= {"solution": True, "grade_id": f"answer-{i}"}
        elif names:
            facts |= {
                "grade": True,
                "locked": True,
                "points": len(names),
                "grade_id": f"check-{'-'.join(names)}",
            }
            tests = "\n".join(f'assert check.passed("{name}"), "{name} is not solved"' for name in names)
            cell.source += f"\n### BEGIN HIDDEN TESTS\n{tests}\n### END HIDDEN TESTS"
        else:
            continue
        cell.metadata["nbgrader"] = facts
    return _page(page, page.cells)


def _page(page: NotebookNode, cells: list[NotebookNode]) -> NotebookNode:
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=page.metadata)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    for i, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{i}"  # the same at every run
        cell.source = cell.source.replace(f"](../materials/{GLOSSARY.name}", f"]({GLOSSARY.name}")
    return notebook


def modules(folder: Path) -> None:
    """Copy what the pages import, and link to, into a folder."""
    shutil.copy(GLOSSARY, folder)
    for file in HERE.glob("*.py"):
        if file.stem not in TOOLS:
            shutil.copy(file, folder)
    shutil.copytree(
        HERE / "check", folder / "check", dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
    )


def make(
    edition: str, names: list[str], to: Path | None = None, sources: Path = HERE / "source"
) -> list[Path]:
    """Write an edition of some pages (of all, if none is named); the files.

    Raises:
        SystemExit: there is no such edition or page, or nobody says where Colab gets the course from.
    """
    known = {
        "exercises": exercises, "solutions": lambda s: exercises(s, fold=True), "nbgrader": graded,
        "colab": lambda s: colab(HERE / f"{s.stem}.ipynb", os.environ["GITHUB_REPOSITORY"]),
    }  # fmt: skip
    if edition == "colab" and not os.environ.get("GITHUB_REPOSITORY"):
        raise SystemExit(
            'GITHUB_REPOSITORY is not set: Colab gets the course from there, such as "owner/name"'
        )
    if edition not in known:
        raise SystemExit(f"{edition!r} is no edition; one of {', '.join(known)} is")
    every = sorted(sources.glob("*.py"))
    chosen = [s for s in every if not names or any(s.stem.startswith(n) for n in names)]
    if not chosen:
        raise SystemExit(
            f"no page begins with {' or '.join(names)}; there are {', '.join(s.stem for s in every)}"
        )
    root = to or HERE / ("exercises" if edition == "solutions" else edition)
    written = []
    for source in chosen:
        folder = root / "source" / source.stem if edition == "nbgrader" else root
        folder.mkdir(parents=True, exist_ok=True)
        if edition != "colab":  # there they are the clone's
            modules(folder)
        written.append(folder / f"{source.stem}.ipynb")
        nbformat.write(known[edition](source), written[-1])
    if edition == "nbgrader":
        (root / "nbgrader_config.py").write_text(CONFIG.format(stub=STUB), "utf-8")
    return written


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    files = make(sys.argv[1], sys.argv[2:])
    print(f"{len(files)} pages in {files[0].parent if len(files) == 1 else files[0].parent.parent}")
