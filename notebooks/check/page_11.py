"""Exercises of page 11."""

import math
from collections.abc import Callable

import numpy as np
import torch
from aelib import heads, losses, models, nets
from aelib.contexts import evaluating
from aelib.datasets import Batch, Images, Split
from torch import Tensor, nn

from .asking import predicted
from .exam import patient, repaired
from .judging import compared, judged


def _vae() -> models.Autoencoder:
    torch.manual_seed(0)
    return models.autoencoder((1, 6, 6), 4, net="mlp", hidden=(8,), likelihood="gaussian")


def _loss(error: str = "sum", kl: str = "sum", sign: int = 1, whole: bool = False) -> Callable:
    """An objective: how error and KL of an image are reduced, and whether over the batch too."""

    def objective(model: models.Autoencoder, batch: Batch) -> dict[str, Tensor]:
        q, _, p = model(batch.x)
        nll, divergence = -p.log_prob(batch.target), losses.kl_per_dimension(q, model.prior())
        nll = nll if error == "sum" else nll / batch.target[0].numel()
        divergence = divergence.sum(1) if kl == "sum" else divergence.mean(1)
        loss = nll + sign * divergence
        return {"loss": loss.sum() if whole else loss}

    return objective


@compared(
    [()],
    reference=_loss(),
    mistakes={
        "this is what it has now: sums over an image, not means": _loss("mean", "mean"),
        "the error is a mean over the pixels still": _loss("mean"),
        "the KL is a mean over the code still": _loss(kl="mean"),
        "the KL has the wrong sign: both are costs": _loss(sign=-1),
        "the KL is missing": _loss(sign=0),
        "one number per image; the mean over the batch is the loop's": _loss(whole=True),
    },
    by_hand=(losses.elbo.__module__ + ".elbo",),
)
def summed(objective: Callable) -> Tensor:
    """(model, batch) → {"loss": (B,)}: −log p(x|z) + KL(q ‖ p), each summed over an image."""
    batch = Batch(torch.rand(5, 1, 6, 6, generator=torch.Generator().manual_seed(0)))
    model = _vae()
    torch.manual_seed(1)
    found = objective(model, batch)
    if not isinstance(found, dict) or "loss" not in found:
        raise TypeError(f"a dict with 'loss' is expected, {{'loss': (B,)}}; this is a {type(found).__name__}")
    return found["loss"]


def _mean(part: str = "valid", last: bool = False, whole: bool = False, train: bool = False) -> Callable:
    """A validation: on which part, on the last batch alone, as a sum, in training mode."""

    def measured(model: models.Autoencoder, data: Split) -> float:
        with torch.no_grad(), evaluating(model):
            model.train(train)
            found = [losses.reconstruction(model, b)["loss"] for b in getattr(data, part).batches(50)]
        found = found[-1:] if last else found
        each = torch.cat(found)
        return float(each.sum() if whole else each.mean())

    return measured


@compared(
    [()],
    reference=_mean(),
    mistakes={
        "these are training images": _mean("train"),
        "this is one batch: all of data.valid": _mean(last=True),
        "dropout is on: model.eval() before, model.train() after": _mean(train=True),
        "this is a sum: divide it by how many images there are": _mean(whole=True),
        "the test set is for the end": _mean("test"),
    },
    kind="debug",
)
def valid_loss(f: Callable) -> float:
    """(model, data) → the mean loss of all validation images, without gradient, in evaluation mode."""
    r = np.random.default_rng(0)
    parts = [
        Images(r.integers(0, top, (n, 1, 6, 6), np.uint8)) for n, top in ((90, 99), (101, 180), (60, 250))
    ]
    parts[1].pixels[-1] = 255  # the one image of the last batch
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.Dropout(0.5), heads.Deterministic())
    decoder = nn.Sequential(nn.Linear(8, 36), nets.Reshape(1, 6, 6), heads.Gaussian(1.0))
    model = models.Autoencoder(net, decoder)
    torch.manual_seed(1)
    found = f(model, Split(*parts))
    if not model.training:
        raise ValueError("the model is left in evaluation mode: model.train() at the end")
    return found


def _decoder(*layers: nn.Module, flat: bool = False, head: Callable = heads.Bernoulli) -> Callable:
    """(K, shape) → a decoder with these layers before its head, which may lack the shape of an image."""

    def made(latent: int, shape: tuple[int, int, int]) -> nn.Module:
        to_image = [] if flat else [nets.Reshape(*shape)]
        return nn.Sequential(nn.Linear(latent, math.prod(shape)), *layers, *to_image, head())

    return made


@judged(
    reference=_decoder(),
    mistakes={
        "an activation too many": _decoder(nn.Sigmoid()),
        "images are": _decoder(flat=True),
        "means run from": _decoder(head=lambda: heads.Gaussian(1.0)),
    },
)
def decoder(f: Callable[[int, tuple[int, int, int]], Callable]) -> str | None:
    """(K, (C, H, W)) → a module from codes (B, K) to a Bernoulli over images."""
    for size, shape in ((4, (1, 6, 5)), (7, (3, 8, 8))):
        module = f(size, shape)
        if module is None or module is ...:
            return "your function returns nothing so far"
        with torch.no_grad():
            p = module(1e4 * torch.randn(64, size))  # so large that every way out is driven to its end
            mean, x = p.mean, torch.rand(64, *shape)
            log_prob = p.log_prob(x) if mean.shape == x.shape else x
        if mean.shape != x.shape:
            return f"images are {tuple(mean.shape)}, expected {tuple(x.shape)}"
        if log_prob.shape != (64,):
            return f"log p is {tuple(log_prob.shape)}; expected one number per image"
        low, high = mean.min().item(), mean.max().item()
        if low < -0.01 or high > 1.01:
            return f"means run from {low:.2g} to {high:.2g}; a Bernoulli's are in [0, 1]"
        if low > 0.01 or high < 0.99:
            return f"means reach only {low:.2f} to {high:.2f}: is there an activation too many?"
    return None


@predicted(low=0, high=10)
def alike() -> None:
    """Of the ten patients that decode pictures, how many decode nearly one picture for every image?"""


class _Cut(nn.Module):
    """A linear encoder whose first layer gets no gradient, if `cut`."""

    def __init__(self, cut: bool) -> None:
        super().__init__()
        self.first, self.second, self.cut = nn.Linear(36, 6), nn.Linear(6, 8), cut

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x.flatten(1))
        return self.second(h.detach() if self.cut else h)


def _without_gradient(model: nn.Module, objective: Callable, batch: Batch) -> list[str]:
    model.zero_grad()
    objective(model, batch)["loss"].mean().backward()
    return [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]


def _with_gradient(model: nn.Module, objective: Callable, batch: Batch) -> list[str]:
    silent = _without_gradient(model, objective, batch)
    return [name for name, _ in model.named_parameters() if name not in silent]


def _never_backward(model: nn.Module, objective: Callable, batch: Batch) -> list[str]:
    model.zero_grad()
    return [name for name, p in model.named_parameters() if p.grad is None]


@judged(
    reference=_without_gradient,
    mistakes={
        "these are the ones that *have* a gradient": _with_gradient,
        "every parameter is named: was backward() called": _never_backward,
        "a list of names": lambda model, objective, batch: len(_without_gradient(model, objective, batch)),
        "of a layer cut off by detach()": lambda model, objective, batch: ["decoder.0"],
    },
    by_hand=("aelib.diagnosis",),
)
def without_gradient(f: Callable) -> str | None:
    """(model, objective, batch) → the names of the parameters that get no gradient."""
    batch = Batch(torch.rand(5, 1, 6, 6, generator=torch.Generator().manual_seed(0)))
    for cut in (True, False):
        model = _vae()
        model.encoder = nn.Sequential(_Cut(cut), heads.Gaussian())
        found = f(model, losses.elbo, batch)
        if isinstance(found, str) or not isinstance(found, list | tuple | set):
            return f"a list of names is expected; this is a {type(found).__name__}"
        wanted = {"encoder.0.first.weight", "encoder.0.first.bias"} if cut else set()
        names = {name for name, _ in model.named_parameters()}
        if set(found) == names:
            return "every parameter is named: was backward() called, on a mean of the loss?"
        if set(found) == names - wanted:
            return "these are the ones that *have* a gradient"
        if set(found) != wanted:
            where = "a layer cut off by detach()" if cut else "a healthy model, none is missing there"
            return f"of {where}, yours are {sorted(found)}"
    return None


@judged(
    reference=lambda model, x: (
        not torch.allclose(model.encode(x[:2]).mean, model.encode(x).mean[:2], atol=1e-5)
    ),
    mistakes={
        "changes with its neighbours, and yours says False": lambda model, x: False,
        "does not change with its neighbours, and yours says True": lambda model, x: True,
        "True or False": lambda model, x: model.encode(x).mean,
    },
)
def others_matter(f: Callable) -> str | None:
    """(model, x) → whether the codes of the first two images of x depend on the others: True or False."""
    x = torch.rand(5, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    for ill in (True, False):
        norm = nn.BatchNorm1d(8, track_running_stats=False) if ill else nn.LayerNorm(8)
        model = _vae()
        model.encoder = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), norm, nn.Linear(8, 8), heads.Gaussian())
        with torch.no_grad():
            found = f(model.eval(), x)
        if isinstance(found, Tensor) and found.numel() == 1:
            found = bool(found)
        if not isinstance(found, bool):
            return f"True or False is expected; this is a {type(found).__name__}"
        if found != ill:
            changes = "changes" if ill else "does not change"
            return f"the code of one of these models {changes} with its neighbours, and yours says {found}"
    return None


__all__ = ["patient", "repaired"]  # of the exam; the others stand above
