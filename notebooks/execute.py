"""Execute notebooks in place, from their text pairs: `python notebooks/execute.py [--explorers] [NAME …]`.

Each page is built from source/NAME.py, run from top to bottom in a fresh kernel, and written only if
every cell succeeded. AELIB_PROFILE chooses "full" (the default) or "quick". In the full profile the pictures
of cells tagged `figure-NAME` are also written to materials/figures/NAME.png, and from them the small picture
of the page that the README shows, the page's claims are evaluated (those that fail are printed), and its
explorers that move on the site are written to materials/site/trained (`exploring`). With --explorers nothing
but these is written, and of a page only the cells run that they need.
"""

import base64
import os
import resource
import sys
import time
from pathlib import Path

import claiming
import exploring
import jupytext
import nbformat
import slicing
import thumbnails
from nbclient import NotebookClient

HERE = Path(__file__).parent
os.environ["AELIB_PROGRESS"] = os.devnull  # nobody learns here
os.environ["TQDM_DISABLE"] = "1"  # a page keeps results, not bars


def execute(source: Path) -> None:
    """Run one page and write it, or raise and leave the old one."""
    notebook, number = jupytext.read(source), source.stem.split("_")[0]
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    full = os.environ.get("AELIB_PROFILE", "full") == "full"
    start, before = time.perf_counter(), cpu_seconds()
    run(notebook, f"exploring.watch({number!r})" if full and number in exploring.KEPT else "")
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of the day differ at every run and say nothing
    page = HERE / f"{source.stem}.ipynb"
    part = page.with_suffix(".part")
    nbformat.write(notebook, part)
    os.replace(part, page)
    if full:
        write_figures(notebook)
        if number in thumbnails.PAGES:
            thumbnails.write(number)
        for wrong in claiming.failing(notebook, number):
            print(f"{page.name} no longer prints what it says. {wrong}")
    seconds, cpu = time.perf_counter() - start, cpu_seconds() - before
    print(f"{page.name}: {seconds:.0f} s, {cpu:.0f} s of CPU, {page.stat().st_size / 1e6:.1f} MB", flush=True)


def run(notebook: nbformat.NotebookNode, first: str = "") -> None:
    """Run its cells in a fresh kernel; before them, unseen, a line that may use `exploring`."""
    lines = [f"--IPKernelApp.exec_lines=import exploring; {first}"] if first else []
    NotebookClient(
        notebook, timeout=None, kernel_name="python3", coalesce_streams=True, store_widget_state=False,
        resources={"metadata": {"path": str(HERE)}}, extra_arguments=lines,
    ).execute()  # fmt: skip


def keep_explorers(source: Path) -> None:
    """Write the explorers of a page that the site moves, and nothing else.

    Raises ValueError: a cell that shows an explorer is not in the stored page, which says where they are.
    """
    start, number = time.perf_counter(), source.stem.split("_")[0]
    notebook = jupytext.read(source)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    stored = nbformat.read(HERE / f"{source.stem}.ipynb", as_version=4)
    views = [cell.source for cell in stored.cells if "jupyter.widget-view" in str(cell.get("outputs"))]
    shown = [[cell.source for cell in code].index(view) for view in views]
    needed = slicing.needed([cell.source for cell in code], [shown[k] for k in exploring.KEPT[number]])
    notebook.cells = [code[i] for i in needed]
    before = time.time() - 1  # a disk's clock may be a little behind
    run(notebook, f"exploring.watch({number!r}, {[k for k, i in enumerate(shown) if i in needed]})")
    for k in exploring.KEPT[number]:
        file = exploring.FOLDER / f"{number}-{k}.safetensors"
        if not file.exists() or file.stat().st_mtime < before:
            raise RuntimeError(f"{file.name} was not written. The cell printed: {notebook.cells[-1].outputs}")
    seconds = time.perf_counter() - start
    print(f"{source.stem}: {len(needed)} of {len(code)} cells, {seconds:.0f} s", flush=True)
    for file in sorted(exploring.FOLDER.glob(f"{number}-*")):
        print(f"  {file.name}: {file.stat().st_size:,} bytes")


def cpu_seconds() -> float:
    """What the kernels that have ended have used: it depends little on what else the machine does."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def write_figures(notebook: nbformat.NotebookNode) -> None:
    """Write the last picture of every cell tagged `figure-NAME`."""
    for cell in notebook.cells:
        for tag in cell.metadata.get("tags", []):
            if tag.startswith("figure-"):
                picture = next(o.data["image/png"] for o in cell.outputs[::-1] if "data" in o)
                figure = HERE.parent / "materials" / "figures" / f"{tag.removeprefix('figure-')}.png"
                figure.write_bytes(base64.b64decode(picture))


if __name__ == "__main__":
    alone = "--explorers" in sys.argv
    names = [name for name in sys.argv[1:] if name != "--explorers"]
    for path in sorted((HERE / "source").glob("*.py")):
        if not names or any(path.stem.startswith(name) for name in names):
            if not alone:
                execute(path)
            elif path.stem.split("_")[0] in exploring.KEPT:
                keep_explorers(path)
