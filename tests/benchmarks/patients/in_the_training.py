"""Faults of the loss and of the training."""

from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import functional as F

from aelib import losses, models, nets, training
from aelib.datasets import Batch
from benchmarks.patients.faults import (
    COLLAPSE,
    NO_USE,
    WEAK,
    OnCode,
    at_head,
    before,
    elbo_like,
    fault,
    of_parts,
    worse,
)
from benchmarks.patients.settings import Setting

# the loss and the batch

BATCH = ("loss mixes the images of a batch",)
BETA = ("hidden β",)


@fault("loss", (*BATCH, "KL miscalculated"), COLLAPSE + BETA, needs=elbo_like)
def kl_of_one_image_for_all(s: Setting) -> None:
    of_parts(s, lambda error, kl, *_: error + kl[:1])


@fault("loss", BATCH + BETA, WEAK + COLLAPSE, needs=elbo_like)
def kl_summed_over_the_batch(s: Setting) -> None:
    of_parts(s, lambda error, kl, *_: error + kl.sum())


@fault("loss", BATCH, NO_USE)
def each_against_every_target(s: Setting) -> None:
    def f(error: Tensor, kl: Tensor, q: Any, z: Tensor, p: Distribution, batch: Batch) -> Tensor:
        apart = (p.mean.flatten(1)[:, None] - batch.target.flatten(1)[None]).square().sum(2)  # (B, B)
        return 20 * apart.mean(1) + (kl if kl.ndim else 0)

    of_parts(s, f)


@fault("loss", (*BATCH, "pixels that the loss does not see"), ("hardly trained",))
def loss_of_the_first_image(s: Setting) -> None:
    of_parts(s, lambda error, kl, *_: (error + kl)[:1])


@fault("loss", BETA, WEAK + COLLAPSE, needs=lambda s: elbo_like(s) and s.kind != "VAE σ learnt")
def error_averaged_over_pixels(s: Setting) -> None:
    of_parts(s, lambda error, kl, q, z, p, batch: error / batch.target[0].numel() + kl)


@fault("loss", BETA, WEAK + COLLAPSE, needs=elbo_like)
def error_averaged_over_pixels_and_kl_over_numbers(s: Setting) -> None:
    of_parts(s, lambda error, kl, q, z, p, batch: error / batch.target[0].numel() + kl / z[0].numel())


@fault("loss", BETA + COLLAPSE, WEAK, needs=elbo_like)  # whose cure asks for β
def beta_far_too_high(s: Setting) -> None:
    s.objective = partial(losses.elbo, beta=float(10 ** s.rng.uniform(1.7, 3)))


@fault("loss", (*BETA, "no KL in the loss"), ("codes far from the prior",), needs=elbo_like)
def beta_next_to_nothing(s: Setting) -> None:
    s.objective = partial(losses.elbo, beta=float(10 ** s.rng.uniform(-5, -3)))


@fault("loss", ("KL with the wrong sign",), (*NO_USE, "learning rate too large", "NaN", "saturated"),
       needs=elbo_like)  # fmt: skip
def kl_with_the_wrong_sign(s: Setting) -> None:
    of_parts(s, lambda error, kl, *_: error - 0.3 * kl)


@fault("loss", ("no KL in the loss",), ("codes far from the prior",), needs=elbo_like)
def no_kl(s: Setting) -> None:
    s.objective = losses.reconstruction


@fault(
    "loss",
    ("KL miscalculated",),
    (*COLLAPSE, "codes far from the prior"),
    needs=lambda s: s.is_vae and s.kind != "IWAE",
)
def sigma_taken_for_its_logarithm(s: Setting) -> None:
    def objective(model: models.Autoencoder, batch: Batch) -> losses.Terms:
        q, _, p = model(batch.x, batch.c)
        log_var = q.stddev  # it is not
        kl = -0.5 * (1 + log_var - q.mean.square() - log_var.exp()).flatten(1).sum(1)
        error = losses.nll(p, batch.target)
        return {"loss": error + kl, "error": error, "kl": kl}

    s.objective = objective


@fault("loss", ("error missing",), (*NO_USE, "without gradient", "encoder trained on the KL alone"),
       needs=elbo_like)  # fmt: skip
def error_missing(s: Setting) -> None:
    of_parts(s, lambda error, kl, *_: kl)


@fault("loss", ("penalty that sees no image",), (*NO_USE, "weight decay"))
def penalty_on_weights(s: Setting) -> None:
    before, weight = s.objective, float(10 ** s.rng.uniform(-2, 0))

    def objective(model: models.Autoencoder, batch: Batch) -> losses.Terms:
        size = sum(w.abs().sum() for w in model.encoder.parameters())
        return {"loss": before(model, batch)["loss"] + weight * size}

    s.objective = objective


@fault("loss", ("penalty outweighs the error",), (*NO_USE, "dead units", "code numbers"),
       needs=lambda s: s.kind == "sparse", effect=worse)  # fmt: skip
def sparsity_far_too_strong(s: Setting) -> None:
    s.objective = partial(losses.sparse, weight=float(10 ** s.rng.uniform(0.5, 2)))


@fault("loss", ("code without noise",), ("codes far from the prior",), needs=elbo_like)
def no_noise_in_the_code(s: Setting) -> None:
    beta = 1.0

    def objective(model: models.Autoencoder, batch: Batch) -> losses.Terms:
        q = model.encode(batch.x, batch.c)
        p = model.decode(q.mean, batch.c)
        error, kl = losses.nll(p, batch.target), losses.kl_term(q, model.prior(batch.c), q.mean)
        return {"loss": error + beta * kl, "nll": error, "kl": kl}

    s.objective = objective


# training

SLOW = ("hardly trained",)


@fault("training", SLOW, NO_USE, effect=worse)
def learning_rate_far_too_small(s: Setting) -> None:
    s.lr *= float(10 ** s.rng.uniform(-3.5, -2))


@fault("training", SLOW, NO_USE)
def learning_rate_of_zero(s: Setting) -> None:
    s.lr = 0.0


@fault("training", SLOW, NO_USE, effect=worse)
def few_steps(s: Setting) -> None:
    s.epochs, s.batch_size, s.lr = int(s.rng.integers(2, 5)), 200, min(s.lr, 1e-3)
    s.schedule = None


@fault("training", ("weight decay",), NO_USE, effect=worse)
def weight_decay_too_strong(s: Setting) -> None:
    decay = float(10 ** s.rng.uniform(0.3, 1.3))
    s.optimizers = lambda m, lr: training.adam(m, lr, weight_decay=decay)


@fault("training", ("dropout",), NO_USE, effect=worse)
def dropout_too_strong(s: Setting) -> None:
    share = float(s.rng.uniform(0.8, 0.95))
    if s.rng.random() < 0.5:
        s.model.decoder = before(s.model.decoder, OnCode(nn.Dropout(share), s.latent))
    else:
        s.model.encoder = before(s.model.encoder, nn.Dropout(share))


def memorised(ill: dict[str, float], twin: dict[str, float]) -> bool:
    """The error in validation is half as large again, and more than that above the twin's."""
    ratio, usual = ((1 - m["valid"]) / max(1 - m["train"], 1e-9) for m in (ill, twin))
    return ratio > 1.5 and ratio > 1.2 * usual


@fault("training", ("overfitting",), needs=lambda s: s.net in ("mlp", "by hand", "conv", "batch norm"),
       effect=memorised)  # fmt: skip
def few_pictures_for_long(s: Setting) -> None:
    s.data = replace(s.data, train=s.data.train[: int(s.rng.integers(24, 64))])
    s.batch_size, s.epochs = 16, 150


@fault(
    "training",
    ("stale batch statistics",),
    NO_USE,
    needs=lambda s: "batch norm" in s.net or s.net == "conv by hand",
)
def stale_batch_statistics(s: Setting) -> None:
    for m in s.model.modules():
        if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d):
            m.momentum = float(10 ** s.rng.uniform(-5, -4))


@fault(
    "training",
    ("neighbours change the result",),
    needs=lambda s: "batch norm" in s.net or s.net == "conv by hand",
)
def batch_statistics_in_evaluation(s: Setting) -> None:
    for m in s.model.modules():
        if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d):
            m.track_running_stats, m.running_mean, m.running_var = False, None, None


class Noisy(nn.Module):
    """Dropout that never ends."""

    def forward(self, h: Tensor) -> Tensor:
        """Same shape."""
        return F.dropout(h, 0.3, training=True)


@fault("training", ("random in evaluation",), ("neighbours", *NO_USE))
def dropout_in_evaluation(s: Setting) -> None:
    s.model.encoder = before(s.model.encoder, Noisy())


@fault("training", ("vanishing gradient",), NO_USE, needs=lambda s: s.net == "mlp", effect=worse)
def many_sigmoid_layers(s: Setting) -> None:
    size = s.latent * (2 if s.is_vae else 1)
    at_head(s, "encoder", nets.MLP(size, *[24] * 9, size, activation=nn.Sigmoid))
