"""The index in a run's folder: made, asked, and the pictures that it finds."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import retrieval, runs
from ..cli.inputs import model_of, pictures, read
from ..datasets import Images, Split
from ..files import write_file
from ..models import Autoencoder

INDEX, NAMES = "index.safetensors", "index.json"
MOST = 256  # numbers of a code that are compared, at most


def indexed(run: str, model: Autoencoder, split: Split, data: str, which: str) -> int:
    """Index all pictures of a split; returns how many there are.

    Codes are centred and turned to their principal directions, and compared by angle.
    """
    parts = {"train": split.train, "valid": split.valid, "test": split.test}
    size = model.encode(split.train[:1].batch(model.device).x).mean[0].numel()
    coder = retrieval.Coder(model, nn.Flatten())
    coder = coder.whitened(split.train, min(size, len(split.train), MOST), power=0)
    codes = torch.cat([retrieval.codes(coder, part) for part in parts.values() if len(part)])
    names = [name for part, images in parts.items() for name in _names(images, part, data)]
    folder = Path(run)
    retrieval.save(folder / INDEX, coder, retrieval.Index(codes))
    about = {"data": str(Path(data).resolve()) if Path(data).is_dir() else data, "which": which,
             "index": _digest(folder / INDEX), "files": names}  # fmt: skip
    write_file(folder / NAMES, json.dumps(about).encode())
    return len(names)


def searched(run: str, query: str, k: int) -> tuple[Autoencoder, list[dict[str, Any]], Callable[[], Tensor]]:
    """The model, the k nearest as {"file", "closeness"}, nearest first, and a function to their pictures.

    Raises:
        RunError: there is no index, or its two files are of different ones.
    """
    folder = Path(run)
    try:
        about = json.loads((folder / NAMES).read_text("utf-8"))
        same = about["index"] == _digest(folder / INDEX)
    except FileNotFoundError as e:
        raise runs.RunError(f"{run} has no index yet: aelib index {run}") from e
    except (ValueError, KeyError, TypeError) as e:
        raise runs.RunError(f"{folder / NAMES} is damaged: aelib index {run}") from e
    if not same:
        raise runs.RunError(f"the index in {run} was not finished: aelib index {run}")
    model = model_of(run, about["which"])
    coder, index = retrieval.load(folder / INDEX, model)
    with torch.no_grad():
        rows, closeness = index.ask(coder(read([query], model).to(model.device)), k)
    at = rows[0].tolist()
    found = [
        {"file": _here(about["files"][i]), "closeness": round(c, 6)}
        for i, c in zip(at, closeness[0].tolist(), strict=True)
    ]
    return model, found, lambda: _shown(run, model, about, at)


def _shown(run: str, model: Autoencoder, about: dict[str, Any], rows: list[int]) -> Tensor:
    """(k, C, H, W) those pictures: a folder's from their files, others from the dataset."""
    if Path(about["data"]).is_dir():
        return read([about["files"][i] for i in rows], model)
    split = pictures(run, model, about["data"])
    every = np.cumsum([0, len(split.train), len(split.valid), len(split.test)])
    parts = (split.train, split.valid, split.test)
    places = [(int(p := np.searchsorted(every, i, "right") - 1), i - int(every[p])) for i in rows]
    return torch.cat([parts[p][j : j + 1].batch().x for p, j in places])


def _names(images: Images, part: str, data: str) -> list[str]:
    """What each picture is called: its file, or its number in a part, as digits/test/17."""
    if images.files is None:
        return [f"{data}/{part}/{i}" for i in range(len(images))]
    return [str(Path(data, f).resolve()) if Path(data).is_dir() else str(f) for f in images.files]


def _here(file: str) -> str:
    """A file below the present folder as it is called from there."""
    return os.path.relpath(file) if Path(file).is_relative_to(Path.cwd()) else file


def _digest(file: Path) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
