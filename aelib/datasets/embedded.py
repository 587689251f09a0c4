"""Real images that ship inside packages the library needs anyway: no network, no download."""

import numpy as np

from .images import Images, Split


def digits() -> Split:
    """1,797 handwritten digits, 8×8 grey, ten classes (UCI; Alpaydin, Kaynak, 1998), of scikit-learn."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    pixels = np.round(raw.images * (255 / 16)).astype(np.uint8)[:, None]
    data = Images(pixels, raw.target.astype(np.int64), tuple("0123456789"))
    return Split(data[:1297], data[1297:1497], data[1497:], "digits")


def faces_sample() -> Split:
    """100 real LFW faces, 25×25 grey, of scikit-image.

    (scikit-image's file holds 100 faces, then 100 patches that are none; only the faces are here.)
    """
    from skimage.data import lfw_subset

    faces = np.round(lfw_subset()[:100] * 255).astype(np.uint8)[:, None]
    data = Images(faces)
    return Split(data[:80], data[80:90], data[90:], "faces-sample")
