"""The verb `report`."""

from __future__ import annotations


def report(run: str, data: str | None = None, out: str = "", which: str = "best") -> None:
    """Write one HTML page about a run.

    Numbers, learning curves, reconstructions, samples, a map of the codes, and settings; all in the one file,
    so it can be mailed.

    Args:
        run: folder of the run.
        data: another dataset, or a folder of photos of the same size.
        out: a .html, replaced if it is there; report.html in the run's folder by default.
        which: checkpoint: best, last, or a name.
    """
    from ..runs.checkpoint import write_file
    from .opening import opened, target
    from .page import page

    file = target(out, f"{run}/report.html", ".html .htm")
    model, split = opened(run, data, which)
    write_file(file, page(run, model, split, which).encode())
    print(f"{file}: open it in a browser")
