"""Codes of a dataset with what is known of each example, and their file."""

import io
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from . import latent
from .datasets import Split
from .errors import shown
from .evaluation import check
from .files import write_file
from .models import Autoencoder

SUFFIXES = (".npz", ".parquet")


def codes(model: Autoencoder, split: Split) -> dict[str, np.ndarray]:
    """codes (N, K), part (N,); if known labels (N,), classes, files (N,), attributes (N, A), names (A,)."""
    check(model, split.train)
    parts = {"train": split.train, "valid": split.valid, "test": split.test}
    out = {
        "codes": np.concatenate([latent.encode(model, data).numpy() for data in parts.values() if len(data)]),
        "part": np.repeat(list(parts), [len(data) for data in parts.values()]),
    }
    for name in ("labels", "files", "attributes"):
        if getattr(split.train, name) is not None:
            out[name] = np.concatenate([np.asarray(getattr(data, name)) for data in parts.values()])
    if "labels" in out:
        out["classes"] = np.asarray(split.train.classes)
    if "attributes" in out:
        out["names"] = np.array(list(split.train.attributes), str)
    return out


def save(file: str | Path, model: Autoencoder, split: Split) -> dict[str, np.ndarray]:
    """Write the codes of all three parts to a .npz, or to a .parquet with a row per example; returns them.

    A file that is there is replaced.

    ValueError if the model cannot take the examples, or for another ending; ImportError for lack of pyarrow.
    """
    file, buffer = Path(file), io.BytesIO()
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"codes are written to a file that ends in {' or '.join(SUFFIXES)}; got {file}")
    if suffix == ".parquet" and find_spec("pyarrow") is None:
        raise ImportError("a .parquet needs PyArrow: pip install pyarrow. A .npz does not")
    found = codes(model, split)
    if suffix == ".parquet":
        table = {"part": found["part"]}
        if "files" in found:
            table["file"] = np.array([shown(name, "file") for name in found["files"]])
        if "labels" in found:
            table["class"] = np.array([shown(c, "file") for c in found["classes"]])[found["labels"]]
        table |= dict(zip(found.get("names", []), found.get("attributes", np.empty(0)).T, strict=False))
        table |= {f"z{i}": z for i, z in enumerate(found["codes"].T)}
        pd.DataFrame(table).to_parquet(buffer, index=False)
    else:
        np.savez(buffer, **found)  # type: ignore[arg-type]  # its own keyword is taken for one of ours
    write_file(file, buffer.getvalue())
    return found
