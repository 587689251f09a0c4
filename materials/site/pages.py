"""What the site adds to Sphinx: the order of pages, the glossary's words, badges, reference and explorers."""

import html
import json
import pkgutil
import re
import shutil
import zlib
from pathlib import Path
from typing import Any

import editions
import explorers
import exploring
import nbformat
from docutils import nodes
from sphinx.application import Sphinx

import aelib

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
GLOSSARY = "materials/glossary"
VENDORED = {  # files below node_modules → folder of the site
    "mathjax/es5/tex-chtml.js": "mathjax",
    "mathjax/es5/output/chtml/fonts/woff-v2/*.woff": "mathjax/output/chtml/fonts/woff-v2",
    "onnxruntime-web/dist/ort.wasm.bundle.min.mjs": "ort",
    "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm": "ort",
}
INTERNAL = {"__main__", "cli", "contexts", "errors", "files", "materials"}
ROOMS = sorted({m.name for m in pkgutil.iter_modules(aelib.__path__)} - INTERNAL)
GUIDES = ["glossary", "results", "as-a-tool", "for-teachers", "for-builders", "speed", "reliability",
          "data_licences"]  # fmt: skip


def contents() -> dict[str, list[str]]:
    """Caption → its pages, in the order of reading: that of the README's table."""
    readme = (ROOT / "README.md").read_text("utf-8")
    return {
        "The course": list(dict.fromkeys(re.findall(r"\((notebooks/\w+)\.ipynb\)", readme))),
        "Guides": [f"materials/{name}" for name in GUIDES],
        "For teachers, page by page": sorted(
            f"materials/teachers/{p.stem}" for p in HERE.parent.glob("teachers/*")
        ),
        "The library": [f"materials/site/reference/{name}" for name in ROOMS],
        "The project": ["CHANGELOG", "CONTRIBUTING"],
    }


def write_reference(app: Sphinx) -> None:
    """A page for each room of the library, of its docstrings alone."""
    (HERE / "reference").mkdir(exist_ok=True)
    for room in ROOMS:
        whole = "\n   :imported-members:" if (ROOT / "aelib" / room).is_dir() else ""  # its __all__
        text = f"# {room}\n\n```{{eval-rst}}\n.. automodule:: aelib.{room}{whole}\n```\n"
        file = HERE / "reference" / f"{room}.md"
        if not file.exists() or file.read_text("utf-8") != text:
            file.write_text(text, "utf-8")


def write_contents(app: Sphinx, page: str, source: list[str]) -> None:
    """The README, which is the first page here, gets the list of all others; its small pictures are links."""
    if page == "README":
        picture = r'<a href="([^"]+)"><img src="([^"]+)" width="\d+" alt="([^"]+)"></a>'
        text = re.sub(picture, r"[![\3](\2)](\1)", source[0])
        for caption, pages in contents().items():
            text += f"\n\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(pages) + "\n```"
        source[0] = text


def prepare(app: Sphinx, page: str, source: list[str]) -> None:
    """A stored page's widgets become explorers that need no kernel; its pictures keep their words."""
    if not page.startswith("notebooks/"):
        return
    notebook, k = json.loads(source[0]), 0
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            data, about = output.get("data", {}), output.get("metadata", {})
            if alt := about.get("image/png", {}).get("alt"):
                cell["metadata"]["mystnb"] = {"image": {"alt": alt}}
            if "application/vnd.jupyter.widget-view+json" in data:
                output["data"] = {"text/html": explorers.place(Path(page).name.partition("_")[0], k)}
                k += 1
    source[0] = json.dumps(notebook)


def plain(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text: `|`, `*` and a name that ends in `_` mean themselves, outside of `code`.

    Lines such as `"error": what it is` are a list.
    """
    inside = False
    if lines[0].startswith("Alias for field number"):  # of a NamedTuple: its class says what it is
        lines.clear()
    for i, line in enumerate(lines):
        if line.lstrip().startswith((">>>", "...", ":", "..")):
            continue
        parts = re.split(r"(`[^`]*`)", line)
        parts[::2] = [re.sub(r"([|*\\]|(?<=\w)_(?!\w))", r"\\\1", part) for part in parts[::2]]
        lines[i] = re.sub(r"^(\s*)\\\* ", r"\1* ", "".join(parts))
        after = [*lines, ""][i + 1]
        if re.match(r'"[\w ]+": ', line) and after.startswith((" ", '"')):
            lines[i], inside = f"* {lines[i]}", True
        elif inside and line.startswith(" "):
            lines[i] = f"  {lines[i].strip()}"
        else:
            inside = False


def own(app: Sphinx, what: str, name: str, thing: Any, skip: bool, options: Any) -> bool | None:
    """Not what matplotlib and scikit-learn put into classes that derive from theirs."""
    return True if (getattr(thing, "__module__", "") or "aelib").partition(".")[0] != "aelib" else None


def names(entry: str) -> list[str]:
    """The names in the first column of the glossary: "decoder, p(x|z)" has two, "Fréchet distance" one."""
    return [name.strip() for name in re.split(r",(?![^(]*\))", entry.replace("\\|", "|"))]


def meanings() -> dict[str, tuple[str, str]]:
    """Name, in small letters → the name as it is written, and what the glossary says of it."""
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", (ROOT / f"{GLOSSARY}.md").read_text("utf-8"), re.M)
    return {n.lower(): (n, meaning.replace("\\|", "|")) for entry, meaning in rows for n in names(entry)}


def slug(name: str) -> str:
    """Where on the page of the glossary a name stands: "term-elbo"."""
    return "term-" + re.sub(r"\W+", "-", name.lower()).strip("-")


def places(app: Sphinx, tree: nodes.document) -> None:
    """Each row of the glossary's table becomes a place that a link can name."""
    for row in tree.findall(nodes.row) if app.env.docname == GLOSSARY else ():
        row["ids"] += [slug(name) for name in names(row[0].astext())]


def explain(app: Sphinx, tree: nodes.document, page: str) -> None:
    """A word's link to the glossary leads to its row, and shows its meaning under a mouse and on Tab.

    On a page of the course a name of several words, or with capitals, is linked where it is used first, if
    the page does not do so itself: other names are also everyday words.
    """
    known, done = meanings(), set()

    def link(shown: str, name: str) -> nodes.raw:
        done.add(name)
        to = f"{app.builder.get_relative_uri(page, GLOSSARY)}#{slug(name)}"
        meaning = html.escape(re.sub(r"[`*]", "", known[name][1]))
        more = f'href="{to}" data-meaning="{meaning}" aria-description="{meaning}"'
        return nodes.raw("", f'<a class="term" {more}>{html.escape(shown)}</a>', format="html")

    for old in list(tree.findall(nodes.reference)):
        if old.get("refuri", "").partition("#")[0].endswith("glossary.html"):
            shown = " ".join(old.astext().split())
            found = (n for n in (shown.lower(), shown.lower().removesuffix("s")) if n in known)
            if name := next(found, None):
                old.replace_self(link(shown, name))
    if not page.startswith("notebooks/"):
        return
    plain_ = {n for n, (written, _) in known.items() if " " in n or (len(n) > 2 and written.isupper())}
    left = [n for n in sorted(plain_, key=len, reverse=True) if "(" not in n]
    for text in list(tree.findall(nodes.Text)):
        if not isinstance(text.parent, nodes.paragraph | nodes.emphasis):
            continue
        if (free := [n for n in left if n not in done]) and (
            found_ := re.search(rf"(?<![\w-])({'|'.join(map(re.escape, free))})s?(?![\w-])", text, re.I)
        ):
            before, after = text[: found_.start()], text[found_.end() :]
            parts = [nodes.Text(before), link(found_[0], found_[1].lower()), nodes.Text(after)]
            text.parent.replace(text, parts)


def badges(
    app: Sphinx, page: str, template: str, context: dict[str, Any], tree: nodes.document | None
) -> None:
    """Above each page of the course: where it runs, and the file itself."""
    if not page.startswith("notebooks/"):
        return
    name, folder = Path(page).name, context["pathto"]("_downloads", 1)
    links = [
        ("Download this page", f"{folder}/{name}.ipynb", "download"),
        ("Its exercises, unsolved", f"{folder}/{name}.exercises.ipynb", "download"),
    ]
    if repository := context["repository"]:
        to = f"https://mybinder.org/v2/gh/{repository}/main?urlpath=lab/tree/{page}.ipynb"
        links.append(("Open in Binder", to, ""))
        to = f"https://colab.research.google.com/github/{repository}/blob/colab/{name}.ipynb"
        links.append(("Open in Colab", to, ""))
    row = " ".join(f'<a href="{to}" {more}>{text}</a>' for text, to, more in links)
    context["body"] = f'<p class="places">{row}</p>' + context["body"]


def vendor(app: Sphinx, error: Exception | None) -> None:
    """What the pages run comes along, so that nothing is fetched from elsewhere."""
    to = Path(app.outdir, "_static", "vendor")
    for source, name in VENDORED.items():
        for file in sorted((HERE / "node_modules").glob(source)):
            target = to / name / file.name
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, target)
    downloads = Path(app.outdir, "_downloads")
    downloads.mkdir(exist_ok=True)
    for page in ROOT.glob("notebooks/*.ipynb"):
        shutil.copy(page, downloads / page.name)
        unsolved = editions.exercises(ROOT / "notebooks" / "source" / f"{page.stem}.py")
        nbformat.write(unsolved, downloads / f"{page.stem}.exercises.ipynb")


def setup(app: Sphinx) -> dict[str, Any]:
    """What Sphinx calls."""
    app.connect("builder-inited", write_reference)
    app.connect("source-read", write_contents)
    app.connect("source-read", prepare)
    app.connect("builder-inited", explorers.write)
    app.connect("autodoc-process-docstring", plain, priority=400)
    app.connect("autodoc-skip-member", own)
    app.connect("doctree-read", places)
    app.connect("doctree-resolved", explain)
    app.connect("html-page-context", badges)
    app.connect("build-finished", vendor)
    # what was read before by another version of these files, or with other explorers, is read again
    code = b"".join(file.read_bytes() for file in sorted(HERE.glob("*.py")))
    version = zlib.crc32(code + str(sorted(file.name for file in exploring.FOLDER.glob("*"))).encode())
    return {"env_version": version, "parallel_read_safe": True, "parallel_write_safe": True}
