"""The index in a run's folder: made, asked, and the pictures that it finds."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..datasets import Images, Split
from ..datasets.photos import listed
from ..evaluation import check
from ..files import digest, marked, sum_of, write_file
from ..models import Autoencoder
from ..pretrained import load, load_with_data, trained_on
from ..runs import RunError
from .index import Coder, Index, codes, photo
from .index import load as load_index
from .index import save as save_index

INDEX, NAMES = "index.safetensors", "index.json"
MOST = 256  # numbers of a code that are compared, at most


@dataclass(frozen=True)
class Found:
    """The pictures most like a photo, the nearest first.

    Args:
        files: what each is called: its file, or its number in a part, as digits/test/17.
        closeness: the cosine similarity of each to the photo, at most 1; NaN where a code is 0.
        photo: (1, C, H, W) as the model takes it.
        pictures: a function that returns what was found, (k, C, H, W).
    """

    files: list[str]
    closeness: list[float]
    photo: Tensor
    pictures: Callable[[], Tensor]


def index_run(
    run: str | Path, data: str | Path | Split[Images] | None = None, *, which: str | None = None,
    model: Autoencoder | None = None, labels: Any = None,
) -> int:  # fmt: skip
    """Index all pictures of a dataset, in the run's folder; returns how many there are.

    Codes are centred and turned to their principal directions, and compared by angle.

    Args:
        data: a dataset's name, a folder of photos, or a `Split`; None: what the run was trained on.
        which: checkpoint: best (the default), last, or a name.
        model: None: the run's own. Another needs its data as a `Split`; the folder may be any.
        labels: of the photos, as in `load_with_data`.

    Raises RunError, ValueError: as in `load_with_data`; or the model takes conditions.
    """
    if model is None:
        model, split = load_with_data(run, data, which=which, labels=labels)
    elif isinstance(data, Split):
        split = data
    else:
        raise TypeError(f"a model of your own needs its data as a Split; got data={data!r}")
    check(model)
    check(model, split.train)
    if len(split.shape) != 3:
        raise ValueError(f"only pictures (C, H, W) can be searched by a photo; these are {split.shape}")
    name = split.name if isinstance(data, Split) else str(trained_on(run)[0] if data is None else data)
    parts = {"train": split.train, "valid": split.valid, "test": split.test}
    size = model.encode(split.train[:1].batch(model.device).x).mean[0].numel()
    coder = Coder(model, nn.Flatten())
    coder = coder.whitened(split.train, min(size, len(split.train), MOST), power=0)
    rows = torch.cat([codes(coder, part) for part in parts.values() if len(part)])
    names = [file for part, images in parts.items() for file in _names(images, part, name)]
    folder = Path(run)
    if (folder / NAMES).exists() and not ((folder / INDEX).exists() and marked(folder / INDEX)):
        raise RunError(f"{folder / NAMES} is of another program: choose another folder")
    save_index(folder / INDEX, coder, Index(rows))
    about = {"data": None if isinstance(data, Split) else name, "which": which,
             "shape": list(split.shape), "index": digest(folder / INDEX), "files": names}  # fmt: skip
    if about["data"] and Path(name).is_dir():  # known from everywhere
        about |= {"data": str(Path(name).resolve()), "listed": listed(Path(name))[1]}
    about["sha256"] = sum_of(about)
    write_file(folder / NAMES, json.dumps(about).encode())
    return len(names)


def search_run(
    run: str | Path, query: str | Path, k: int = 8, *, data: Split[Images] | None = None,
    model: Autoencoder | None = None,
) -> Found:  # fmt: skip
    """The k pictures most like a photo, among those of `index_run`.

    Args:
        query: an image file of any format and size; the largest square in the middle is taken.
        data: the `Split` that was indexed, if it was one: what is shown comes from it.
        model: the one that was indexed, if it was given.

    FileNotFoundError if there is no such photo; RunError if there is no index, it is damaged, or photos were
    added, changed or removed since; ValueError if it is of a model with other weights, of fewer than k
    pictures, or of pictures all alike.
    """
    folder, again = Path(run), f"aelib index {run}, or retrieval.index_run({str(run)!r})"
    try:
        about = json.loads((folder / NAMES).read_text("utf-8"))
        if about.get("sha256") != sum_of(about):
            raise ValueError
        same = about["index"] == digest(folder / INDEX)
        shape, files = about["shape"], about["files"]
    except FileNotFoundError as e:
        raise RunError(f"{run} has no index yet: {again}") from e
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as e:
        raise RunError(f"{folder / NAMES} is damaged: {again}") from e
    if not same:
        raise RunError(f"the index in {run} was not finished: {again}")
    listed_then, place = about.get("listed"), Path(about["data"] or "")
    if listed_then and not (place.is_dir() and listed(place)[1] == listed_then):
        raise RunError(f"photos in {place} were added, changed or removed since: {again}")
    model = load(run, which=about["which"]) if model is None else model
    coder, index = load_index(folder / INDEX, model)
    x = photo(query, shape)
    with torch.no_grad():
        answer = index.ask(coder(x.to(model.device)), k)
    at = answer.rows[0].tolist()
    if answer.closeness.isnan().all():
        raise ValueError(f"{query} is like all pictures alike: its code is their mean, or they do not differ")
    closeness = [round(c, 6) for c in answer.closeness[0].tolist()]
    # below the present folder a file is called as from there
    names = [os.path.relpath(f) if Path(f).is_relative_to(Path.cwd()) else f for f in (files[i] for i in at)]
    return Found(names, closeness, x, lambda: _pictures(run, about, at, data))


def _pictures(run: str | Path, about: dict[str, Any], rows: list[int], data: Split[Images] | None) -> Tensor:
    """(k, C, H, W) those pictures: a folder's from their files, others from the dataset."""
    if data is None and about["data"] is None:
        raise ValueError(f"the index in {run} was made of a Split: give it as data=, to see what was found")
    if data is None and Path(about["data"]).is_dir():
        return torch.cat([photo(about["files"][i], about["shape"]) for i in rows])
    split = data or load_with_data(run, about["data"], which=about["which"])[1]
    parts = (split.train, split.valid, split.test)
    every = np.cumsum([0, *map(len, parts)])
    places = [(int(p := np.searchsorted(every, i, "right") - 1), i - int(every[p])) for i in rows]
    return torch.cat([parts[p][j : j + 1].batch().x for p, j in places])


def _names(images: Images, part: str, data: str) -> list[str]:
    """What each picture is called: its file, or its number in a part, as digits/test/17."""
    if images.files is None:
        return [f"{data}/{part}/{i}" for i in range(len(images))]
    return [str(Path(data, f).resolve()) if Path(data).is_dir() else str(f) for f in images.files]
