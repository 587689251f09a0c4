"""Models that come with the library, and `load`, where their names and the paths of runs meet.

`python tests/benchmarks/recipes.py vae-mnist` trains one of them again.
"""

import json
import math
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from torch import Tensor, nn

from . import datasets, models, runs
from .datasets import DATASETS, Split
from .errors import unknown
from .evaluation import check
from .models import Autoencoder
from .runs import RunError
from .runs.checkpoint import read_weights

# 26 MB in the package, not a download: a machine without a network must be able to use them
FOLDER = Path(__file__).parent / "weights"
CONDITIONS = ("Smiling", "Male", "Eyeglasses", "Bangs", "Blond Hair", "Senior", "Wearing Hat", "Mustache")


def _flow_prior() -> Autoencoder:
    """The course's convolutional network, with a normalising flow in the place of N(0, 1)."""
    import zuko

    model = models.autoencoder((1, 28, 28), 32)
    model.prior = zuko.flows.NSF(32, transforms=3, hidden_features=(128, 128))
    return model


def _faces(latent: int, scale: float = 0.5, **keywords: Any) -> Autoencoder:
    """A VAE whose σ stays. A learnt one becomes small, and codes long: random codes then give no faces."""
    model = _colour(latent, likelihood="gaussian-learnt", **keywords)
    log_scale = cast(Tensor, cast(nn.Sequential, model.decoder)[-1].log_scale)
    nn.init.constant_(log_scale.requires_grad_(False), math.log(scale))
    return model


# of Burda et al., 2016: two hidden layers of 200, one stochastic layer of 50
_published = partial(models.autoencoder, (1, 28, 28), 50, net="mlp", hidden=(200, 200))
_colour: Callable[..., Autoencoder] = partial(models.autoencoder, (3, 64, 64), hidden=(48, 96, 192))

# Each untrained; `tests/benchmarks/recipes.py` trains them.
MODELS: dict[str, Callable[[], Autoencoder]] = {
    "vae-mnist": _published,
    "iwae-mnist": _published,
    "flow-vae-mnist": _flow_prior,
    "vae-fashion-mnist": partial(models.autoencoder, (1, 28, 28), 16),
    "ae-lfw": partial(_colour, 128, posterior="deterministic", likelihood="gaussian"),
    "vae-lfw": partial(_faces, 64),
    "cvae-lfw": partial(_faces, 96, scale=0.1, conditions=len(CONDITIONS)),
    "vae-food-101": partial(_colour, 128, likelihood="gaussian-learnt"),
}


def load(
    path: str | Path, into: nn.Module | None = None, *, which: str | None = None, device: str = "auto"
) -> Any:
    """A trained model, in evaluation mode: of a run, of a file of weights, or "pretrained/NAME".

    Nothing in the files is executed. The models of faces know LFW's square around a face, and no other:
    `faces.aligned` cuts it out of any photo.

    Args:
        path: a run's folder, a .safetensors file with its recipe, or "pretrained/NAME" (one of `MODELS`).
        into: a model to fill, for one that `autoencoder` did not make; it is returned.
        which: of a run: "best" (the default), "last", or a checkpoint's name.
        device: "auto" (CUDA, MPS, CPU in this order), "cuda", "mps", "cpu".

    Raises:
        ValueError: there is no pretrained model of this name (the nearest is suggested), or `which` of
            something that has no checkpoints.
        RunError: no run there, a damaged checkpoint (another is offered), or one of another model.
    """
    if Path(path).exists():
        return runs.load(path, into, which=which, device=device)
    name = Path(path).name
    if Path(path).parent == Path("pretrained"):
        file = _file(name, ".safetensors")
        if not file.is_file():
            raise RunError(f"{file} is not there; make it with: python tests/benchmarks/recipes.py {name}")
        return runs.load(file, MODELS[name]() if into is None else into, which=which, device=device)
    hint = f" (a dataset: datasets.load({name!r}))" if str(path) in DATASETS else ""
    if name in MODELS:
        hint = f" (a model that comes with aelib: load('pretrained/{name}'))"
    raise RunError(f"{path} does not exist: neither a run's folder nor a file of weights{hint}")


def load_with_data(
    path: str | Path, data: str | Path | Split | None = None, *, which: str | None = None,
    device: str = "auto", labels: Any = None,
) -> tuple[Autoencoder, Split]:  # fmt: skip
    """A trained model, and the data that it was trained on, or others of the same shape.

    Args:
        path, which, device: as in `load`.
        data: a dataset's name, a folder of photos, or a `Split`; None: what `aelib train` trained it on.
            Photos that it was trained on are in the training part, whatever was renamed or removed since.
        labels: of a folder's photos, as in `datasets.folder`; None: those that it was trained with, if any.

    Raises:
        RunError: as in `load`; or nothing says what it was trained on, or that folder is no longer there.
        ValueError: there is no such dataset, its examples have another shape, or the model takes conditions
            that the data do not carry.
    """
    model = load(path, which=which, device=device)
    shape = [] if model.recipe is None else model.recipe["shape"]
    options: dict[str, Any] = {"size": shape[-1], "channels": shape[0]} if len(shape) == 3 else {}
    if not isinstance(data, Split):
        with suppress(*([] if data is None else [RunError])):
            place, own = trained_on(path)
            if data is None or Path(data).resolve() == Path(place).resolve():
                data, options = place, options | own
        takes = DATASETS.get(str(data), DATASETS["folder"]).options
        options |= {} if labels is None else {"labels": labels}
        options = {k: v for k, v in options.items() if k in takes and v is not None}
        data = datasets.load(cast(str, data), **options)
        if Path(path).is_dir() and data.train.paths is not None:
            data = _as_trained(runs.Run(path), data)
    check(model, data.train)
    return model, data


def _as_trained(run: runs.Run, split: Split) -> Split:
    """The same photos; those that the run was trained on are in the training part, whatever their names."""
    with suppress(RunError):  # no run, or damaged
        if run.about()["training"].get("fingerprint") == split.train.fingerprint():
            return split
    parts = [split.train, split.valid, split.test]
    moved = np.concatenate([[False] * len(split.train), *(run.trained(p) for p in parts[1:])])
    if moved.any():
        warnings.warn(f"{moved.sum():,} photos of the validation and test parts were trained on: "
                      "they count as training photos", stacklevel=3)  # fmt: skip
        part, every = np.where(moved, 0, np.repeat([0, 1, 2], [len(p) for p in parts])), split.all
        split = replace(split, train=every[part == 0], valid=every[part == 1], test=every[part == 2])
    return split


def trained_on(path: str | Path) -> tuple[str, dict[str, Any]]:
    """What a run was trained on, a dataset's name or a folder, and how it was loaded.

    RunError if that folder is not here, or nothing says so, as of a run that was begun in Python.
    """
    config = runs.Run(path).settings() if Path(path).is_dir() else {}
    if "data" not in config or "net" not in config:
        raise RunError(f"{path} does not say what it was trained on: name the data (a dataset or a folder)")
    if (place := str(config["data"])) not in DATASETS and not Path(place).is_dir():
        text = f"{path} was trained on photos in {place}, which is not here"
        raise RunError(f"{text}: name a folder, as in aelib resume {path} FOLDER")
    return place, {k: config.get(k) for k in ("size", "channels", "labels", "by")}


def _file(name: str, ending: str) -> Path:
    """Where something of a model is; `ValueError` if there is no model of this name."""
    if name not in MODELS:
        raise ValueError(unknown("pretrained model", name, MODELS))
    return FOLDER / f"{name}{ending}"


def directions(name: str) -> dict[str, Tensor]:
    """Attribute → (K,) its direction in the space of codes of a trained model; see `latent.direction`.

    Each is one standard deviation of the codes long (`latent.in_deviations`). They were found from the codes
    of the training photos, which need not be here.

    Raises:
        ValueError: there is no model of this name (the nearest is suggested), or it keeps no directions.
    """
    file = _file(name, "-directions.safetensors")
    if not file.is_file():
        kept = sorted(f.name.removesuffix("-directions.safetensors") for f in FOLDER.glob("*-directions.*"))
        raise ValueError(f"no directions are kept for {name!r}; they are for {', '.join(kept)}")
    return read_weights(file)[0]


def record(name: str) -> dict[str, Any]:
    """What is known of a trained model: the command, what it took, the last losses, log p(x) of test images.

    `ValueError` if there is no model of this name (the nearest is suggested).
    """
    path = _file(name, ".json")
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def drawn(name: str) -> dict[str, float]:
    """Attribute → share of strangers' faces that obey at the recorded strength, the lesser of on and off."""
    return {a: min(row["on"], row["off"]) for a, row in record(name)["judges"]["edited"].items()}
