"""Kinds of fault that the checks of `diagnose` were not written for: all of these patients are unseen."""

import copy
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aelib import losses, models, training
from aelib.datasets import Batch
from benchmarks.patients.faults import (
    CHANGED,
    COLLAPSE,
    NO_USE,
    Layer,
    at_code,
    at_head,
    colour,
    elbo_like,
    fault,
    worse,
)
from benchmarks.patients.settings import Setting

HELD_OUT = "kinds not tuned on"
held_out = partial(fault, HELD_OUT)


@held_out(CHANGED)
def target_with_few_grey_levels(s: Setting) -> None:
    s.map(lambda b: replace(b, target=(b.target * 2).round() / 2))


@held_out(CHANGED, NO_USE)
def the_pixels_of_each_input_shuffled(s: Setting) -> None:
    def f(b: Batch) -> Batch:
        flat = b.target.flatten(2)
        order = torch.rand(len(flat), 1, flat.shape[2]).argsort(2).expand_as(flat)
        return replace(b, x=flat.gather(2, order).view_as(b.target), target=b.target)

    s.map(f)


@held_out(("random in evaluation",), NO_USE)
def dropout_of_pixels_in_evaluation(s: Setting) -> None:
    at_head(s, "decoder", Layer(lambda h: F.dropout(h, 0.2, training=True)))


@held_out(("hidden β", *COLLAPSE), needs=elbo_like)
def kl_times_the_number_of_batches(s: Setting) -> None:
    s.objective = partial(losses.elbo, beta=float(-(-len(s.data.train) // s.batch_size)))


@held_out(("error missing in the loss, or with the wrong sign",), (*NO_USE, "NaN", "learning rate too large"))
def loss_with_the_wrong_sign(s: Setting) -> None:
    right = s.objective

    def objective(model: models.Autoencoder, batch: Batch) -> losses.Terms:
        return {"loss": -right(model, batch)["loss"]}

    s.objective = objective


@held_out(("parameters without an optimizer",), NO_USE)
def optimizer_of_another_model(s: Setting) -> None:
    def of_a_copy(m: nn.Module, lr: float) -> Any:
        return training.adam(copy.deepcopy(m), lr)

    s.optimizers = of_a_copy


@held_out(("neighbours change the result", "loss mixes the images of a batch"), NO_USE)
def codes_of_the_next_image(s: Setting) -> None:
    def next_of(z: Tensor) -> Tensor:
        return z.roll(1, 0)

    at_code(s, next_of)


@held_out(("validation prepared differently",), ("overfitting",), needs=colour)
def validation_in_grey(s: Setting) -> None:
    def grey(v: Tensor) -> Tensor:
        return v[:, :3].mean(1, keepdim=True).expand_as(v)

    s.valid = s.valid.map(lambda b: replace(b, x=grey(b.x), target=grey(b.target)))


@held_out(("validation scored on other images", "hardly trained"), NO_USE, effect=worse)
def weights_of_the_decoder_lost(s: Setting) -> None:
    def lose(s: Setting) -> None:
        for m in s.model.decoder.modules():
            if callable(reset := getattr(m, "reset_parameters", None)):
                reset()

    s.after.append(lose)
