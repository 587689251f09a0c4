"""Faults of the data: numbers, targets, pixel values, validation, conditions."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aelib import losses, training
from aelib.datasets import Batch
from benchmarks.patients.faults import (
    CHANGED,
    COLLAPSE,
    NO_USE,
    NOISE,
    OTHERS,
    RANGE,
    WEAK,
    Layer,
    before,
    colour,
    conditional,
    fault,
    labelled,
    linears,
    takes_error,
    unconditional,
    with_error,
    worse,
)
from benchmarks.patients.pictures import PICTURES, loaded
from benchmarks.patients.settings import Setting

# numbers


@fault("numbers", ("NaN in the weights",))
def nan_in_a_weight(s: Setting) -> None:
    def hurt(s: Setting) -> None:
        layers = linears(s.model)
        weight: Any = layers[s.rng.integers(len(layers))].weight
        weight.data.view(-1)[int(s.rng.integers(weight.numel()))] = s.rng.choice([torch.nan, torch.inf])

    s.after.append(hurt)


@fault("numbers", ("NaN in the data",), ("NaN",))
def nan_in_some_pictures(s: Setting) -> None:
    def f(batch: Batch) -> Batch:
        hit = (batch.target.flatten(1).sum(1) * 1000 % 1 < 0.05).view(-1, 1, 1, 1)
        return replace(batch, x=batch.x.masked_fill(hit, torch.nan), target=batch.target)

    s.map(f)


@fault("numbers", ("NaN in the data",), ("NaN",))
def divided_by_a_deviation_of_zero(s: Setting) -> None:
    def f(batch: Batch) -> Batch:
        x = batch.target - batch.target.amin((1, 2, 3), keepdim=True)
        x = torch.cat([x[:, :, :1] * 0, x[:, :, 1:]], 2)
        return replace(batch, x=(x := x / x.std((0,), keepdim=True)), target=x)

    s.map(f)


@fault("numbers", ("NaN in the loss",), ("NaN",), needs=takes_error)
def division_by_black_pixels(s: Setting) -> None:
    with_error(
        s, lambda p, target: ((p.mean - target).square() / (target * (target > 0.1))).flatten(1).sum(1)
    )


@fault("numbers", ("learning rate too large", "NaN in the weights"), (*NO_USE, "dead units", "saturated"),
       effect=worse)  # fmt: skip
def learning_rate_far_too_large(s: Setting) -> None:
    s.lr *= float(10 ** s.rng.uniform(2, 3))


# target against input


def on_target(s: Setting, f: Callable[[Tensor], Tensor]) -> None:
    s.map(lambda batch: replace(batch, target=f(batch.target)))


@fault("target", CHANGED)
def target_mirrored(s: Setting) -> None:
    on_target(s, lambda t: t.flip(-1))


@fault("target", CHANGED)
def target_upside_down(s: Setting) -> None:
    on_target(s, lambda t: t.flip(-2))


@fault("target", CHANGED)
def target_shifted(s: Setting) -> None:
    k, axis = int(s.rng.integers(2, 5)), int(s.rng.choice([-1, -2]))
    on_target(s, lambda t: t.roll(k, axis))


@fault("target", CHANGED, needs=colour)
def target_channels_permuted(s: Setting) -> None:
    on_target(s, lambda t: t.flip(1))


@fault("target", CHANGED)
def target_inverted(s: Setting) -> None:
    on_target(s, lambda t: 1 - t)


@fault("target", OTHERS, NO_USE)
def targets_of_other_images(s: Setting) -> None:
    on_target(s, lambda t: t.roll(1, 0))


@fault("target", OTHERS)
def targets_of_others_for_a_share(s: Setting) -> None:
    share = float(s.rng.uniform(0.15, 0.5))

    def f(batch: Batch) -> Batch:
        wrong = (torch.arange(len(batch)) < share * len(batch)).view(-1, 1, 1, 1)
        return replace(batch, target=torch.where(wrong, batch.target.roll(1, 0), batch.target))

    s.map(f)


@fault("target", NOISE, ("overfitting",))
def the_same_noise_in_input_and_target(s: Setting) -> None:
    sigma = float(s.rng.uniform(0.15, 0.35))

    def f(batch: Batch) -> Batch:
        x = (batch.target + sigma * torch.randn_like(batch.target)).clamp(0, 1)
        return replace(batch, x=x, target=x)

    s.map(f)


@fault("target", NOISE, ("overfitting",), needs=lambda s: s.kind != "denoising")
def noise_on_the_target_alone(s: Setting) -> None:
    sigma = float(s.rng.uniform(0.15, 0.35))
    on_target(s, lambda t: (t + sigma * torch.randn_like(t)).clamp(0, 1))


@fault(
    "target", ("corruption that changes nothing",), needs=lambda s: s.kind in ("AE squared", "AE bernoulli")
)
def noise_times_zero(s: Setting) -> None:
    s.map(lambda b: replace(b, x=b.x + 0 * torch.randn_like(b.x), target=b.target))


# pixels' values


@fault("values", RANGE, (*NO_USE, "learning rate too large", "saturated", "outputs cannot", "dead units"),
       needs=lambda s: s.kind != "denoising")  # fmt: skip
def pixels_up_to_255(s: Setting) -> None:
    s.map(lambda b: replace(b, x=255 * b.x, target=255 * b.target))


@fault("values", RANGE, ("outputs cannot", "saturated"), needs=lambda s: "bernoulli" in s.kind or s.kind in (
    "VAE by hand", "conditional VAE"))  # fmt: skip
def standardised_pixels_under_a_bernoulli(s: Setting) -> None:
    def f(b: Batch) -> Batch:
        return replace(b, x=(x := (b.target - 0.4) / 0.25), target=x)

    s.objective = losses.elbo if s.is_vae else losses.reconstruction  # torch's own BCE refuses such targets
    s.map(f)


@fault("values", RANGE, NO_USE, needs=lambda s: s.kind != "denoising")
def divided_by_255_twice(s: Setting) -> None:
    s.map(lambda b: replace(b, x=(x := b.x / 255), target=x))


@fault("values", RANGE + CHANGED, NO_USE, needs=lambda s: s.kind != "denoising")
def input_divided_by_255_twice(s: Setting) -> None:
    s.map(lambda b: replace(b, x=b.x / 255, target=b.target))


@fault("values", ("images all alike",), ("overfitting", *WEAK))
def few_different_pictures(s: Setting) -> None:
    k = int(s.rng.integers(1, 9))
    s.data = replace(s.data, train=s.data.train[np.arange(len(s.data.train)) % k])


# validation


VALIDATION = ("validation prepared differently", "validation of other")


def valid_map(s: Setting, f: Any) -> None:
    s.valid = s.valid.map(f)


@fault("validation", VALIDATION, ("overfitting",))
def validation_noisy(s: Setting) -> None:
    sigma = float(s.rng.uniform(0.2, 0.4))
    valid_map(s, lambda b: replace(b, x=(x := (b.x + sigma * torch.randn_like(b.x)).clamp(0, 1)), target=x))


@fault("validation", VALIDATION, ("overfitting",))
def validation_upside_down_or_turned(s: Setting) -> None:
    axes = [(-2,), (-1, -2)][s.rng.integers(2)]
    valid_map(s, lambda b: replace(b, x=b.x.flip(axes), target=b.target.flip(axes)))


@fault("validation", VALIDATION, ("overfitting",), needs=labelled)
def validation_of_other_classes(s: Setting) -> None:
    half = len(s.data.train.classes) // 2
    s.data = replace(s.data, train=s.data.train[s.data.train.labels < half])
    s.valid = s.valid[s.valid.labels >= half]


@fault("validation", VALIDATION, ("overfitting",))
def validation_on_another_scale(s: Setting) -> None:
    a = float(s.rng.choice([0.3, 0.5, 2.0]))
    valid_map(s, lambda b: replace(b, x=(b.x * a).clamp(0, 1), target=(b.target * a).clamp(0, 1)))


@fault("validation", VALIDATION, ("overfitting",), needs=unconditional)
def validation_from_another_set(s: Setting) -> None:
    others = [n for n in PICTURES if n != s.objects and loaded(n)[0].shape == s.data.shape]
    if others:
        s.valid = replace(loaded(str(s.rng.choice(others)))[1], transforms=s.valid.transforms)
    else:
        valid_map(s, lambda b: replace(b, x=1 - b.x, target=1 - b.target))


@fault("validation", ("validation images among the training images",))
def validation_among_training(s: Setting) -> None:
    n, k = len(s.data.train), int(s.rng.integers(60, 250))
    s.valid = s.data.train[s.rng.permutation(n)[:k]]


@fault("validation", ("validation scored on other images",))
def validation_number_of_a_training_batch(s: Setting) -> None:
    def change(s: Setting) -> None:
        if s.history:
            s.history[-1]["valid/loss"] = training.assess(
                s.model, s.data.train[:64], s.objective, device="cpu")["loss"]  # fmt: skip

    s.after.append(change)


# conditions

UNRELATED = ("condition unrelated to the images",)


def conditions(s: Setting, f: Any) -> None:
    s.map(lambda b: replace(b, c=f(b)))


@fault("conditions", UNRELATED, ("condition ignored",), needs=conditional)
def a_constant_condition(s: Setting) -> None:
    conditions(s, lambda b: torch.ones_like(b.c))


@fault("conditions", UNRELATED, ("condition ignored",), needs=conditional)
def conditions_of_other_images(s: Setting) -> None:
    conditions(s, lambda b: b.c[torch.randperm(len(b))])


@fault("conditions", ("condition holds the picture",), (*COLLAPSE, "decoder sees more"), needs=conditional)
def a_condition_that_holds_the_picture(s: Setting) -> None:
    k, n = next(iter(s.data.train.batches(2))).c.shape[1], int(np.prod(s.data.shape))
    directions = torch.from_numpy(s.rng.normal(size=(n, k)) / n**0.5).float()
    conditions(s, lambda b: 3 * (b.target - 0.5).flatten(1) @ directions)


@fault("conditions", ("condition on another scale",), (*NO_USE, "learning rate too large"), needs=conditional)
def a_condition_in_thousands(s: Setting) -> None:
    conditions(s, lambda b: 1000 * b.c)


@fault("conditions", ("condition missing in the", "condition ignored"), needs=conditional)
def a_condition_that_a_part_drops(s: Setting) -> None:
    if s.rng.random() < 0.5:
        c = s.channels
        s.model.encoder = before(s.model.encoder, Layer(lambda x: torch.cat([x[:, :c], 0 * x[:, c:]], 1)))
    else:
        k = s.latent
        s.model.decoder = before(s.model.decoder, Layer(lambda h: torch.cat([h[:, :k], 0 * h[:, k:]], 1)))
