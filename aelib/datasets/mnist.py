"""Small grey images: MNIST and Fashion-MNIST, and real ones inside packages that the library needs anyway."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

from .cache import DataError
from .download import download, find
from .images import Images, Split

VALID = 5000  # the last images of the official training part
CLASSES = {
    "MNIST": tuple("0123456789"),
    "FashionMNIST": (
        "T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
}  # fmt: skip


def digits() -> Split:
    """1,797 handwritten digits, 8×8 grey, ten classes (UCI; Alpaydin, Kaynak, 1998), of scikit-learn."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    pixels = np.round(raw.images * (255 / 16)).astype(np.uint8)[:, None]
    data = Images(pixels, raw.target.astype(np.int64), tuple("0123456789"))
    return Split(data[:1297], data[1297:1497], data[1497:], "digits")


def faces_sample() -> Split:
    """100 real LFW faces, 25×25 grey, of scikit-image."""
    from skimage.data import lfw_subset

    # behind its 100 faces it has 100 patches that are none
    data = Images(np.round(lfw_subset()[:100] * 255).astype(np.uint8)[:, None])
    return Split(data[:80], data[80:90], data[90:], "faces-sample")


def mnist() -> Split:
    """Handwritten digits (LeCun, Cortes, Burges, 1998), with the official test part of 10,000.

    The validation part is the last 5,000 of the official training part.
    """
    return _load("MNIST")


def fashion_mnist() -> Split:
    """Photos of clothes in MNIST's format (Xiao, Rasul, Vollgraf, 2017, https://arxiv.org/abs/1708.07747)."""
    return _load("FashionMNIST")


def _load(name: str) -> Split:
    def part(prefix: str) -> Images:
        pixels = read_idx(_file(name, f"{prefix}-images-idx3-ubyte.gz"), 3)
        labels = read_idx(_file(name, f"{prefix}-labels-idx1-ubyte.gz"), 1).astype(np.int64)
        return Images(pixels[:, None], labels, CLASSES[name])

    fit, test = part("train"), part("t10k")
    return Split(fit[:-VALID], fit[-VALID:], test, name)


def _file(name: str, file: str) -> Path:
    relative = f"{name}/raw/{file}"
    if found := find(relative) or find(relative.removesuffix(".gz")):
        return found
    from torchvision import datasets  # knows mirrors and checksums; slow to import, so only here

    official = getattr(datasets, name)
    md5 = dict(official.resources)[file]
    instead = "datasets.load('digits')"
    return download(relative, [m + file for m in official.mirrors], f"md5:{md5}", otherwise=instead)


def read_idx(path: Path, ndim: int) -> np.ndarray:
    """The array of uint8 in an IDX file, gzipped or not; DataError if it is damaged or something else."""
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        magic, *shape = struct.unpack(f">{1 + ndim}i", data[: 4 * (1 + ndim)])
        if magic != 0x0800 + ndim:
            raise ValueError(f"starts with {magic:#x}, not {0x0800 + ndim:#x}")
        return np.frombuffer(data, np.uint8, offset=4 * (1 + ndim)).reshape(shape).copy()
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as e:
        raise DataError(f"{path} is damaged or cut short ({e}). Delete it and load again.") from e
