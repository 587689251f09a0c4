"""README and guides: short; links and commands lead somewhere; numbers and pictures are the pages' own."""

import ast
import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import thumbnails
import yaml
from PIL import Image

HERE = Path(__file__).parent.parent
README = HERE / "README.md"
GUIDES = [p for p in (HERE / "materials").rglob("*.md") if HERE / "materials" / "site" not in p.parents]
DOCUMENTS = sorted([*HERE.glob("*.md"), *GUIDES])  # the site's are made by it, or others'
PAGES = sorted((HERE / "notebooks").glob("*.ipynb"))

each = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)


def anchors(document):
    """What `#…` may say: headings in small letters, with dashes for spaces and without other signs."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", document.read_text(), flags=re.S), re.M)
    return {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}


def number(page):
    """Of a page: "01", or "01a"."""
    return page.stem.split("_")[0]


@each
def test_links_lead_somewhere(document):
    for target in re.findall(r"(?:\]\(|(?:src|href)=\")([^)\"]+)", document.read_text()):
        if not target.startswith(("http", "mailto")):
            file, _, anchor = target.partition("#")
            to = (document.parent / file).resolve() if file else document
            assert to.is_file(), f"{document.name}: there is no {file}"
            assert not anchor or anchor in anchors(to), f"{document.name}: {to.name} has no #{anchor}"


@each
def test_every_picture_says_in_words_what_it_shows(document):
    text = document.read_text()
    words = re.findall(r"!\[([^\]]*)\]\(", text) + re.findall(r"<img [^>]*alt=\"([^\"]*)\"", text)
    assert len(words) == text.count("![") + text.count("<img ")
    for alt in words:
        assert len(alt.split()) >= 4, f"{document.name}: {alt!r}"


def test_teachers_read_of_the_same_pages_in_the_same_order_with_the_same_minutes():
    readme = re.findall(r"\[\*\*(\w+) [^*]+\*\*\]\(\S+\), (\d+)&nbsp;min", README.read_text())
    teachers = (HERE / "materials" / "for-teachers.md").read_text()
    assert len(readme) == len(PAGES)
    assert re.findall(r"^\| \[(\w+)\]\(teachers/\S+\) [^|]+\| (\d+) \|", teachers, re.M) == readme


def test_python_in_the_documents_runs():
    blocks = [(d.name, code) for d in DOCUMENTS for code in blocks_of(d, "python")]
    assert len(blocks) >= 3
    for name, code in blocks:
        exec(compile(code, name, "exec"), {})


def blocks_of(document, language):
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", document.read_text(), re.S | re.M)
    return [code for name, code in blocks if name == language]


def commands(document):
    """Command lines: of the bash blocks, and of those words in the text that begin like one."""
    lines = "\n".join(blocks_of(document, "bash")).replace("\\\n", " ").splitlines()
    prose = re.sub(r"```.*?```", "", document.read_text(), flags=re.S)
    lines += [" ".join(c.split()) for c in re.findall(r"`([^`]+)`", prose)]
    for line in lines:
        words = shlex.split(line, comments=True) if "'" not in line else line.split()
        while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
            words = words[1:]
        if len(words) > 1:
            yield [words[0].removeprefix(".venv/bin/"), *words[1:]]


def check(words):
    """What is wrong with a command line, if something is."""
    from aelib.cli import VERBS

    program, *rest = words
    if program == "torchrun" or (program == "python" and rest[:2] == ["-m", "aelib"]):
        program, rest = "aelib", rest[rest.index("aelib") + 1 :]
    if program == "make":
        targets = re.search(r"^\.PHONY: (.*)$", (HERE / "Makefile").read_text(), re.M)[1].split()
        return [t for t in rest if "=" not in t and t not in targets]
    if program == "aelib" and rest[0] != "VERB":
        if rest[0] not in VERBS:
            return [rest[0]]
        known = {"--" + name.replace("_", "-") for name in inspect.signature(VERBS[rest[0]]).parameters}
        return [w for w in rest if w.startswith("--") and w not in known | {"--help", "--config"}]
    if program == "python" and rest[0] == "-m" and rest[1].startswith("aelib.") and "…" not in rest[1]:
        module = HERE.joinpath(*rest[1].split("."))
        return [] if module.with_suffix(".py").is_file() or (module / "__main__.py").is_file() else rest[1:2]
    paths = [w for w in rest if re.fullmatch(r"(tests|notebooks)/[\w./]+", w) and "/NN_" not in w]
    return [path for path in paths if not (HERE / path).exists()]


@each
def test_commands_and_their_options_exist(document):
    for words in commands(document):
        assert not check(words), f"{document.name}: {' '.join(words)}: there is no {check(words)}"


def test_a_wrong_command_is_found():
    found = {program for document in DOCUMENTS for program, *_ in commands(document)}
    assert {"make", "aelib", "python", "git", "torchrun"} <= found
    for line, wrong in {
        "make coffee": "coffee", "aelib trian x": "trian", "aelib train x --epoch 3": "--epoch",
        "python tests/kill.py": "tests/kill.py", "python -m aelib.datasets.costs": "aelib.datasets.costs",
        "torchrun --nnodes 2 -m aelib train x --nods 2": "--nods",
    }.items():  # fmt: skip
        assert check(line.split()) == [wrong]


@each
def test_variables_of_the_environment_are_read_somewhere(document):
    sources = "".join(
        p.read_text() for folder in ("aelib", "notebooks", "tests") for p in (HERE / folder).rglob("*.py")
    )
    for name in re.findall(r"\bAELIB_[A-Z]+", document.read_text()):
        assert f'"{name}"' in sources, f"{document.name}: nothing reads {name}"


def test_the_readme_is_three_screens_and_its_tables_are_short():
    lines = README.read_text().splitlines()
    assert len(lines) <= 120
    tables = re.findall(r"(?:^\|.*\n)+", README.read_text(), re.M)
    assert len(tables) == 1, "only the table of the pages; the others have pages in materials/"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_every_page_has_a_row_with_its_question_and_a_picture(page):
    rows = [line for line in README.read_text().splitlines() if f"](notebooks/{page.name})" in line]
    assert len(rows) == 1, f"the README needs one row for {page.name}"
    picture = re.search(r'<img src="([^"]+)" width="(\d+)" alt="([^"]+)">', rows[0])
    assert picture, f"the row of {page.name} needs a picture with a width and an alt text"
    assert picture[1] == f"materials/figures/thumbnails/{number(page)}.png"
    assert int(picture[2]) == thumbnails.WIDTH and len(picture[3].split()) >= 8
    assert re.search(r", \d+&nbsp;min<br>[^|]*\? \|", rows[0]), (
        f"the row of {page.name} needs minutes and a question"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_the_small_picture_is_made_of_the_pages_figure(page):
    spec = thumbnails.PAGES[number(page)]
    assert f"figure-{spec.figure}" in (HERE / "notebooks/source" / f"{page.stem}.py").read_text()
    stored = Image.open(thumbnails.FIGURES / "thumbnails" / f"{number(page)}.png").convert("RGB")
    made = thumbnails.draw(spec).convert("RGB")
    assert stored.size == made.size and stored.width == thumbnails.WIDTH * thumbnails.SHARP
    small = [
        np.asarray(picture.reduce(8), float) for picture in (stored, made)
    ]  # the dots between 256 colours go
    assert np.abs(small[0] - small[1]).mean() < 0.5, (
        f"make it again: python notebooks/thumbnails.py {number(page)}"
    )


def test_a_figure_with_too_few_cells_is_named():
    blank = Image.new("RGB", (100, 100), "white")
    with pytest.raises(IndexError, match=r"0 rows and 0 columns .* choose again"):
        thumbnails.pieces(blank, thumbnails.Row("", 1, (0,)))


def printed(page):
    """The text that a page stores."""
    for cell in nbformat.read(page, as_version=4).cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                yield "".join(output.text)
            elif "image/png" not in output.get("data", {}):
                yield str(output.get("data", ""))


@pytest.mark.parametrize(
    "document, ends, least", [("README.md", "\n## ", 4), ("materials/results.md", "\n### The library", 250)]
)
def test_the_numbers_we_report_are_printed_by_the_pages(document, ends, least):
    section = (HERE / document).read_text().split(" reach", 1)[1].split(ends)[0]
    numbers = re.findall(r"(?<![\d.])[−+]?\d+\.\d+(?: %)?", section)
    text = " ".join(t for page in PAGES for t in printed(page))
    assert len(numbers) >= least
    for number in numbers:
        assert number.replace("−", "-").replace(" %", "%") in text, f"no page prints {number}"


RIDDLES = {  # what a reader in another language must guess at: plain words for it
    r"as a coin would|hangs by a thread|from nothing|drew nothing": "what is meant",
    r"(nats|bits|waves|milliseconds|ms|numbers) a (code|digit|picture|part|pixel|node|query)\b(?! is)": "per",
    r"curves (add|buy|do)\b|what curves": "what a network adds to a linear code",
    r"lying copy": "turned on its side",
    r"\bnam(ed|es) (\S+ ){0,6}rightly|\brightly\b": "finds the class",
    r"stands? in (\S+ )?public repositor": "is in public code",
    r"\baim(s|ed)?\b": "goal",
    r"\bin the mean\b|on the average": "on average",
    r"\banew\b": "again",
    r"\b(is|be|never|was) told\b(?! apart)": "is given, learns",
    r"\b(on|and) drawn faces": "cartoon faces",
    r"\bdear(er|ly)?\b": "costs more",
}


def docstrings(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            yield ast.get_docstring(node) or ""


def prose():
    """(name, text) of what is read: the documents, the pages' text and the docstrings."""
    yield from ((d.name, d.read_text()) for d in DOCUMENTS)
    for page in PAGES:
        cells = nbformat.read(page, as_version=4).cells
        yield from ((page.name, c.source) for c in cells if c.cell_type == "markdown")
    for path in sorted([*(HERE / "aelib").rglob("*.py"), *(HERE / "notebooks").glob("*.py")]):
        yield from ((path.name, text) for text in docstrings(path))


def riddles(text):
    """What stands for which plain words in a text."""
    text = " ".join(re.sub(r"`[^`]*`", "", text).split())
    return {found[0]: plain for words, plain in RIDDLES.items() if (found := re.search(words, text))}


def test_no_word_is_a_riddle():
    found = [(name, riddles(text)) for name, text in prose() if riddles(text)]
    assert not found, "say it plainly"


def test_a_riddle_is_found():
    wrong = "It aims at 3 nats a\ncode, as a coin would. What do curves add? It is named rightly."
    assert list(riddles(wrong).values()).count("per") == 1 and len(riddles(wrong)) == 5
    assert not riddles("With two numbers a code is a place. `aim` is a variable; the mean in the middle.")


def test_every_note_for_teachers_is_short_and_of_a_page():
    notes = sorted((HERE / "materials/teachers").glob("*.md"))
    assert len(notes) >= 8 and {note.stem for note in notes} <= {number(page) for page in PAGES}
    for note in notes:
        assert len(note.read_text().splitlines()) <= 60, f"{note.name} is longer than 60 lines"


def test_the_map_of_the_library_shows_what_is_there():
    (tree,) = blocks_of(HERE / "materials/for-builders.md", "")
    lines = tree.split("notebooks/")[0].removeprefix("aelib/").splitlines()
    named = [name for line in lines for name in line.strip().split("   ")[0].split()]
    there = {p.stem for p in (HERE / "aelib").glob("[a-z]*") if p.suffix != ".typed"}
    assert sorted(named) == sorted(there)


FORMS = sorted((HERE / ".github/ISSUE_TEMPLATE").glob("*.yml"))


@pytest.mark.parametrize("form", [f for f in FORMS if f.stem != "config"], ids=lambda p: p.stem)
def test_an_issue_form_has_what_github_asks_for(form):
    content = yaml.safe_load(form.read_text())
    assert {"name", "description", "body"} <= set(content)
    fields = [b for b in content["body"] if b["type"] != "markdown"]
    assert fields and {b["type"] for b in content["body"]} <= {"markdown", "input", "textarea", "dropdown"}
    assert all(b["attributes"]["label"] for b in fields)
    assert len({b["id"] for b in fields}) == len(fields)
    assert all(b["attributes"]["options"] for b in fields if b["type"] == "dropdown")
    assert any(b.get("validations", {}).get("required") for b in fields)


def test_the_hooks_before_a_commit_pass_here():
    config = yaml.safe_load((HERE / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert [repo["repo"] for repo in config["repos"]] == ["local"] and len(hooks) >= 3
    for hook in hooks:
        program, *arguments = shlex.split(hook["entry"])
        program = Path(sys.executable).parent / Path(program).name  # of the environment that runs this test
        if hook.get("pass_filenames", True):
            arguments += ["tests/test_documents.py", "notebooks/source/00_start_here.py"]
        done = subprocess.run([program, *arguments], cwd=HERE, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
