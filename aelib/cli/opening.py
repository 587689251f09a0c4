"""What the verbs open (datasets by name or folder, runs, photos) and write. It imports torch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from .. import datasets, latent, plots, retrieval, runs
from ..datasets import Split
from ..errors import unknown
from ..models import Autoencoder, seeded
from ..runs.checkpoint import write_file

FITTED = 2000  # codes of training pictures that a stand-in for a prior is fitted to


def dataset(data: str, size: int | None = None) -> Split:
    """A dataset by its name, or a folder of photos.

    Raises:
        ValueError: it is neither; the nearest name is suggested.
    """
    if data == "folder":
        raise ValueError("give the folder of your photos itself, as: aelib train my/photos")
    if data in datasets.DATASETS:
        sized = "size" in inspect.signature(datasets.DATASETS[data]).parameters
        if size is not None and not sized:
            raise ValueError(f"{data} comes in one size: leave --size out")
        return datasets.load(data, **({} if size is None else {"size": size}))
    if data and Path(data).is_dir():
        return datasets.load("folder", path=data, **({} if size is None else {"size": size}))
    raise ValueError(unknown("dataset or folder of photos", data, datasets.DATASETS))


def source(run: str) -> str:
    """What a run was trained on: a dataset's name, or a folder.

    Raises:
        RunError: it does not say so.
    """
    config = runs.Run(run).settings()
    if "data" not in config or "net" not in config:
        raise runs.RunError(f"{run} does not say what it was trained on: name the data")
    return str(config["data"])


def model_of(run: str, which: str = "best") -> Autoencoder:
    """A run's model, if the command line can ask it: one without conditions."""
    model = runs.load(run, which=which)
    if model.recipe is None or model.recipe["conditions"]:
        raise runs.RunError(
            f"{run} holds a model that takes conditions: use it in Python, runs.load({run!r})"
        )
    return model


def pictures(run: str, model: Autoencoder, data: str | None = None) -> Split:
    """The pictures that a run was trained on, or others of the same shape.

    Raises:
        ValueError: their shape is another.
    """
    if data is None:
        data, size = source(run), runs.Run(run).settings().get("size")
        if data not in datasets.DATASETS and not Path(data).is_dir():
            raise runs.RunError(f"{run} was trained on the photos in {data}, which is not here: give --data")
    else:
        known = datasets.DATASETS.get(data)
        sized = known is None or "size" in inspect.signature(known).parameters
        size = model.recipe["shape"][-1] if sized and model.recipe else None
    split = dataset(data, size)
    shape = model.recipe["shape"] if model.recipe else []
    if list(split.shape) != shape:
        raise ValueError(f"{run} was trained on pictures {shape}, these are {list(split.shape)}")
    return split


def opened(run: str, data: str | None = None, which: str = "best") -> tuple[Autoencoder, Split]:
    """A run's model, and the pictures it was trained on, or others."""
    model = model_of(run, which)
    return model, pictures(run, model, data)


def read(photos: Sequence[str], model: Autoencoder) -> Tensor:
    """(N, C, H, W) photos of any format and size, as the model wants them."""
    shape = model.recipe["shape"] if model.recipe else ()
    if absent := [file for file in photos if not Path(file).is_file()]:
        raise FileNotFoundError(f"there is no photo {absent[0]}")
    return torch.cat([retrieval.photo(file, shape) for file in photos])


@torch.no_grad()
def samples(model: Autoencoder, split: Callable[[], Split], n: int, seed: int = 0) -> tuple[Tensor, str]:
    """(n, C, H, W) pictures drawn from the prior, or from a Gaussian fitted to codes; and which it was.

    Args:
        split: asked for training pictures, where there is no prior.
    """
    with seeded(seed, model.device):
        if model.prior is not None:
            return model.sample(n).cpu(), "the prior"
        train = split().train[:FITTED]
        code = model.encode(train[:1].batch(model.device).x).mean.shape[1:]
        z = latent.fit_prior(latent.encode(model, train), "full")(None).sample((n,)).reshape(n, *code)
        return latent.decode(model, z), f"a Gaussian fitted to {len(train):,} training codes"


def target(out: str, default: str, suffixes: str, inputs: Sequence[str] = ()) -> Path:
    """Where a verb writes: checked before the work begins.

    Args:
        default: the file if `out` is "", in a run's folder, which is there.
        suffixes: that the name may end in, as ".npz .parquet".
        inputs: files that are read, and shall not be replaced.

    Raises:
        ValueError: another suffix, a folder, or one of the inputs.
        RunError: there is no such run's folder.
    """
    path = Path(out or default)
    if not out and not path.parent.is_dir():
        raise runs.RunError(f"there is no folder {path.parent}: check its name, or name a file with --out")
    if path.suffix.lower() not in suffixes.split():
        raise ValueError(f"--out names a file that ends in {' or '.join(suffixes.split())}; got {out}")
    if path.is_dir():
        raise ValueError(f"--out {out} is a folder: name a file in it")
    if any(path.exists() and Path(i).exists() and path.samefile(i) for i in inputs):
        raise ValueError(f"--out {out} is one of the photos to read: choose another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def unused(path: Path, run: str) -> Path:
    """The same path, if nothing is there that is not the run's own.

    Raises:
        ValueError: there is, outside the run's folder.
    """
    if path.exists() and Path(run).resolve() not in path.resolve().parents:
        raise ValueError(f"{path} exists: remove it, or choose another name with --out")
    return path


def write_png(file: Path, images: plots.Pictures, columns: int, zoom: int = 0) -> None:
    """A grid of images as a PNG, enlarged so that small ones can be seen."""
    if not 0 <= zoom <= 64:
        raise ValueError(f"--zoom is 1 to 64, or 0 to let it be chosen; got {zoom}")
    write_file(file, plots.png(images, columns, zoom or max(1, round(96 / images.shape[-1]))))
