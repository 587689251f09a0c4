"""Networks in plain torch, as pages 01a and 02 have them written: the library's numbers, and every size."""

import check.networks as scratch
import numpy as np
import pytest
import torch
from check import EXERCISES

from aelib import losses, models
from aelib.datasets import Batch, Batches
from aelib.training import adam, train

NETS = {
    "linear": (scratch.Linear, {}, 1e-4),
    "mlp": (scratch.Multilayer, {}, 1e-4),
    "conv": (scratch.Convolutional, {"hidden": (16, 32, 64)}, 3e-3),
}


class InOrder:
    """Batches that are passed over in the order in which they were given."""

    def __init__(self, batches):
        self.whole = batches

    def __len__(self):
        return sum(len(b) for b in self.whole)

    def batches(self, size, seed=None, device="cpu", part=(0, 1)):
        return Batches(iter(self.whole), len(self.whole), len(self))


@pytest.mark.parametrize("shape", [(3, 45, 45), (1, 28, 28), (2, 37, 23)], ids=str)
@pytest.mark.parametrize("net", NETS)
def test_the_same_weights_give_the_librarys_losses_over_twenty_steps(net, shape):
    torch.manual_seed(0)
    make, options, rate = NETS[net]
    mine = make(shape, 8)
    its = models.autoencoder(shape, 8, net=net, posterior="deterministic", likelihood="gaussian", **options)
    for a, b in zip(mine.parameters(), its.parameters(), strict=True):
        a.data.copy_(b)
    batches = [Batch(0.8 + 0.2 * torch.rand(8, *shape)) for _ in range(20)]  # bright: soon learnt
    theirs = []

    def objective(model, batch):
        terms = losses.reconstruction(model, batch, error=losses.squared_error)
        theirs.append(terms["loss"].mean().item())
        return terms

    list(train(its, InOrder(batches), objective, adam(its, rate), epochs=1, batch_size=8, device="cpu"))
    curve = EXERCISES["training"].reference(mine, batches, torch.optim.Adam(mine.parameters(), rate))
    assert len(curve) == len(theirs) == 20 and curve[-1] < 0.95 * curve[0]
    np.testing.assert_allclose(curve, theirs, rtol=1e-5)


@pytest.mark.parametrize("beta", [1.0, 0.1])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 9, 7)], ids=str)
def test_the_vae_has_the_librarys_losses_over_twenty_steps(shape, beta):
    torch.manual_seed(0)
    mine = EXERCISES["vae"].reference(shape, 8)
    its = models.autoencoder(shape, 8, net="mlp", hidden=(256,))
    for a, b in zip(mine.parameters(), its.parameters(), strict=True):
        a.data.copy_(b)
    batches = [Batch(0.8 + 0.2 * torch.rand(8, *shape)) for _ in range(20)]
    theirs = []

    def same_noise():
        for step, batch in enumerate(batches):
            torch.manual_seed(step)
            yield batch

    given = same_noise()

    def objective(model, _):
        terms = losses.elbo(model, next(given), beta)
        theirs.append(terms["loss"].mean().item())
        return terms

    list(train(its, InOrder(batches), objective, adam(its, 1e-3), epochs=1, batch_size=8, device="cpu"))
    optimizer = torch.optim.Adam(mine.parameters(), 1e-3)
    curve = EXERCISES["vae_training"].reference(mine, same_noise(), optimizer, beta)
    assert len(curve) == len(theirs) == 20 and curve[-1] < 0.95 * curve[0]
    np.testing.assert_allclose(curve, theirs, rtol=1e-5)


@pytest.mark.parametrize("other", [lambda n: n, lambda n: 66 - n, lambda n: 1, lambda n: 64 + n % 2])
def test_the_learners_reference_takes_every_size_from_1_to_65(other):
    for n in range(1, 66):
        shape = (1 + n % 3, n, other(n))
        model = scratch.Convolutional(shape, 2)
        x = torch.rand(2, *shape)
        x_hat = model(x)
        assert x_hat.shape == x.shape
        x_hat.square().sum().backward()
        missing = [
            name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()
        ]
        assert not missing, (shape, missing)


def test_its_output_padding_is_that_of_the_exercise():
    reference = EXERCISES["output_padding"].reference
    for n in range(1, 66):
        for kernel, stride, padding in ((3, 2, 1), (5, 3, 2), (4, 2, 1), (7, 4, 3)):
            if n + 2 * padding < kernel:
                continue
            there = torch.nn.Conv2d(1, 1, kernel, stride, padding)
            missing = reference(n, kernel, stride, padding)
            back = torch.nn.ConvTranspose2d(1, 1, kernel, stride, padding, output_padding=missing)
            assert back(there(torch.zeros(1, 1, n, n))).shape[-1] == n
