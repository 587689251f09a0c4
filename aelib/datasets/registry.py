"""The datasets that are known by name: what each is, its terms, its size, where it is found."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .download import find
from .drawn import drawn_faces
from .embedded import digits, faces_sample
from .food import coco, food_101
from .images import Split
from .lfw import FOLDERS, lfw
from .mnist import fashion_mnist, mnist
from .photos import folder


@dataclass(frozen=True)
class Source:
    """Where a dataset comes from.

    Args:
        load: the function that returns its `Split`.
        terms: of use, in a few words; materials/data_licences.md has the rest.
        size: of what is downloaded, or why nothing is.
        check: how what is downloaded is checked.
        places: folders that it is found by, below `AELIB_DATA` or the cache; none if it needs no files.
    """

    load: Callable[..., Split]
    terms: str
    size: str
    check: str = "–"
    places: tuple[str, ...] = ()

    @property
    def what(self) -> str:
        """The first line about it."""
        return (inspect.getdoc(self.load) or "").partition("\n")[0].rstrip(".")

    @property
    def options(self) -> list[str]:
        """What `load` takes."""
        return list(inspect.signature(self.load).parameters)

    def found(self) -> Path | None:
        """The folder that it is in, if it is on this machine as files."""
        return next((folder for place in self.places if (folder := find(place))), None)


DATASETS = {
    source.load.__name__.replace("_", "-"): source
    for source in (
        Source(drawn_faces, "MIT, as aelib", "made on the spot"),
        Source(digits, "CC BY 4.0", "built in"),
        Source(faces_sample, "research use, as lfw", "built in"),
        Source(folder, "yours", "no download"),
        Source(food_101, "research use", "5 GB", "MD5 of the archive", ("food-101/images",)),
        Source(coco, "each photo's own, on Flickr", "19 GB, by hand", places=("coco/train2017",)),
        Source(lfw, "research use", "233 MB", "SHA-256 of the archive", FOLDERS),
        Source(mnist, "CC BY-SA 3.0", "12 MB", "MD5 of each file", ("MNIST/raw",)),
        Source(fashion_mnist, "MIT", "31 MB", "MD5 of each file", ("FashionMNIST/raw",)),
    )
}
