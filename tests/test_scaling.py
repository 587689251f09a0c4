"""A training step leaves nothing behind, neither tensors nor memory; and what measures it can count."""

import torch
from benchmarks import epoch
from benchmarks.machine import live_tensors, status_mb

from aelib import datasets, losses, models
from aelib.training import adam, train


def test_steps_leave_nothing_behind():
    digits = datasets.load("digits").train[:600]
    model = models.autoencoder(digits.shape, 4, net="mlp", hidden=(32,))
    seen = []
    for _ in train(model, digits, losses.elbo, adam(model), epochs=7, batch_size=12, device="cpu"):
        seen.append((live_tensors(), status_mb("RssAnon:")))
    tensors, memory = zip(*seen[1:], strict=True)  # the first epoch is the warm-up
    assert len(set(tensors)) == 1, tensors
    if memory[0] is not None:
        assert memory[-1] - memory[0] < 4, f"MB after each 50 steps: {memory}"


def test_a_tensor_that_is_kept_is_counted():
    before = live_tensors()
    kept = [torch.zeros(3) for _ in range(5)]
    assert live_tensors() - before == len(kept)


def test_the_products_of_a_step_are_those_of_its_layers():
    made = models.autoencoder((3, 9, 10), 4, net="conv", hidden=(5, 6))
    case = epoch.Case("", lambda: made, None, losses.elbo, 2, 0)
    batch = datasets.Batch(torch.rand(2, 3, 9, 10))
    products = epoch.products(case, batch)
    layers = [m for m in made.modules() if getattr(m, "weight", None) is not None]
    assert len(products) == len(layers)
    assert [p.args[-1] for p in products] == [False] + [True] * (len(layers) - 1)  # the picture needs none
    for product in products:
        product()


def test_the_phases_of_an_epoch_are_the_epoch():
    digits = datasets.load("digits").train[:60]
    case = epoch.Case("", lambda: models.autoencoder(digits.shape, 2), None, losses.elbo, 30, 0)
    parts = next(epoch.phases(case, digits, "cpu"))
    assert list(parts) == [*epoch.PHASES, "overhead"] and min(parts.values()) > 0
