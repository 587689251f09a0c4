"""The verb `datasets`: what there is, and where."""

from __future__ import annotations

import inspect
import json as json_
from typing import NamedTuple


class Known(NamedTuple):
    """Terms of a dataset, size of what is downloaded, and folders that it is found by, if it needs one."""

    terms: str
    size: str
    at: tuple[str, ...] = ()


KNOWN = {
    "lfw": Known("research use", "233 MB", ("lfw/lfw-deepfunneled", "lfw/lfw_funneled", "lfw/lfw-funneled")),
    "mnist": Known("CC BY-SA 3.0", "12 MB", ("MNIST/raw",)),
    "fashion-mnist": Known("MIT", "31 MB", ("FashionMNIST/raw",)),
    "digits": Known("CC BY 4.0", "built in"),
    "faces-sample": Known("research use, as lfw", "built in"),
    "drawn-faces": Known("MIT, as aelib", "made on the spot"),
    "food-101": Known("research use", "5 GB", ("food-101/images",)),
    "coco": Known("each photo's own, on Flickr", "19 GB", ("coco/train2017",)),
    "folder": Known("yours", "yours"),
}


def list_datasets(download: str | None = None, json: bool = False) -> None:
    """List the datasets: what each is, its terms and size, and where it is.

    Args:
        download: get this one now, and decode it.
        json: print JSON.
    """
    from .. import datasets
    from ..datasets import files
    from ..materials import licences

    if download == "folder":
        raise ValueError("your own photos need no download: aelib train FOLDER")
    if download is not None:
        split = datasets.load(download)
        print(json_.dumps({"name": download, "images": len(split.train)}) if json else split)
        return
    rows = []
    for name, load in datasets.DATASETS.items():
        terms, size, at = KNOWN[name]
        found = next((str(f) for place in at if (f := files.find(place))), None)
        what = (inspect.getdoc(load) or "").splitlines()[0].rstrip(".")
        rows.append({"name": name, "what": what, "terms": terms, "size": size,
                     "here": not at or found is not None, "found": found})  # fmt: skip
    if json:
        print(json_.dumps(rows, ensure_ascii=False, indent=1))
        return
    for r in rows:
        where = f"in {r['found']}" if r["found"] else "here" if r["here"] else "not here yet"
        print(f"{r['name']:<14} {r['what']}\n{'':<14} {where}; {r['size']}; terms: {r['terms']}")
    print(f"\nUse one: aelib train NAME. Your own photos: aelib train FOLDER. Terms in full:\n{licences()}")
