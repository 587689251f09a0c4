"""Codes of pictures with what is known of each, and their file."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd

from . import latent
from .datasets import Split
from .files import write_file
from .models import Autoencoder


def codes_of(model: Autoencoder, split: Split) -> dict[str, np.ndarray]:
    """codes (N, K), part (N,), and where they are known labels (N,), classes, files (N,)."""
    parts = {"train": split.train, "valid": split.valid, "test": split.test}
    out = {
        "codes": np.concatenate([latent.encode(model, data).numpy() for data in parts.values() if len(data)]),
        "part": np.repeat(list(parts), [len(data) for data in parts.values()]),
    }
    if split.train.labels is not None:
        out["labels"] = np.concatenate([np.asarray(data.labels) for data in parts.values()])
        out["classes"] = np.asarray(split.train.classes)
    if split.train.files is not None:
        out["files"] = np.concatenate([np.asarray(data.files) for data in parts.values()])
    return out


def written(file: Path, codes: dict[str, np.ndarray]) -> None:
    """Write them as .npz or .parquet, in one move.

    Raises:
        ImportError: pyarrow is missing for .parquet.
    """
    buffer = io.BytesIO()
    if file.suffix.lower() == ".npz":
        np.savez(buffer, **codes)  # type: ignore[arg-type]  # its own keyword is taken for one of ours
    else:
        try:
            import pyarrow  # noqa: F401
        except ImportError as e:
            raise ImportError("a .parquet needs PyArrow: pip install pyarrow. A .npz does not") from e
        table = pd.DataFrame(codes["codes"], columns=[f"z{i}" for i in range(codes["codes"].shape[1])])
        table.insert(0, "part", codes["part"])
        if "labels" in codes:
            table.insert(1, "class", codes["classes"][codes["labels"]])
        if "files" in codes:
            table.insert(1, "file", codes["files"])
        table.to_parquet(buffer, index=False)
    write_file(file, buffer.getvalue())
