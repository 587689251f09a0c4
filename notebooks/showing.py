"""What the pages show: faces of different people in a figure, and a number with its seeds in a table."""

from collections.abc import Sequence

import numpy as np

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
