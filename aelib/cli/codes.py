"""Verbs that use codes: embed, index, search."""

from __future__ import annotations

import json as json_


def embed(run: str, data: str | None = None, out: str = "", which: str = "best") -> None:
    """Write the codes of pictures to a file, with their labels and file names.

    A .npz holds codes (N, K), part (train, valid or test) and, where they are known, labels, classes and
    files. A .parquet is a table with a row a picture.

    Args:
        run: folder of the run.
        data: another dataset, or a folder of photos; what the run was trained on by default.
        out: a .npz or .parquet; codes.npz in the run's folder by default. Elsewhere nothing is replaced.
        which: checkpoint: best, last, or a name.
    """
    from .coding import codes_of, written
    from .opening import opened, target, unused

    file = unused(target(out, f"{run}/codes.npz", ".npz .parquet"), run)
    model, split = opened(run, data, which)
    codes = codes_of(model, split)
    written(file, codes)
    n, k = codes["codes"].shape
    print(f"{file}: {n:,} codes of {k} numbers, with {', '.join(name for name in codes if name != 'codes')}")


def index(run: str, data: str | None = None, which: str = "best") -> None:
    """Make pictures findable: `aelib search` then finds those most like a photo.

    The index is kept in the run's folder.

    Args:
        run: folder of the run.
        data: another dataset, or a folder of photos; what the run was trained on by default.
        which: checkpoint: best, last, or a name.
    """
    from .opening import opened, source
    from .searching import indexed

    model, split = opened(run, data, which)
    n = indexed(run, model, split, source(run) if data is None else data, which)
    print(f"{n:,} pictures are indexed in {run}: to find one: aelib search {run} QUERY.jpg")


def search(run: str, query: str, k: int = 8, out: str = "", zoom: int = 0, json: bool = False) -> None:
    """Find the pictures most like a photo, among those of `aelib index`.

    Args:
        run: folder of the run.
        query: image file.
        k: how many to find.
        out: a .png of the photo and what was found, replaced if it is there; none is written by default.
        zoom: each pixel becomes a square of so many; chosen by the picture's size by default.
        json: print JSON.
    """
    import torch

    from .opening import read, target, write_png
    from .searching import searched

    file = target(out, out, ".png", [query]) if out else None
    model, found, shown = searched(run, query, k)
    if file is not None:
        write_png(file, torch.cat([read([query], model), shown()]), k + 1, zoom)
    if json:
        print(json_.dumps({"query": query, "found": found, "out": out or None}))
    else:
        for one in found:
            print(f"{one['closeness']:+.3f}  {one['file']}")
        if file is not None:
            print(f"{file}: the photo, and the {k} nearest, most similar first")
