"""What does not belong: scores of how strange an example is to a model, and thresholds for them."""

import io
import math
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from . import latent, metrics
from .datasets import Batch, Data, Examples
from .errors import unknown
from .evaluation import batches, check, each
from .losses import elbo
from .models import Autoencoder

FLOOR = 0.01  # of the mean error: a number that is never wrong in validation counts as wrong by so much
NEIGHBOURS = 20_000  # the most training codes among which the nearest is looked for
SAMPLES = 64  # codes for every example, of an estimate of log p(x)
BOOTSTRAP = 1000


class Scores:
    """How strange examples are to a model: (N,), larger is stranger. The scores are, by their names:

    "error": mean squared error of the reconstruction, over the numbers that are known.
    "standardised": the same, of each number divided by its mean over validation examples, so that an error
        where normal examples have none counts more.
    "density": −log f(z) in nats, f a prior fitted to the training codes; see `priors.fit_prior`.
    "distance": from the code to the nearest training code, in standard deviations of the codes.
    "bound": −ELBO in nats.
    "likelihood": −log p(x) in nats; see `metrics.log_likelihood`.
    "corrected": "likelihood" less the nats in a PNG of the picture, as a likelihood prefers simple ones. It
        can prefer complicated ones then (page 13). Serrà et al., 2020, https://arxiv.org/abs/1909.11480.

    Args:
        model: trained on normal examples.
        train: those that it was trained on.
        valid: normal ones that were kept back: a model knows its training examples better than any others.

    ValueError if a part is empty, or the model cannot take its examples.

    >>> from aelib import datasets, models
    >>> split = datasets.load("digits")
    >>> scores = Scores(models.autoencoder(split.shape, 4), split.train, split.valid)
    >>> scores(split.test, "error").shape
    torch.Size([300])
    """

    def __init__(self, model: Autoencoder, train: Examples, valid: Examples) -> None:
        for name, part in (("train", train), ("valid", valid)):
            if not len(part):
                raise ValueError(f"{name} is empty: what is strange is measured against what is not")
            check(model, part)
        self.model, self.train, self.valid = model, train, valid

    def __call__(self, data: Data, name: str = "error") -> Tensor:
        """(N,) one score of every example, in double precision.

        ValueError if there is no score of this name, there are no examples, the model cannot take them, or a
        score is not finite; TypeError if the model has no bound or likelihood, or "corrected" is asked of
        what is no picture.
        """
        if name not in SCORES:
            raise ValueError(unknown("score", name, SCORES))
        if not len(data):
            raise ValueError("there are no examples to score")
        check(self.model, data)
        found = SCORES[name](self, data).double()
        if bad := int((~found.isfinite()).sum()):
            raise ValueError(f"{bad:,} of {len(found):,} scores {name!r} are not finite numbers. Examples of "
                             "which nothing is known have none: leave them out. For other causes: "
                             "aelib.diagnose(model, data)")  # fmt: skip
        return found

    def maps(self, data: Data) -> Tensor:
        """(N, …) where examples are strange: their standardised squared errors, 0 where nothing is known."""
        return each(lambda b: self._errors(b)[0] / self.usual.to(b.x), self.model, data)

    @cached_property
    def usual(self) -> Tensor:
        """(…) mean squared error of each number over the validation examples, and a little for all."""
        error = known = torch.zeros(())
        with torch.no_grad():
            for batch in batches(self.model, self.valid):
                e, k = (v.cpu().double().sum(0) for v in self._errors(batch))
                error, known = error + e, known + k
        if not error.any():
            raise ValueError("the validation examples are reconstructed without any error, so no error has a "
                             "usual size: are they all alike, or is the code too large?")  # fmt: skip
        return error / known.clamp_min(1) + FLOOR * error.sum() / known.sum()

    @cached_property
    def prior(self) -> nn.Module:
        """f, fitted to the training codes."""
        return latent.fit_prior(latent.draws(self.model, self.train)[0].flatten(1))

    def _errors(self, b: Batch) -> tuple[Tensor, Tensor]:
        """(B, …) squared errors of reconstructions, 0 where not known; and which are known."""
        known = torch.ones_like(b.target, dtype=torch.bool) if b.known is None else b.known
        return torch.where(known, (self.model.reconstruct(b.x, b.c) - b.target).square(), 0.0), known

    def _mean(self, data: Data, unit: Tensor) -> Tensor:
        """(N,) mean over the known numbers of squared error / unit."""

        def of(b: Batch) -> Tensor:
            error, known = self._errors(b)
            return (error / unit.to(error)).flatten(1).sum(1) / known.flatten(1).sum(1)

        return each(of, self.model, data)

    def _density(self, data: Data) -> Tensor:
        codes = latent.encode(self.model, data)
        with torch.no_grad():
            return -torch.cat([self.prior(None).log_prob(z) for z in codes.split(1000)]).double()

    def _distance(self, data: Data) -> Tensor:
        from sklearn.neighbors import NearestNeighbors

        known = latent.encode(self.model, self.train[:NEIGHBOURS])
        spread = known.std(0, correction=0)
        spread = torch.where(spread > 0, spread, 1.0)
        trees = NearestNeighbors(n_neighbors=1).fit(known / spread)
        return torch.from_numpy(trees.kneighbors(latent.encode(self.model, data) / spread)[0][:, 0])


def _length(b: Batch) -> Tensor:
    """(B,) nats of pictures as PNGs."""
    if len(shape := tuple(b.target.shape[1:])) != 3:
        raise TypeError(f'"corrected" is of pictures (C, H, W); these examples are {shape}')
    lengths = []
    for x in (b.target.cpu().clamp(0, 1) * 255).round().byte().numpy():
        picture, file = x.transpose(1, 2, 0) if len(x) == 3 else np.concatenate(x), io.BytesIO()
        Image.fromarray(picture).save(file, "PNG", optimize=True)
        lengths.append(file.tell())
    return 8 * math.log(2) * torch.tensor(lengths)


def _likelihood(scores: Scores, data: Data) -> Tensor:
    return -metrics.log_likelihood(scores.model, data, SAMPLES).double()


SCORES: dict[str, Callable[[Scores, Data], Tensor]] = {
    "error": lambda s, data: s._mean(data, torch.ones(())),
    "standardised": lambda s, data: s._mean(data, s.usual),
    "density": Scores._density,
    "distance": Scores._distance,
    "bound": lambda s, data: each(lambda b: elbo(s.model, b)["loss"], s.model, data),
    "likelihood": _likelihood,
    "corrected": lambda s, data: _likelihood(s, data) - each(_length, s.model, data),
}


class Threshold(NamedTuple):
    """What has a score above `value` is called strange: of new examples that are normal, on average a share
    `rate` of them, and with 95 % certainty from `low` to `high`."""

    value: float
    rate: float
    low: float
    high: float


def threshold(scores: Tensor | np.ndarray, rate: float) -> Threshold:
    """The score that at most a share `rate` of normal examples exceeds, from those (N,) of N kept back.

    It is the k-th largest of them, k = ⌊rate · (N + 1)⌋. Whatever the scores' distribution, if it is
    continuous, the share of new ones above it follows Beta(k, N + 1 − k), whose mean is k / (N + 1).

    Args:
        scores: of normal examples that the model was not trained on.
        rate: of false alarms, above 0 and below 1.

    ValueError: another rate, scores that are not finite or all equal, or fewer than 1 / rate − 1 of them.

    Source: Vovk, 2012, https://arxiv.org/abs/1209.2673 (split conformal prediction).

    >>> limit = threshold(np.arange(999.0), 0.01)
    >>> limit.value, limit.rate, round(limit.low, 4), round(limit.high, 4)
    (989.0, 0.01, 0.0048, 0.017)
    """
    from scipy.stats import beta

    x = np.sort(np.asarray(scores, np.float64))
    if not 0 < rate < 1:
        raise ValueError(f"a rate of false alarms lies between 0 and 1, as 0.01 does; got {rate}")
    if not len(x) or not np.isfinite(x).all() or x[0] == x[-1]:
        raise ValueError(f"a threshold needs finite scores of several examples, not all equal; got {len(x)}"
                         + (f" scores from {x[0]:g} to {x[-1]:g}" if len(x) else ""))  # fmt: skip
    n, k = len(x), min(len(x), math.floor(rate * (len(x) + 1) + 1e-9))
    if k < 1:
        raise ValueError(f"{n} normal examples cannot say what one in {1 / rate:,.0f} exceeds: keep back at "
                         f"least {math.ceil(1 / rate) - 1:,}, or take a larger rate")  # fmt: skip
    low, high = beta.ppf([0.025, 0.975], k, n + 1 - k)
    return Threshold(float(x[n - k]), k / (n + 1), float(low), float(high))


class Estimate(NamedTuple):
    """A measure with its 95 % interval."""

    value: float
    low: float
    high: float


def detection(scores: Tensor | np.ndarray, strange: Any, seed: int = 0) -> dict[str, Estimate]:
    """How well scores separate the strange from the normal: {"auroc", "average precision"}.

    AUROC is the share of pairs, one strange and one normal, in which the strange one scores higher: ½ is
    guessing. Average precision is Σ (Rₖ − Rₖ₋₁) Pₖ over the thresholds, P the share of strange ones among
    those above, R the share found: guessing is the share of strange ones. Intervals are from 1,000 bootstrap
    samples, of the strange ones and of the normal ones.

    Args:
        scores: (N,).
        strange: (N,) True or 1 for what does not belong.

    ValueError if all are of one kind, a score is NaN, or there are not as many of both.
    """
    x, y = np.asarray(scores, np.float64), np.asarray(strange).astype(bool)
    if x.ndim != 1 or x.shape != y.shape or np.isnan(x).any():
        raise ValueError(f"each example needs a score, which is a number, and whether it is strange; got "
                         f"scores {x.shape}, {np.isnan(x).sum():,} of them NaN, and {y.shape}")  # fmt: skip
    if y.all() or not y.any():
        raise ValueError(f"all {len(y):,} examples are {'strange' if y.any() else 'normal'}: AUROC compares "
                         "strange ones with normal ones")  # fmt: skip
    group = np.unique(-x, return_inverse=True)[1]  # of equal scores, from the strangest on
    kinds, rng = (group[y], group[~y]), np.random.default_rng(seed)

    def measures(*kinds: np.ndarray) -> tuple[float, float]:
        s, n = (np.bincount(kind, minlength=group.max() + 1) for kind in kinds)
        found, above = s.cumsum(), (s + n).cumsum()
        pairs = n @ (found - s / 2)
        return float(pairs / s.sum() / n.sum()), float(s @ (found / np.maximum(above, 1)) / s.sum())

    drawn = [measures(*(rng.choice(kind, len(kind)) for kind in kinds)) for _ in range(BOOTSTRAP)]
    ends = np.quantile(drawn, [0.025, 0.975], axis=0).T.tolist()
    values = zip(("auroc", "average precision"), measures(*kinds), ends, strict=True)
    return {name: Estimate(value, *end) for name, value, end in values}
