"""Faces in photos, cut out as the pretrained face models know them: the middle of a photo of LFW."""

import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d, cosine_similarity

from .datasets import Images
from .datasets.decoder import whole
from .datasets.photos import existing, listed
from .models import Autoencoder
from .pretrained import load

LONGEST, SMALLEST = 360, 24  # pixels of the photo, and of the smallest face in it, that a detector looks for
WIDER = 1.27  # the detector's square, in sides of LFW's: the median of 100 training photos
TURN = 60  # degrees that count in the search as much as one side
LIKE = 0.87  # a likeness: 95 % of what is found in LFW's training photos is above it

Square = tuple[float, float, float, float]


class Place(NamedTuple):
    """A square in a photo: its middle and side in pixels, its angle in degrees, and its `likeness`."""

    x: float
    y: float
    side: float
    angle: float
    likeness: float


def aligned(photos: str | Path | Sequence[str | Path], size: int = 64) -> Images:
    """The face of every photo, cut out and turned as the training faces of the pretrained models are.

    A warning names the photos that show no such face; of these the square in the middle
    is taken, or the best guess.

    Args:
        photos: files, one file, or a folder.
        size: side of the squares in pixels.

    DataError if there is no such folder. Pillow's errors for a file that is no photo.
    """
    names: Any = photos
    if isinstance(photos, str | Path):
        root = Path(photos).expanduser()
        names = [root] if root.is_file() else [root / f.decode() for f in listed(existing(root))[0]]
    cut, strange = [], []
    for name in names:
        place = find(photo := whole(name))
        cut.append(_cut(photo, [place[:4]], size)[0])
        strange += [f"{name} ({place.likeness:.2f})"] if place.likeness < LIKE else []
    if strange:
        few = f"(likeness below {LIKE}): {', '.join(strange[:5])}{' …' if len(strange) > 5 else ''}"
        some = f"{len(strange):,} of {len(cut):,} photos show no face like those that"
        warnings.warn(f"{some} the models were trained on {few}", stacklevel=2)
    return Images(np.stack(cut).transpose(0, 3, 1, 2), paths=np.array([str(name).encode() for name in names]))


def find(photo: Image.Image) -> Place:
    """Where the face is; of several the one whose side · likeness is largest.

    The squares of a detector, scikit-image's cascade on local binary patterns, are moved, resized and turned
    in small steps until nothing near looks more like a face; so is the square in the middle, if it looks like
    one already. Without any of these it is the square in the middle.
    """
    scale = min(1.0, LONGEST / max(photo.size))
    small = photo.resize([max(1, round(scale * side)) for side in photo.size]) if scale < 1 else photo
    middle: Square = (small.width / 2, small.height / 2, float(min(small.size)), 0.0)
    like = float(_likeness(small, [middle])[0])
    starts = [*_detected(small), *([middle] if like >= LIKE else [])]
    places = [_climbed(small, start) for start in starts] or [Place(*middle, like)]
    best = max(places, key=lambda place: place.side * place.likeness)
    x, y, side, angle, likely = map(float, best)
    return Place(x / scale, y / scale, side / scale, angle, likely)


@torch.no_grad()
def likeness(x: Tensor) -> Tensor:
    """(B,) how much squares (B, 3, 64, 64) look like the faces that the models were trained on, at most 2.

    The correlation of their edges with the mean face's (the decoded mean of the prior), plus the share of
    their edges that the VAE rebuilds. Edges are differences of neighbours at a quarter of the size.
    """
    model, mean = _model()
    rest = _edges(x - model.reconstruct(x)).square().sum(1) / _edges(x).square().sum(1).clamp_min(1e-6)
    return cosine_similarity(_edges(x.mean(1, True)), _edges(mean)) + 1 - rest


def _edges(x: Tensor) -> Tensor:
    """(B, …) differences of neighbours, across and down, of (B, C, H, W) at a quarter of the size."""
    small = avg_pool2d(x, 4)
    return torch.cat([small.diff(dim=d).flatten(1) for d in (2, 3)], 1)


@cache
def _model() -> tuple[Autoencoder, Tensor]:
    """The VAE, and its mean face in grey (1, 1, 64, 64)."""
    model = load("pretrained/vae-lfw", device="cpu")
    with torch.no_grad():
        return model, model.decode(torch.zeros(1, 64)).mean.mean(1, True)


def _detected(photo: Image.Image) -> list[Square]:
    """The detector's squares; first what it is sure of, else what it is less sure of."""
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade

    grey, least = np.asarray(photo.convert("L")), (SMALLEST, SMALLEST)
    if min(grey.shape) <= SMALLEST:
        return []
    detect = Cascade(lbp_frontal_face_cascade_filename()).detect_multi_scale
    look = (detect(grey, 1.1, 1, least, grey.shape, min_neighbor_number=n) for n in (4, 1))
    found: list[dict[str, float]] = next(filter(None, look), [])
    return [(f["c"] + f["width"] / 2, f["r"] + f["height"] / 2, f["width"] / WIDER, 0.0) for f in found]


def _climbed(photo: Image.Image, start: Square) -> Place:
    """The place near the start that looks most like a face."""
    best, tries, step = Place(*start, -np.inf), [start], 0.08  # of the side
    while step > 0.01:
        likely = _likeness(photo, tries)
        i = int(likely.argmax())
        if likely[i] > best.likeness:
            best = Place(*tries[i], float(likely[i]))
        else:
            step /= 2
        moves = step * np.diag([best.side, best.side, best.side, TURN])
        tries = [tuple(np.array(best[:4]) + move) for move in (*moves, *-moves)]
    return best


def _likeness(photo: Image.Image, squares: Sequence[Square]) -> Tensor:
    return likeness(torch.tensor(_cut(photo, squares)).movedim(3, 1) / 255)


def _cut(photo: Image.Image, squares: Sequence[Square], size: int = 64) -> np.ndarray:
    """(N, size, size, 3) squares of a photo; outside of it its edge goes on."""
    cut, pixels = [], np.asarray(photo)
    for x, y, side, angle in squares:
        r = int(0.75 * side) + 2  # as far as a turned square reaches
        rows = np.arange(int(y) - r, int(y) + r + 1).clip(0, photo.height - 1)
        columns = np.arange(int(x) - r, int(x) + r + 1).clip(0, photo.width - 1)
        part, at = Image.fromarray(pixels[rows[:, None], columns]), (r + x - int(x), r + y - int(y))
        part = part.rotate(angle, Image.Resampling.BICUBIC, center=at) if angle else part
        box = (at[0] - side / 2, at[1] - side / 2, at[0] + side / 2, at[1] + side / 2)
        cut.append(np.asarray(part.resize((size, size), Image.Resampling.BICUBIC, box)))
    return np.stack(cut)
