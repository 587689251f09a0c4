"""Verbs that use a trained model: judge it, look at it, search with it, take it elsewhere.

What their common arguments are (run, data, which, zoom, json) is said in `parser.COMMON`.
"""

import json as json_
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from ..errors import shown
from ..files import marked

UNMARKED = (".npz", ".parquet", ".onnx")  # formats without a place for a mark


def evaluate(
    run: str, data: str | None = None, which: str | None = None, json: bool = False, labels: str | None = None
) -> None:
    """Judge a model on its test pictures, or on all of other data but those that it was trained on.

    Args:
        data: another dataset, or a folder of photos; the test part of what the run was trained on by default.
    """
    from .. import metrics, pretrained
    from ..datasets import DATASETS
    from ..runs import Run

    model, split = pretrained.load_with_data(run, data, which=which, labels=labels)
    mine = Run(run).about()["training"].get("fingerprint") if Path(run).is_dir() else None
    # of a model that does not say what it was trained on it may have been this dataset
    other = data is not None and (mine is not None or data not in DATASETS)
    whole = other and split.train.fingerprint() != mine
    part, pictures = ("all", split.all) if whole else ("test", split.test)
    if whole and pictures.paths is not None and (known := Run(run).trained(pictures)).any():
        part, pictures = "all that it was not trained on", pictures[~known]
    numbers = metrics.evaluate(model, pictures)
    if json:
        about: dict[str, Any] = {"run": run, "data": split.name, "part": part, "images": len(pictures)}
        print(json_.dumps(about | {k: _number(v) for k, v in numbers.items()}))
    else:
        print(f"{run} on {len(pictures):,} pictures of {split.name} ({part})")
        for name, value in numbers.items():
            print(f"  {name:<24} {value:.5g}")


def _number(value: float) -> float | None:
    """As JSON has it, which knows neither NaN nor infinity."""
    return round(value, 6) if math.isfinite(value) else None


def report(
    run: str, data: str | None = None, out: str = "", which: str | None = None, labels: str | None = None
) -> None:  # fmt: skip
    """Write one HTML page about a run.

    Numbers, learning curves, reconstructions, samples, a map of the codes, settings: one file, to be mailed.

    Args:
        out: a .html, replaced if aelib wrote it; report.html in the run's folder by default.
    """
    from ..report import SUFFIXES, of_run

    file = _file(out, run, "report.html", suffixes=SUFFIXES)
    print(f"{of_run(run, data, file=file, which=which, labels=labels)}: open it in a browser")


def sample(
    run: str, data: str | None = None, n: int = 64, out: str = "", seed: int = 0, zoom: int = 0,
    which: str | None = None, labels: str | None = None,
) -> None:  # fmt: skip
    """Make new pictures from random codes, as a grid.

    The codes are sampled where those of the training pictures are: from the model's prior, if they match it,
    else from a mixture or a Gaussian fitted to them. Which one it was, and why, is printed.

    Args:
        data: the training pictures, a dataset or a folder of photos; what the run says by default.
        n: how many.
        out: a .png, replaced if aelib wrote it; samples.png in the run's folder by default.
        seed: of the random codes.
    """
    from .. import latent, pretrained
    from ..datasets import DataError
    from ..runs import RunError

    if n < 1:
        raise ValueError(f"--n is at least 1; got {n}")
    file, model = _file(out, run, "samples.png"), _model(run, which)
    try:
        split = pretrained.load_with_data(run, data, which=which, labels=labels)[1]
        model, prior = latent.sampler(model, split.train)
    except (RunError, DataError):
        if data is not None or model.prior is None:
            raise
        prior = f"the model's prior; with its training pictures, aelib sample {run} DATA, its codes are asked"
    _zoom(n, zoom, model.recipe["shape"] if model.recipe else latent.sample(model, 1).shape)
    _write_png(file, latent.sample(model, n, seed=seed), max(1, round(n**0.5)), zoom)
    print(f"{file}: {n} samples of {prior}")


def reconstruct(
    run: str, photos: list[str], align: bool = False, out: str = "", zoom: int = 0, which: str | None = None
) -> None:
    """Show photos above, and what the model makes of them below.

    Args:
        photos: image files of any format and size; the largest square in the middle is taken.
        align: the face in each is taken instead, as pretrained/ae-lfw and the other face models know faces.
        out: a .png, replaced if aelib wrote it; reconstructions.png in the run's folder by default.
    """
    import torch

    file = _file(out, run, "reconstructions.png", photos)
    model = _model(run, which)
    x = _read(photos, model, align)
    if not align and run.startswith("pretrained/") and run.endswith("-lfw"):
        from ..faces import LIKE, likeness

        if strange := [f for f, like in zip(photos, likeness(x), strict=True) if like < LIKE]:
            print(f"not like the faces of {run}: {', '.join(map(shown, strange))}. --align finds faces")
    _write_png(file, torch.cat([x, model.reconstruct(x.to(model.device)).cpu()]), len(x), zoom)
    print(f"{file}: {len(x)} photos above, their reconstructions below")


def interpolate(
    run: str, first: str, second: str, steps: int = 9, kind: Literal["linear", "spherical"] = "linear",
    out: str = "", zoom: int = 0, which: str | None = None,
) -> None:  # fmt: skip
    """Show the way from one photo to another, through the codes between theirs.

    Args:
        first: image file at the left.
        second: image file at the right.
        steps: pictures in the row, at least 2.
        kind: of the way: a straight line, or an arc that keeps the code's length.
        out: a .png, replaced if aelib wrote it; interpolation.png in the run's folder by default.
    """
    import torch

    from .. import latent

    if steps < 2:
        raise ValueError(f"--steps is at least 2; got {steps}")
    file = _file(out, run, "interpolation.png", [first, second])
    model = _model(run, which)
    photos = _read([first, second], model)
    _zoom(steps, zoom, photos.shape)
    with torch.no_grad():
        ends = model.encode(photos.to(model.device)).mean.cpu()
    a, b = ends.flatten(1)
    way = latent.interpolate(a, b, torch.linspace(0, 1, steps), kind)
    _write_png(file, latent.decode(model, way.reshape(steps, *ends.shape[1:])), steps, zoom)
    print(f"{file}: {shown(first)} → {shown(second)} in {steps} steps, {kind}")


def embed(
    run: str, data: str | None = None, out: str = "", which: str | None = None, labels: str | None = None
) -> None:  # fmt: skip
    """Write the codes of pictures to a file, with their labels and file names.

    A .npz holds codes (N, K), part (train, valid or test) and, where they are known, labels, classes, files
    and attributes (N, A) with their names. A .parquet is a table with a row per picture.

    Args:
        out: a .npz or .parquet; codes.npz in the run's folder by default. Elsewhere nothing is replaced.
    """
    from .. import latent, pretrained

    file = _file(out, run, "codes.npz", suffixes=latent.SUFFIXES)
    codes = latent.save(file, *pretrained.load_with_data(run, data, which=which, labels=labels))
    n, k = codes["codes"].shape
    print(f"{file}: {n:,} codes of {k} numbers, with {', '.join(name for name in codes if name != 'codes')}")


def index(run: str, data: str | None = None, which: str | None = None, labels: str | None = None) -> None:
    """Make pictures findable: `aelib search` then finds those most like a photo.

    The index is kept in the run's folder.

    Args:
        run: folder of the run.
    """
    from ..retrieval import index_run

    if not Path(run).is_dir():
        raise ValueError(f"{run} is no run's folder, where an index is kept. In Python it may be kept "
                         "anywhere: retrieval.index_run(FOLDER, SPLIT, model=MODEL)")  # fmt: skip
    n = index_run(run, data, which=which, labels=labels)
    print(f"{n:,} pictures are indexed in {run}: to find one: aelib search {run} QUERY.jpg")


def search(run: str, query: str, k: int = 8, out: str = "", zoom: int = 0, json: bool = False) -> None:
    """Find the pictures most like a photo, among those of `aelib index`.

    Args:
        run: folder of the run.
        query: image file.
        k: how many to find.
        out: a .png of the photo and what was found, replaced if aelib wrote it; none is written by default.
    """
    import torch

    from ..retrieval import search_run

    file = _file(out, run, "", [query]) if out else None
    found = search_run(run, query, k)
    if file is not None:
        _write_png(file, torch.cat([found.photo, found.pictures()]), k + 1, zoom)
    pairs = list(zip(found.files, found.closeness, strict=True))
    if json:
        each = [{"file": name, "closeness": _number(closeness)} for name, closeness in pairs]
        print(json_.dumps({"query": query, "found": each, "out": out or None}))
        return
    for name, closeness in pairs:
        print(f"{closeness:+.3f}  {shown(name)}")
    if file is not None:
        print(f"{file}: the photo, and the {k} nearest, most similar first")


def export(
    run: str, data: str | None = None, out: str = "", which: str | None = None, labels: str | None = None
) -> None:
    """Write the encoder (pictures → mean codes) and the decoder (codes → mean pictures), as ONNX files.

    Their outputs are compared with the model's own, on random numbers and on test pictures, and may differ by
    0.0001 of the larger of 1 and the number itself. If they differ by more, nothing is written. They take any
    number of pictures at once, and run without aelib, by ONNX Runtime and others.

    Args:
        data: another dataset, or a folder of photos, to compare on.
        out: folder for encoder and decoder; the run's own by default. Elsewhere nothing is replaced.
    """
    from .. import export as exporting
    from .. import pretrained

    folder = Path(out or (run if Path(run).is_dir() else ""))
    for part in exporting.PARTS:
        _unused(folder / part, run)
    model, split = pretrained.load_with_data(run, data, which=which, labels=labels)
    for file, worst in exporting.onnx(model, folder, split.test).items():
        print(f"{file}: differs from the model by {worst:.1e} at most")


def _model(run: str, which: str | None) -> Any:
    """A model that needs no conditions."""
    from ..evaluation import check
    from ..pretrained import load

    model = load(run, which=which)
    check(model)
    return model


def _read(photos: Sequence[str], model: Any, align: bool = False) -> Any:
    """(N, C, H, W) photos of any format and size, as the model takes them; align: the faces in them."""
    import torch

    from ..retrieval import photo

    if model.recipe is None:
        raise ValueError("this model's weights do not say which pictures it takes: use it in Python")
    shape = model.recipe["shape"]
    x = torch.cat([photo(file, shape) for file in photos])
    if align:
        from ..faces import aligned

        if shape[0] != 3 or shape[1] != shape[2]:
            raise ValueError(f"--align cuts out squares in colour; this model takes {shape}")
        x = aligned(photos, shape[1]).batch().x
    return x


def _file(
    out: str, run: str, name: str, inputs: Sequence[str] = (), suffixes: Sequence[str] = (".png",)
) -> Path:
    """Where a verb writes: `out`, or the name beside the run; checked before the work begins.

    It ends in one of the suffixes, and replaces none of the inputs.
    """
    beside = not out and Path(run).is_dir()
    path = Path(run, name) if beside else Path(out or name)
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"--out names a file that ends in {' or '.join(suffixes)}; got {path}")
    if path.is_dir():
        raise ValueError(f"--out {path} is a folder: name a file in it")
    if path.exists() and any(Path(i).exists() and path.samefile(i) for i in inputs):
        raise ValueError(f"--out {path} is one of the photos to read: choose another name")
    return path if beside else _unused(path, run)


def _unused(path: Path, run: str) -> Path:
    """The same path, if nothing is there, or what aelib wrote, by its mark, or its place if it has none."""
    without = Path(run).resolve() in path.resolve().parents and path.suffix.lower() in UNMARKED
    if path.exists() and not (without or marked(path)):
        raise ValueError(f"{path} exists, and aelib did not write it: choose another name with --out")
    return path


def _write_png(file: Path, images: Any, columns: int, zoom: int) -> None:
    """A grid of images as a PNG, enlarged so that small ones can be seen."""
    from .. import plots
    from ..files import write_file

    write_file(file, plots.png(images, columns, _zoom(len(images), zoom, images.shape)))


def _zoom(n: int, zoom: int, shape: Sequence[int]) -> int:
    """How many times n images (…, H, W) are enlarged: by zoom, or if it is 0 by their size and number."""
    from PIL import Image

    if not (n >= 1 and 0 <= zoom <= 64):
        raise ValueError(f"--n is at least 1, --zoom 1 to 64, or 0 to let it be chosen; got {n} and {zoom}")
    room = (Image.MAX_IMAGE_PIXELS or math.inf) / (n * shape[-2] * shape[-1])  # what other programs open
    if max(zoom, 1) ** 2 > room:
        raise ValueError(f"{n:,} pictures are too many for one file: ask for fewer, or less --zoom")
    return zoom or max(1, min(round(96 / shape[-1]), math.floor(room**0.5)))
