"""A contact sheet per model of faces: 24 people that it has not seen, decoded, and edited both ways.

`python tests/benchmarks/strangers.py ae-lfw` writes materials/figures/strangers-ae-lfw.jpg. Nobody is chosen:
the people are drawn from the test part by a fixed seed, of each the first photo.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # beside this file `profile` is not Python's own
    sys.path.append(str(Path(__file__).resolve().parents[2] / "notebooks"))  # where the judges are

import numpy as np
import torch
from PIL import Image

from aelib import datasets, materials, plots, pretrained
from benchmarks import recipes

PEOPLE, GAP = 24, 2  # GAP: white pixels between pictures


def sheet(name: str, faces: datasets.Images) -> Image.Image:
    """A row per person: the photo, decoded, then each attribute taken off and put on."""
    _, first = np.unique(faces.labels, return_index=True)
    some = faces[np.sort(np.random.default_rng(0).permutation(first)[:PEOPLE])]
    decoded, edit = recipes.edits(name, some, pretrained.record(name)["judges"]["strength"])
    ends = [torch.full((len(some),), to) for to in (-1.0, 1.0)]
    columns = [edit(k, to) for k in range(len(pretrained.CONDITIONS)) for to in ends]
    pictures = np.stack([plots.pixels(x) for x in (some.batch().x, decoded, *columns)], 1)
    pictures = np.pad(pictures, [(0, 0), (0, 0), (0, GAP), (0, GAP), (0, 0)], constant_values=255)
    return Image.fromarray(np.concatenate([np.concatenate(list(row), 1) for row in pictures]))


if __name__ == "__main__":
    lfw = datasets.load("lfw", size=64).test
    for model in sys.argv[1:]:
        file = materials.FOLDER / f"figures/strangers-{model}.jpg"
        sheet(model, lfw).save(file, quality=88)
        print(f"{file}: photo, decoded, then off and on: {', '.join(pretrained.CONDITIONS)}")
