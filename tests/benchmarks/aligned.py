"""How well faces are found: `python tests/benchmarks/aligned.py 100` measures it on LFW's test photos.

Each of so many is taken as it is, turned by up to 15°, and, at half to twice its size, pasted into a photo
of food. What the pretrained autoencoder makes of the face that was found is compared with LFW's own crop, and
with the whole photo; the likeness of what is found in food alone is noted too. Results: aligned.json.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # beside this file `profile` is not Python's own

from typing import Any

import numpy as np
import torch
from PIL import Image

from aelib import datasets, faces, load
from aelib.datasets.download import find
from aelib.datasets.lfw import _folder
from benchmarks.machine import RESULTS, write

FILE, COMMAND, SIDE = RESULTS / "aligned.json", "python tests/benchmarks/aligned.py", 90
Truth = tuple[float, float, float]  # x, y and side of LFW's own square


def disturbed(n: int) -> dict[str, list[tuple[Image.Image, Truth]]]:
    """Photos of the test part, and the same ones turned, and pasted into food."""
    rng, test = np.random.default_rng(0), datasets.load("lfw", size=64).test
    chosen = np.sort(rng.permutation(len(test))[:n])
    images = find("food-101/images")
    food = sorted(images.glob("*/*.jpg")) if images else []
    found: dict[str, list[tuple[Image.Image, Truth]]] = {
        "as they are": [],
        "turned": [],
        "in food": [],
        "food": [],
    }
    for name in np.asarray(test[chosen].files):
        photo = Image.open(_folder() / name).convert("RGB")
        found["as they are"].append((photo, (125, 125, SIDE)))
        found["turned"].append(
            (photo.rotate(rng.uniform(-15, 15), Image.Resampling.BICUBIC), (125, 125, SIDE))
        )
        plate = Image.open(food[int(rng.integers(len(food)))]).convert("RGB").resize((640, 480))
        found["food"].append((plate.copy(), (320, 240, SIDE)))
        side = round(140 * 2 ** rng.uniform(-1, 1))
        left, top = rng.integers(640 - side), rng.integers(480 - side)
        plate.paste(photo.crop((55, 55, 195, 195)).resize((side, side)), (int(left), int(top)))
        found["in food"].append((plate, (left + side / 2, top + side / 2, SIDE * side / 140)))
    return found


def measured(photos: list[tuple[Image.Image, Truth]]) -> dict[str, float]:
    """Errors of the reconstructions (the mean square a pixel), and how far a place is from the true one."""
    model = load("pretrained/ae-lfw", device="cpu")

    def mse(cut: list[np.ndarray]) -> float:
        x = torch.tensor(np.stack(cut)).movedim(3, 1) / 255
        return (model.reconstruct(x) - x).square().mean().item()

    places = [faces.find(photo) for photo, _ in photos]
    own = [faces._cut(photo, [(*truth, 0.0)])[0] for photo, truth in photos]
    cut = [faces._cut(photo, [place[:4]])[0] for (photo, _), place in zip(photos, places, strict=True)]
    whole = [np.asarray(photo.resize((64, 64), Image.Resampling.BICUBIC)) for photo, _ in photos]
    pairs = [(p, t) for p, (_, t) in zip(places, photos, strict=True)]
    away = np.array([np.hypot(p.x - x, p.y - y) / side * SIDE for p, (x, y, side) in pairs])
    scale = np.array([abs(np.log2(p.side / side)) for p, (*_, side) in pairs])
    likely = np.array([p.likeness for p in places])
    numbers = {
        "mse own crop": mse(own),
        "mse found": mse(cut),
        "mse whole photo": mse(whole),
        "pixels away, median": np.median(away),
        "within 9 pixels": (away < 9).mean(),
        "factor of scale, median": 2 ** np.median(scale),
        "likeness, median": np.median(likely),
        "warned of": (likely < faces.LIKE).mean(),
    }
    return {k: round(float(v), 5) for k, v in numbers.items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    record: dict[str, Any] = {"command": f"{COMMAND} {count}", "photos": count}
    for kind, photos in disturbed(count).items():
        record[kind] = measured(photos)
        print(kind, record[kind], flush=True)
    write(FILE, record)
