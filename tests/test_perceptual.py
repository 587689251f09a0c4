"""The perceptual error against the formula worked out by hand, and what it must not do."""

from functools import partial

import check
import judges
import pytest
import torch
from torch import nn

from aelib import datasets, losses, metrics, models
from aelib.datasets import Batch
from aelib.runs import fit
from aelib.training import adam, assess

torch.manual_seed(0)
TARGET, X_HAT = torch.rand(4, 2, 6, 5), torch.rand(4, 2, 6, 5)


def normal(mean):
    return torch.distributions.Normal(mean, 1.0)


class Times(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, x):
        return x * self.weight.view(-1, 1, 1)


def test_of_the_pixels_themselves_it_is_one_less_the_cosine_at_every_place():
    """|â − b̂|² = 2 (1 − cos), so n · mean |â − b̂|² / 4 = n · mean (1 − cos) / 2."""
    cosine = torch.cosine_similarity(X_HAT, TARGET, dim=1).flatten(1).mean(1)
    error = losses.perceptual(nn.Identity())(normal(X_HAT), TARGET)
    torch.testing.assert_close(error, TARGET[0].numel() * (1 - cosine) / 2)


def test_stages_follow_one_another_and_weigh_alike():
    a, b = Times([1.0, -2.0]), Times([3.0, 0.5])
    both = losses.perceptual(a, b)(normal(X_HAT), TARGET)
    first = losses.perceptual(a)(normal(X_HAT), TARGET)
    second = losses.perceptual(nn.Sequential(a, b))(normal(X_HAT), TARGET)
    torch.testing.assert_close(both, (first + second) / 2)
    assert not torch.allclose(first, second)


def test_it_runs_from_zero_to_the_number_of_pixels_and_ignores_the_scale_of_features():
    error = losses.perceptual(nn.Identity())
    n = torch.full((4,), float(TARGET[0].numel()))
    torch.testing.assert_close(error(normal(TARGET), TARGET), 0 * n)
    torch.testing.assert_close(error(normal(-TARGET), TARGET), n)
    scaled = losses.perceptual(Times([7.0, 7.0]))
    torch.testing.assert_close(scaled(normal(X_HAT), TARGET), error(normal(X_HAT), TARGET))


def test_features_that_are_all_zero_give_a_finite_error_and_gradient():
    x = torch.zeros(2, 3, 4, 4, requires_grad=True)
    error = losses.perceptual(nn.ReLU())(normal(x), torch.rand(2, 3, 4, 4))
    error.sum().backward()
    assert error.isfinite().all() and x.grad.isfinite().all()


def test_an_example_does_not_change_with_its_neighbours_even_where_the_network_has_batch_statistics():
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Dropout(0.5))
    error = losses.perceptual(net)
    together = error(normal(X_HAT), TARGET)
    alone = torch.cat([error(normal(X_HAT[i : i + 1]), TARGET[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(together, alone)
    assert net.training and all(p.requires_grad for p in net.parameters()), "the caller's network was changed"


def test_the_judge_stays_as_it_was_and_every_parameter_of_the_model_gets_a_gradient():
    judge = judges.classifier((3, 16, 16), 5, hidden=(4, 8))
    body = judge[0][1][0]
    seen = losses.perceptual(nn.Sequential(judge[0][0], *body[:2]), body[2:])
    for p in judge.parameters():  # what happens to the network afterwards does not reach the error
        p.data.add_(1)
    again = losses.perceptual(nn.Sequential(judge[0][0], *body[:2]), body[2:])
    x = torch.rand(3, 3, 16, 16)
    p = normal(torch.rand(3, 3, 16, 16))
    assert not torch.allclose(seen(p, x), again(p, x))
    model = models.autoencoder((3, 16, 16), 4, hidden=(4, 8))
    losses.elbo(model, Batch(x), error=seen)["loss"].mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    assert all(p.grad is None for p in judge.parameters())


def test_it_prefers_a_shifted_texture_to_a_flat_one_where_the_squared_error_prefers_the_flat():
    """What it is for: texture in the wrong place is nearer to the photo than none at all."""
    stripes = (torch.arange(32) // 2 % 2).float().expand(1, 1, 32, 32)
    shifted, flat = stripes.roll(2, dims=-1), torch.full_like(stripes, 0.5)
    edges = nn.Conv2d(1, 2, 3, bias=False)
    edges.weight.data = torch.tensor([[-1.0, 0.0, 1.0], [1.0, 0.0, -1.0]]).view(2, 1, 1, 3).expand(2, 1, 3, 3)
    energy = nn.Sequential(edges, nn.ReLU(), nn.AvgPool2d(4))
    seen = losses.perceptual(energy)
    assert metrics.mse(flat, stripes) < metrics.mse(shifted, stripes)
    assert seen(normal(shifted), stripes) < seen(normal(flat), stripes)


def test_training_with_it_lowers_it():
    digits = datasets.load("digits").train[:200]
    torch.manual_seed(0)
    seen = losses.perceptual(nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU()))
    model = models.autoencoder(digits.shape, 8, net="mlp", posterior="deterministic")
    objective = partial(losses.reconstruction, error=seen)
    before = assess(model, digits, objective)["loss"]
    fit(model, digits, objective, adam(model, 3e-3), epochs=8)
    assert assess(model, digits, objective)["loss"] < 0.7 * before


def test_without_a_network_it_says_so():
    with pytest.raises(ValueError, match="a network to compare by"):
        losses.perceptual()


ANSWERS = {
    "correct": lambda x, w: (w[:, None] * x).sum(0),
    "its probability": lambda x, w: x.mean(0),
    "right too seldom": lambda x, w: x[w.argmax()],
    "do not divide again": lambda x, w: (w[:, None] * x).mean(0),
    "absolute error": lambda x, w: x.median(0).values,
    "shape": lambda x, w: x,
}


def test_the_exercise_answers_with_what_is_off(capsys):
    for said, f in ANSWERS.items():
        check.best_answer(f)
        out = capsys.readouterr().out
        assert said in out and out.startswith("correct") == (said == "correct")
