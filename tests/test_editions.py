"""One source, two editions: what a page asks, that it is not solved there already, that it runs."""

import ast
import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import check
import editions
import grade
import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

HERE = Path(__file__).parent.parent
SOURCES = sorted((HERE / "notebooks/source").glob("*.py"))
each = pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.stem)


def code_cells(source):
    return [c for c in jupytext.read(source).cells if c.cell_type == "code"]


def asked(source):
    """The names of the exercises of a page, in their order."""
    return [name for c in code_cells(source) for name in editions.CHECK.findall(c.source)]


def regions(source):
    """(index of the cell, the text of a solution), in order."""
    for i, cell in enumerate(code_cells(source)):
        for found in editions.REGION.finditer(cell.source):
            yield i, "\n".join(line.removeprefix(found[1]) for line in found[2].splitlines())


@each
def test_a_solution_is_marked_and_its_check_stands_in_another_cell(source):
    for cell in code_cells(source):
        pairs = len(editions.REGION.findall(cell.source))
        assert cell.source.count(editions.BEGIN) == cell.source.count(editions.END) == pairs
        assert not (pairs and editions.CHECK.search(cell.source)), cell.source[:60]
    page = source.stem.split("_")[0]
    for name in asked(source):
        assert name in check.EXERCISES, f"{source.stem} asks check.{name}, which is nowhere"
        assert check.EXERCISES[name].page <= page, f"check.{name} belongs to a later page"


def test_every_exercise_is_asked():
    on_pages = {name for source in SOURCES for name in asked(source)}
    assert set(check.EXERCISES) == on_pages


@each
def test_a_page_has_three_exercises_and_one_of_five_lines(source):
    lines = [sum(bool(s.strip()) and s.strip()[0] != "#" for s in t.splitlines()) for _, t in regions(source)]
    enough = len(set(asked(source))) >= 3 and max(lines, default=0) >= 5
    assert enough, f"{asked(source)}, lines {lines}"


class Plain(ast.NodeTransformer):
    """Writes a tree in one way: torch.f(x) as x.f(), x**2 as x.square(), variables by their order."""

    def __init__(self):
        self.names = {}

    def visit_Name(self, node):
        return ast.Name(self.names.setdefault(node.id, f"v{len(self.names)}"), ast.Load())

    def visit_Call(self, node):
        match node.func:
            case ast.Attribute(value=ast.Name(id="torch" | "math" | "np")) if node.args:
                node.func.value = node.args.pop(0)
        return self.generic_visit(node)

    def visit_BinOp(self, node):
        match node:
            case ast.BinOp(op=ast.Pow(), right=ast.Constant(value=2)):
                node = ast.Call(ast.Attribute(node.left, "square", ast.Load()), [], [])
        return self.generic_visit(node)


def shapes(nodes):
    """What is computed, without the names; trivial ones left out."""
    large = (
        n for n in nodes if isinstance(n, ast.AST) and sum(isinstance(m, ast.expr) for m in ast.walk(n)) >= 5
    )
    return {ast.dump(Plain().visit(ast.parse(ast.unparse(n)))) for n in large}


def computed(text):
    """Every expression in a text, inner ones too."""
    return shapes(
        n
        for n in ast.walk(ast.parse(text))
        if isinstance(n, ast.Call | ast.BinOp | ast.Subscript | ast.UnaryOp | ast.Compare)
    )


def steps(text):
    """What each statement of a solution computes."""
    body = ast.parse("def f():\n" + "".join(f"    {line}\n" for line in text.splitlines()))
    return shapes(getattr(n, "value", None) for n in ast.walk(body) if isinstance(n, ast.stmt))


def solved_above(source):
    """Solutions of whose statements at least half stand in cells before theirs."""
    cells = [c.source for c in code_cells(source)]
    for i, text in regions(source):
        mine, above = steps(text), set().union(*(computed(editions.stubbed(c)) for c in cells[:i]))
        if mine and len(mine & above) >= len(mine) / 2:
            yield text


@each
def test_no_solution_stands_higher_up_on_its_page(source):
    assert not list(solved_above(source))


def test_a_solution_under_other_names_is_found(tmp_path):
    page = tmp_path / "99_page.py"
    page.write_text(
        "# %%\nloss = 0.5 * (m.square() + s.exp() - 1 - s).sum(1)\n\n"
        "# %%\ndef kl(mean, v):\n    ### BEGIN SOLUTION\n"
        "    return 0.5 * (mean**2 + v.exp() - 1 - v).sum(1)\n    ### END SOLUTION\n"
    )
    assert len(list(solved_above(page))) == 1
    page.write_text(page.read_text().replace("m.square()", "m.abs()"))
    assert not list(solved_above(page))


@each
def test_what_is_left_to_try_has_a_folded_answer(source):
    texts = [c.source for c in jupytext.read(source).cells if c.cell_type == "markdown"]
    for task in (t.split("\n## ")[0] for text in texts for t in re.split("(?i)then try", text)[1:]):
        assert re.search(r"<details><summary>.*</summary>\n\n.*\n</details>", task, re.S), task[:80]


@each
def test_the_stored_page_has_all_its_exercises_solved(source):
    page = nbformat.read(HERE / "notebooks" / f"{source.stem}.ipynb", as_version=4)
    if not list(regions(source)):
        pytest.skip("its exercises have no solutions in the source yet")
    for cell in page.cells:
        names = editions.CHECK.findall(cell.source) if cell.cell_type == "code" else []
        if names:
            said = "".join(o.text for o in cell.outputs if o.output_type == "stream")
            assert "not yet" not in said, (names, said)
            kinds = [check.EXERCISES[name].kind for name in names]
            assert said.count("correct") >= sum(kind != "predict" for kind in kinds), (names, said)


@each
def test_the_exercise_edition_keeps_no_solution_and_no_output(source):
    page = editions.exercises(source)
    text = "\n".join(c.source for c in page.cells if c.cell_type == "code")
    ast.parse(text)
    assert "SOLUTION" not in text and text.count(editions.STUB) <= len(list(regions(source)))
    for before, after in zip(
        code_cells(source), (c for c in page.cells if c.cell_type == "code"), strict=True
    ):
        if editions.BEGIN in before.source:
            dots = [line for line in after.source.splitlines() if "..." in line]
            assert dots and (editions.STUB not in dots or len(dots) == 1), after.source
    for cell in page.cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None
    folded = editions.exercises(source, fold=True)
    added = [c.source for c in folded.cells if c.source not in {c.source for c in page.cells}]
    assert all(s.startswith("<details><summary>A solution") for s in added)
    for _, solution in regions(source):
        assert solution.splitlines()[-1].strip() in "".join(added)


def test_what_a_page_of_exercises_links_to_lies_beside_it(tmp_path):
    linked = 0
    for file in editions.make("exercises", [], tmp_path):
        text = "\n".join(c.source for c in nbformat.read(file, 4).cells if c.cell_type == "markdown")
        for target in re.findall(r"\]\((?!https?:)([\w./-]+)[^)]*\)", text):
            assert (file.parent / target).is_file(), f"{file.name}: {target}"
            linked += 1
    assert linked > 20


def test_a_folder_of_exercises_is_whole(tmp_path):
    files = editions.make("exercises", ["00"], tmp_path)
    assert [f.name for f in files] == ["00_start_here.ipynb"]
    done = subprocess.run(
        [sys.executable, "-c", "import check, course; print(check.__file__, course.__file__)"],
        cwd=tmp_path, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": str(HERE)},
    )  # fmt: skip
    assert done.stdout.count(str(tmp_path)) == 2
    for wrong, says in ((("exercises", ["99"]), "no page begins with 99"), (("solved", []), "is no edition")):
        with pytest.raises(SystemExit, match=says):
            editions.make(*wrong, tmp_path)


worlds = pytest.mark.parametrize(
    "world",
    ["without data", pytest.param("with data", marks=pytest.mark.data)],
    ids=lambda w: w.replace(" ", "-"),
)


@pytest.mark.slow
@worlds
@each
def test_a_page_runs_with_every_exercise_unsolved(source, world, tmp_path, monkeypatch):
    monkeypatch.setenv("AELIB_PROGRESS", str(tmp_path / "progress.jsonl"))
    file = editions.make("exercises", [source.stem], tmp_path)[0]
    page = nbformat.read(file, as_version=4)
    NotebookClient(page, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [o.get("data", {}).get("text/plain") for c in page.cells for o in c.get("outputs", [])]
    assert "Ellipsis" not in shown
    tries = [json.loads(line) for line in (tmp_path / "progress.jsonl").read_text().splitlines()]
    assert {row["exercise"] for row in tries} == set(asked(source))
    assert not any(row["solved"] for row in tries)


# ---- nbgrader ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nbgrader(tmp_path_factory):
    """An empty course, and how to run nbgrader in it."""
    program = os.environ.get("AELIB_NBGRADER") or shutil.which(
        "nbgrader", path=str(Path(sys.executable).parent)
    )
    if not program:
        pytest.skip("nbgrader is not here: pip install -e .[grade], or set AELIB_NBGRADER to the program")
    course = tmp_path_factory.mktemp("course")
    kernel = course / "jupyter/kernels/python3"  # aelib's Python, wherever nbgrader is installed
    kernel.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(
        json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"})
    )
    home = os.environ | {
        "JUPYTER_PATH": str(course / "jupyter"),
        "PYTHONPATH": str(HERE),
        "HOME": str(course),
    }

    home["PATH"] = f"{Path(program).parent}{os.pathsep}{home['PATH']}"  # it calls alembic by its name

    def run(*words):
        done = subprocess.run([program, *words], cwd=course, env=home, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stderr

    return course, run


PAGE = """# %%
import check

# %%
def kl(mean, log_var):
    ### BEGIN SOLUTION
    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(1)
    ### END SOLUTION

# %%
kl = check.kl(kl)

# %%
def beta(pixels):
    ### BEGIN SOLUTION
    return pixels / 2
    ### END SOLUTION

# %%
beta = check.beta_of_mean_squared_error(beta)
"""


def hand_in(course, page, learner, answers):
    """What a learner hands in: the page as it was handed out, with these answers in place of the stubs."""
    folder = course / "submitted" / learner / page
    shutil.copytree(course / "release" / page, folder)
    notebook = nbformat.read(folder / f"{page}.ipynb", as_version=4)
    stubs = [c for c in notebook.cells if c.cell_type == "code" and editions.STUB in c.source]
    for cell, answer in zip(stubs, answers, strict=True):
        cell.source = cell.source.replace(editions.STUB, answer)
    nbformat.write(notebook, folder / f"{page}.ipynb")


@pytest.mark.slow
def test_nbgrader_hands_out_and_grades(nbgrader, tmp_path):
    course, run = nbgrader
    (tmp_path / "98_small.py").write_text(PAGE)
    editions.make("nbgrader", [], course, tmp_path)
    run("generate_assignment", "98_small")
    handed = (course / "release/98_small/98_small.ipynb").read_text()
    assert "log_var.exp()" not in handed and "check.passed" not in handed and handed.count(editions.STUB) == 2
    right = "return 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(1)"
    hand_in(course, "98_small", "ada", [right, "return 0.5 * pixels"])
    hand_in(course, "98_small", "bob", [right.replace("0.5 * ", ""), "return pixels / 2"])
    hand_in(course, "98_small", "eve", [editions.STUB, editions.STUB])
    run("autograde", "98_small")
    rows = grade.table(grade.graded(course))
    assert rows == [
        ["learner", "solved", "kl", "beta_of_mean_squared_error"],
        ["ada", "2/2", "●", "●"], ["bob", "1/2", "◐", "●"], ["eve", "0/2", "○", "○"],
    ]  # fmt: skip
    run("export")
    points = {
        row["student_id"]: float(row["score"]) for row in csv.DictReader((course / "grades.csv").open())
    }
    assert points == {"ada": 2.0, "bob": 1.0, "eve": 0.0}


@pytest.mark.slow
def test_nbgrader_grades_a_page_of_the_course(nbgrader):
    course, run = nbgrader
    editions.make("nbgrader", ["09"], course)
    page = "09_graph_autoencoders"
    run("generate_assignment", page)
    solved = [text for _, text in regions(HERE / f"notebooks/source/{page}.py")]
    shutil.copytree(course / "release" / page, course / "submitted/eve" / page)
    shutil.copytree(course / "source" / page, course / "submitted/ada" / page)
    run("autograde", page)
    marks = grade.graded(course)
    asked_there = asked(HERE / f"notebooks/source/{page}.py")
    assert solved and {name for name, mark in marks["ada"].items() if mark == "●"} >= set(asked_there)
    assert not any(marks["eve"].get(name) == "●" for name in asked_there)


def test_the_table_reads_what_the_checks_wrote(tmp_path, capsys):
    for name, rows in {"ada": [("kl", False), ("kl", True), ("score", True)], "bob": [("kl", False)]}.items():
        (tmp_path / name).mkdir()
        lines = [json.dumps({"exercise": e, "solved": s}) for e, s in rows]
        (tmp_path / name / "progress.jsonl").write_text("\n".join(lines) + '\n{"exer')
    grade.main(str(tmp_path))
    assert capsys.readouterr().out.splitlines() == [
        "learner  solved  kl  score", "ada      2/2     ●   ●", "bob      0/2     ◐   ○"
    ]  # fmt: skip
    grade.main(str(tmp_path), "--csv")
    assert "bob,0/2,◐,○" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="nothing to grade"):
        grade.main(str(tmp_path / "ada"))
