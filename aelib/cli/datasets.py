"""The verb `datasets`: what there is, and where."""

from __future__ import annotations

import json as json_


def list_datasets(download: str | None = None, json: bool = False) -> None:
    """List the datasets: what each is, its terms and size, and where it is.

    Args:
        download: get this one now, and decode it.
        json: print JSON.
    """
    from .. import datasets
    from ..materials import licences

    if download is not None:
        split = datasets.load(download)
        print(json_.dumps({"name": download, "images": len(split.train)}) if json else split)
        return
    rows = []
    for name, source in datasets.DATASETS.items():
        found = source.found()
        rows.append({
            "name": name, "what": source.what, "terms": source.terms, "size": source.size,
            "check": source.check, "here": not source.places or found is not None,
            "found": None if found is None else str(found),
        })  # fmt: skip
    if json:
        print(json_.dumps(rows, ensure_ascii=False, indent=1))
        return
    for r in rows:
        where = f"in {r['found']}" if r["found"] else "here" if r["here"] else "not here yet"
        size = r["size"] if r["check"] == "–" else f"{r['size']}, checked by {r['check']}"
        print(f"{r['name']:<14} {r['what']}\n{'':<14} {where}; {size}; terms: {r['terms']}")
    print(f"\nUse one: aelib train NAME. Your own photos: aelib train FOLDER. Terms in full:\n{licences()}")
