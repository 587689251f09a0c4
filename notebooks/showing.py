"""What the pages show: people, each once; a number with its seeds; places on a map, marked by their class."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from aelib.datasets import Images


def people(images: Images, n: int) -> np.ndarray:
    """(n,) places of the first photos of n people, in their order: nobody is in a figure twice.

    Args:
        images: with the people as labels; if there are fewer people, the answer is as short.
    """
    return np.sort(np.unique(images.labels, return_index=True)[1])[:n]


def over_seeds(values: Sequence[float], digits: int = 3) -> str:
    """ "0.309 ± 0.004": mean and standard deviation over seeds; of one seed its number alone."""
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


def classes(ax: Axes, xy: Any, labels: Any, names: Sequence[str] = (), marks: int = 600) -> None:
    """Dots at xy (N, 2) in their class's colour, some marked by its number: few eyes tell ten colours apart.

    Args:
        labels: (N,) from 0 to 9.
        names: of the classes, for a legend.
        marks: how many are marked, at most, the first ones.
    """
    xy, labels = np.asarray(xy), np.asarray(labels)
    for k in np.unique(labels):
        mine, label = xy[labels == k], names[k] if len(names) else None
        some = xy[:marks][labels[:marks] == k]
        ax.plot(*mine.T, ".", ms=2, mew=0, alpha=0.5, color=f"C{k}")
        ax.plot(*some.T, lw=0, ms=6, marker=f"${k}$", mew=0, color=f"C{k}", label=label)
