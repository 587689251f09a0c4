"""What the default reaches on anybody's pictures: `python tests/benchmarks/defaults.py` trains and judges.

Every set of pictures, with every kind of network, is trained as `aelib train` does without options, and
judged on test pictures beside PCA with as many numbers and the mean picture; defaults.json is written again
after each. With names behind it, as `digits letters`, it does so for these; with `--known` by the best recipe
known before the rule. The rule was tuned on the sets of TUNED, by their validation pictures;
materials/results.md says what those of JUDGED corrected.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # beside this file `profile` is not Python's own

import json
import time
from collections.abc import Callable
from functools import cache, partial
from itertools import product
from typing import Any

import numpy as np
import torch
from filelock import FileLock

from aelib import baselines, datasets, losses, models, runs, training
from aelib.contexts import seeded
from aelib.datasets import Images, Split
from aelib.datasets.download import find
from aelib.errors import unknown
from aelib.evaluation import each
from benchmarks.machine import RESULTS, machine, write

FILE, COMMAND = RESULTS / "defaults.json", "python tests/benchmarks/defaults.py"
CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789&?!"


def some(x: np.ndarray, n: int, size: int | None = None, seed: int = 0) -> np.ndarray:
    """(n, C, size, size) of them, chosen at random, made smaller by averaging."""
    x = x[np.sort(np.random.default_rng(seed).permutation(len(x))[:n])]
    if size is None or size == x.shape[-1]:
        return x
    small = torch.nn.functional.interpolate(torch.from_numpy(x).float(), (size, size), mode="area")
    return small.round().to(torch.uint8).numpy()


def named(name: str, keep: int, side: int | None = None, **options: Any) -> np.ndarray:
    """Pictures of a dataset of the library."""
    parts = datasets.load(name, **options)
    return some(np.concatenate([parts.train.values, parts.valid.values, parts.test.values]), keep, side)


def photos(place: str, n: int, size: int, seed: int = 0) -> np.ndarray:
    """The middle squares of photos in a folder below AELIB_DATA."""
    from PIL import Image

    root = find(place)
    if root is None:
        raise ValueError(f"{place} is not here; set AELIB_DATA to the folder it is in")
    files = sorted(root.rglob("*.jpg"))
    x = np.empty((n, 3, size, size), np.uint8)
    for i, k in enumerate(np.random.default_rng(seed).permutation(len(files))[:n]):
        with Image.open(files[k]) as picture:
            picture.draft("RGB", (2 * size, 2 * size))
            side, (w, h) = min(picture.size), picture.size
            box = (w - side) // 2, (h - side) // 2, (w + side) // 2, (h + side) // 2
            small = picture.convert("RGB").resize((size, size), Image.Resampling.BOX, box)
            x[i] = np.asarray(small).transpose(2, 0, 1)
    return x


def letters(n: int, size: int, family: str, colour: bool = False, seed: int = 0) -> np.ndarray:
    """Letters and digits in matplotlib's typefaces, somewhat turned and moved."""
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    rng = np.random.default_rng(seed)
    fonts = sorted(Path(matplotlib.get_data_path(), "fonts", "ttf").glob(f"{family}.ttf"))
    x = np.empty((n, 3 if colour else 1, size, size), np.uint8)
    for i in range(n):
        big = Image.new("L", (4 * size, 4 * size))
        font = ImageFont.truetype(fonts[rng.integers(len(fonts))], int(size * rng.uniform(2.2, 3)))
        middle = tuple(2 * size + size * rng.uniform(-0.25, 0.25, 2))
        ImageDraw.Draw(big).text(middle, CHARACTERS[rng.integers(len(CHARACTERS))], 255, font, "mm")
        small = big.rotate(rng.uniform(-10, 10)).resize((size, size), Image.Resampling.BOX)
        ink = np.asarray(small, np.float32) / 255
        paper, pen = rng.uniform(0, 255, (2, x.shape[1], 1, 1)) if colour else ([[[0]]], [[[255]]])
        x[i] = np.round(paper + (np.asarray(pen) - paper) * ink)
    return x


def textures(n: int, size: int, colour: bool = False, seed: int = 0) -> np.ndarray:
    """Squares cut at random out of pictures of scikit-image."""
    from skimage import data, transform

    rng = np.random.default_rng(seed)
    if colour:
        sheets = [data.immunohistochemistry(), data.coffee(), data.chelsea(), data.rocket()]
    else:
        sheets = [f()[..., None] for f in (data.brick, data.grass, data.gravel, data.moon, data.coins)]
    sheets = [transform.downscale_local_mean(s, (2, 2, 1)).round().astype(np.uint8) for s in sheets]
    x = np.empty((n, 3 if colour else 1, size, size), np.uint8)
    for i in range(n):
        sheet = sheets[rng.integers(len(sheets))]
        r, c = (rng.integers(m - size + 1) for m in sheet.shape[:2])
        x[i] = sheet[r : r + size, c : c + size].transpose(2, 0, 1)
    return x


TUNED: dict[str, Callable[[], np.ndarray]] = {
    "digits": partial(named, "digits", 1797),
    "drawn faces": partial(named, "drawn-faces", 320, n=400, size=64),
    "letters": partial(letters, 1200, 32, "DejaVu*[!y]"),
    "fashion": partial(named, "fashion-mnist", 20_000),
    "food": partial(photos, "food-101/images", 1000, 64),
    "textures": partial(textures, 4000, 16),
    "portraits": partial(named, "lfw", 320, 64, size=64),
}
JUDGED: dict[str, Callable[[], np.ndarray]] = {
    "mnist": partial(named, "mnist", 60_000),
    "fifty portraits": partial(named, "lfw", 50, 48, size=64),
    "small portraits": partial(named, "lfw", 6000, 32, size=64),
    "drawn faces, many": partial(named, "drawn-faces", 4000, n=4000, size=48, seed=1),
    "street": partial(photos, "coco/val2017", 250, 128),
    "street, small": partial(photos, "coco/val2017", 3000, 32, 1),
    "coloured letters": partial(letters, 700, 24, "STIXGeneral*", True, 1),
    "coloured textures": partial(textures, 2000, 40, True, 1),
}
SETS = TUNED | JUDGED
# set → epochs, batch size and optimizer of "conv" from random weights: the best recipes known before the rule
KNOWN = {
    "portraits": (50, 16, "muon"), "food": (100, 64, "adam"), "small portraits": (30, 64, "adam"),
    "drawn faces, many": (30, 64, "adam"), "fashion": (20, 64, "adam"), "mnist": (12, 64, "adam"),
}  # fmt: skip


@cache
def parts(name: str) -> Split[Images]:
    """A set, dealt at random: a tenth to validate with, a fifth to test."""
    return datasets.split(SETS[name](), valid=0.1, test=0.2)


def code(shape: tuple[int, ...], net: str) -> int:
    """Numbers in the code: 64, or an eighth of those in the picture or, for "fcn", in its patches."""
    return min(64, (64 * shape[0] if net == "fcn" else int(np.prod(shape))) // 8)


def distance(model: models.Autoencoder, images: Images) -> float | None:
    """How far codes are from N(0, 1): KL of the normal with their mean and covariance, in nats per number."""
    q = partial(each, model=model, data=images)
    mean = q(lambda b: model.encode(b.x).mean.flatten(1)).double()
    if mean.shape[1] >= len(mean):  # a covariance of so few is not one
        return None
    own = q(lambda b: model.encode(b.x).variance.flatten(1)).double().mean(0)
    whole = torch.cov(mean.T) + torch.diag(own)
    nats = (whole.trace() + mean.mean(0).square().sum() - len(whole) - torch.logdet(whole)) / 2
    return nats.item() / len(whole)


def run(name: str, net: str) -> dict[str, Any]:
    """One training, as `aelib train` does it, and its errors on test pictures; of "known" by that recipe."""
    split, begun, known = parts(name), time.process_time(), net == "known"  # of all threads
    flip = training.mirrored(split.train, split.valid)
    images = split.train.map(datasets.flipped) if flip else split.train
    net = "conv" if known else net
    first = not known and len(images) < training.FROM_RANDOM.get(net, np.inf) and split.train
    with seeded(0):
        model = models.autoencoder(
            split.shape, code(split.shape, net), net=net, likelihood="gaussian-learnt", start=first
        )
    if known:
        epochs, size, optimizer_ = KNOWN[name]
        how = f"{epochs} epochs in batches of {size}, {optimizer_.capitalize()}"
        optimizer = (
            training.muon(model) if optimizer_ == "muon" else training.adam(model, 2e-3, weight_decay=0.05)
        )
        settings = {"epochs": epochs, "batch_size": size, "schedule": {"lr": training.cosine(0.02)}}
        history = runs.fit(model, images, losses.elbo, optimizer, valid=split.valid, **settings)
    else:
        how = str(training.choose(model, images))
        history = runs.fit(model, images, losses.elbo, valid=split.valid)
    seconds = time.process_time() - begun
    found = baselines.compare(model, split.train, split.test)
    return {
        "rule": how, "flipped": flip, "best epoch": history.best()["epoch"],
        "cpu seconds": round(seconds), "numbers": found.numbers, "mse": found.mse, "pca": found.pca,
        "mean picture": found.mean, "against pca": found.mse / found.pca,
        "codes from N(0, 1)": distance(model, split.test),
    }  # fmt: skip


def make(name: str, net: str) -> None:
    """Train and judge one network on one set, and add what was measured to the file."""
    found, split = run(name, net), parts(name)
    with FileLock(FILE.with_suffix(".lock")):  # several of these may run at once
        record = json.loads(FILE.read_text("utf-8")) if FILE.is_file() else {"sets": {}}
        nets = record["sets"].get(name, {}).get("nets", {}) | {net: found}
        entry = {
            "tuned on": name in TUNED, "shape": list(split.shape),
            "pictures": [len(split.train), len(split.valid), len(split.test)],
            "nets": {k: nets[k] for k in (*models.NETS, "known") if k in nets},
        }  # fmt: skip
        sets = record["sets"] | {name: entry}
        sets = {k: sets[k] for k in SETS if k in sets}
        write(FILE, {"command": COMMAND, "machine": machine(), "sets": sets})
    print(name, net, f"{found['against pca']:.3f} of PCA's error", f"{found['cpu seconds']} s", flush=True)


if __name__ == "__main__":
    names = [a for a in sys.argv[1:] if a != "--known"]
    for wanted in names:
        if wanted not in SETS:
            sys.exit(unknown("set", wanted, SETS))
    if "--known" in sys.argv:
        pairs = [(name, "known") for name in KNOWN if not names or name in names]
    else:
        pairs = list(product(names or SETS, models.NETS))
    for name, net in pairs:
        make(name, net)
