"""Execute notebooks in place, from their text pairs: `python notebooks/execute.py [NAME …]`.

Each page is built from source/NAME.py, run from top to bottom in a fresh kernel, and written only if
every cell succeeded. AELIB_PROFILE chooses "full" (the default) or "quick". In the full profile the pictures
of cells tagged `figure-NAME` are also written to materials/figures/NAME.png, and from them the small picture
of the page that the README shows, and the page's claims are evaluated: those that fail are printed.
"""

import base64
import os
import resource
import sys
import time
from pathlib import Path

import claiming
import jupytext
import nbformat
import thumbnails
from nbclient import NotebookClient

HERE = Path(__file__).parent
os.environ["AELIB_PROGRESS"] = os.devnull  # nobody learns here
os.environ["TQDM_DISABLE"] = "1"  # a page keeps results, not bars


def execute(source: Path) -> None:
    """Run one page and write it, or raise and leave the old one."""
    notebook = jupytext.read(source)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    start, before = time.perf_counter(), cpu_seconds()
    NotebookClient(
        notebook, timeout=None, kernel_name="python3", coalesce_streams=True, store_widget_state=False,
        resources={"metadata": {"path": str(HERE)}},
    ).execute()  # fmt: skip
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of the day differ at every run and say nothing
    page = HERE / f"{source.stem}.ipynb"
    part = page.with_suffix(".part")
    nbformat.write(notebook, part)
    os.replace(part, page)
    if os.environ.get("AELIB_PROFILE", "full") == "full":
        write_figures(notebook)
        number = source.stem.split("_")[0]
        if number in thumbnails.PAGES:
            thumbnails.write(number)
        for wrong in claiming.failing(notebook, number):
            print(f"{page.name} no longer prints what it says. {wrong}")
    seconds, cpu = time.perf_counter() - start, cpu_seconds() - before
    print(f"{page.name}: {seconds:.0f} s, {cpu:.0f} s of CPU, {page.stat().st_size / 1e6:.1f} MB", flush=True)


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
    for path in sorted((HERE / "source").glob("*.py")):
        if len(sys.argv) == 1 or any(path.stem.startswith(name) for name in sys.argv[1:]):
            execute(path)
