"""Photos that many have worked with: 101 dishes, and the everyday scenes of COCO."""

from dataclasses import replace

import numpy as np

from .cache import DataError, cache_dir
from .download import download, find, unpack
from .images import Split
from .photos import by_subfolder, dealt, listed, names, photos

FOOD = "http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz"
FOOD_HASH = "md5:85eeb15f3717b99a5da872d97d918f87"
COCO = "http://images.cocodataset.org/zips"


def food_101(size: int = 64, channels: int = 3, seed: int = 0) -> Split:
    """Photos of dishes in 101 classes, with the official test part: 25,250 of 101,000, or of what is there.

    A tenth of the official training part, of each class alike, is the validation part. (The training part
    was not cleaned: some labels are wrong, some colours garish. The test part was.)

    Args:
        size, channels: of the images, as in `folder`.
        seed: decides which training photos are the validation part.

    DataError if photos are missing, or the 5 GB cannot be downloaded.

    Source: Bossard, Guillaumin, Van Gool, Food-101: Mining Discriminative Components with Random Forests,
    2014, https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/.
    """
    root = find("food-101/images")
    if root is None:
        archive = download("food-101.tar.gz", [FOOD], FOOD_HASH, what="Food-101 (5 GB)")
        root = unpack(archive, cache_dir() / "food-101") / "images"
    meta = root.parent / "meta"
    try:
        lists = [(meta / f"{part}.txt").read_text("utf-8").split() for part in ("train", "test")]
    except OSError as e:
        raise DataError(f"{meta} lacks train.txt and test.txt, Food-101's lists: unpack it again.") from e
    fit, test = (np.array([f"{name}.jpg".encode() for name in part]) for part in lists)
    data, unreadable = photos("food-101", root, size, channels, listed(root, np.concatenate([fit, test])))
    data = by_subfolder(data)
    data = replace(data, classes=[c.replace("_", " ").capitalize() for c in data.classes])
    in_test = np.isin(names(data), test)
    valid, train = dealt(data[~in_test], seed, 1)
    return Split(train, valid, data[in_test], "food-101", unreadable)


def coco(size: int = 64, channels: int = 3, seed: int = 0) -> Split:
    """Photos of everyday scenes: 118,287 to train on, 5,000 to test, or what is there of them.

    They are `train2017`, a tenth of it the validation part, and `val2017` (the official test has no labels).

    Args:
        size, channels: of the images, as in `folder`.
        seed: decides which training photos are the validation part.

    DataError if the photos are not there; the message says where to get them.

    Source: Lin et al., Microsoft COCO: Common Objects in Context, 2014, https://arxiv.org/abs/1405.0312.
    """
    parts = []
    for part, size_in_words in (("train2017", "18 GB"), ("val2017", "0.8 GB")):
        if (root := find(f"coco/{part}")) is None:
            raise DataError(f"COCO's photos are not here. Get {COCO}/{part}.zip ({size_in_words}), unpack it "
                            f"into a folder coco, and set AELIB_DATA to the folder that holds coco/{part}. "
                            "For any other photos there is datasets.load('my/photos').")  # fmt: skip
        parts.append(photos(f"coco-{part}", root, size, channels))
    (fit, bad_fit), (test, bad_test) = parts
    valid, train = dealt(fit, seed, 1)
    return Split(train, valid, test, "coco", bad_fit | bad_test)
