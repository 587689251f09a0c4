"""Kinds of fault that the checks of `diagnose` were first judged on, unseen, and then mended for."""

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn import functional as F

from aelib import losses, models
from aelib.datasets import Batch
from benchmarks.patients.faults import (
    CHANGED,
    NO_USE,
    WEAK,
    Layer,
    at_code,
    at_head,
    before,
    conditional,
    elbo_like,
    fault,
    masked_error,
    takes_error,
    with_error,
)
from benchmarks.patients.settings import Setting

added = partial(fault, "added later")


def on_target(s: Setting, f: Any) -> None:
    s.map(lambda batch: replace(batch, target=f(batch.target)))


def blurred(v: Tensor) -> Tensor:
    """The mean of 5×5 pixels in place of each."""
    return F.avg_pool2d(F.pad(v, (2, 2, 2, 2), "replicate"), 5, 1)


@added(CHANGED, needs=lambda s: s.data.shape[1] == s.data.shape[2])
def target_turned_by_a_quarter(s: Setting) -> None:
    on_target(s, lambda t: t.rot90(1, (-2, -1)))


@added(CHANGED)
def target_blurred(s: Setting) -> None:
    on_target(s, blurred)


@added(CHANGED)
def target_zoomed(s: Setting) -> None:
    def f(t: Tensor) -> Tensor:
        (h, w), (i, j) = t.shape[-2:], (t.shape[-2] // 6, t.shape[-1] // 6)
        inner = t[..., i : h - i, j : w - j]
        return F.interpolate(inner, size=(h, w), mode="bilinear", align_corners=False)

    on_target(s, f)


@added(("neighbours change the result",), WEAK)
def pictures_centred_over_the_batch(s: Setting) -> None:
    s.model.encoder = before(s.model.encoder, Layer(lambda x: x - x.mean(0)))


@added(("neighbours change the result",), NO_USE)
def codes_standardised_over_the_batch(s: Setting) -> None:
    at_head(s, "encoder", Layer(lambda h: (h - h.mean(0)) / (h.std(0) + 1e-3)))


@added(("NaN in the data",), ("NaN",), needs=conditional)
def nan_in_some_conditions(s: Setting) -> None:
    def f(b: Batch) -> Batch:
        hit = b.target.flatten(1).sum(1) * 1000 % 1 < 0.05
        return replace(b, c=b.c.masked_fill(hit[:, None], torch.nan))

    s.map(f)


@added(("parameters without an optimizer", "hardly trained"), NO_USE)
def learning_rate_of_zero_in_one_group(s: Setting) -> None:
    still = str(s.rng.choice(["encoder", "decoder"]))

    def two(m: models.Autoencoder, lr: float) -> Any:
        parts = {"encoder": m.encoder, "decoder": m.decoder}
        groups = [{"params": p.parameters(), "lr": 0.0 if n == still else lr} for n, p in parts.items()]
        return torch.optim.Adam(groups)

    s.optimizers = two


@added(("KL miscalculated",), ("codes far from the prior",), needs=lambda s: elbo_like(s) and s.net != "fcn")
def kl_of_two_numbers_of_the_code(s: Setting) -> None:
    def objective(model: models.Autoencoder, batch: Batch) -> losses.Terms:
        q, _, p = model(batch.x, batch.c)
        kl = losses.kl_per_dimension(q, model.prior(batch.c))[:, :2].sum(1)
        error = losses.nll(p, batch.target)
        return {"loss": error + kl, "error": error, "kl": kl}

    s.objective = objective


@added(("no KL in the loss", "hidden β"), ("codes far from the prior",), needs=elbo_like)
def free_bits_without_limit(s: Setting) -> None:
    s.objective = partial(losses.elbo, free_bits=50.0)


@added(("pixels that the loss does not see",), needs=takes_error)
def the_border_left_out_of_the_loss(s: Setting) -> None:
    def mask(t: Tensor) -> Tensor:
        seen = torch.zeros_like(t[0])
        seen[..., 2:-2, 2:-2] = 1
        return seen

    with_error(s, masked_error(mask, bool(s.rng.random() < 0.5)))


class Brightness(models.Autoencoder):
    """Its decoder adds the brightness that the picture had."""

    def encode(self, x: Tensor, c: Tensor | None = None) -> Distribution:
        """As always, and the brightness is kept."""
        self.kept = x.mean((1, 2, 3), keepdim=True)
        return super().encode(x, c)

    def decode(self, z: Tensor, c: Tensor | None = None, size: Any = None) -> Distribution:
        """As always, and more."""
        with self.decoder[-1].register_forward_pre_hook(lambda _, h: (h[0] + self.kept,)):
            return super().decode(z, c, size)


@added(("decoder sees more than the code",))
def brightness_past_the_code(s: Setting) -> None:
    old = s.model
    s.model = Brightness(old.encoder, old.decoder, old.prior)


@added(("parameters without gradient",), (*NO_USE, "encoder trained on the KL alone"))
def signs_of_the_code(s: Setting) -> None:
    at_code(s, torch.sign)


@added(("validation prepared differently",), ("overfitting",))
def validation_blurred(s: Setting) -> None:
    s.valid = s.valid.map(lambda b: replace(b, x=blurred(b.x), target=blurred(b.target)))
