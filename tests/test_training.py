import copy
import math
import subprocess
import sys
import warnings

import numpy as np
import pytest
import scipy.linalg
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import Precision
from sklearn.decomposition import PCA
from torch import nn

from aelib import datasets, heads, losses, metrics, models, nets, training
from aelib.datasets import Batch, Batches, Images, noisy
from aelib.runs import fit
from aelib.training import History, adam, cosine, train, warm_up

DIGITS = datasets.load("digits")
SMALL = DIGITS.train[:200]


def vae(seed=0):
    torch.manual_seed(seed)
    return models.autoencoder(SMALL.shape, 4, net="mlp", hidden=(32,))


def run(model, optimizers=None, **keywords):
    return fit(
        model, SMALL, losses.elbo, optimizers or adam(model), **({"epochs": 3, "batch_size": 32} | keywords)
    )


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_training_lowers_the_loss_and_records_every_term():
    model = vae()
    history = run(model, valid=DIGITS.valid, epochs=5)
    assert list(history[0]) == [
        "epoch", "train/loss", "train/nll", "train/kl", "valid/loss", "valid/nll", "valid/kl", "seconds"
    ]  # fmt: skip
    assert history[-1]["valid/loss"] < history[0]["valid/loss"] - 2
    assert history.table().shape == (5, 7) and history.best() == min(history, key=lambda r: r["valid/loss"])
    assert "valid/loss" in repr(history) and "<table" in history._repr_html_()
    assert not model.training


@pytest.mark.parametrize("stop", [1, 2])
def test_resumed_equals_uninterrupted_bit_for_bit(stop):
    schedule = {"beta": warm_up(0.5), "lr": cosine(0.1)}
    keywords = {"epochs": 3, "batch_size": 32, "schedule": schedule, "valid": DIGITS.valid}
    data = SMALL.map(noisy(0.1))
    whole = vae()
    history = fit(whole, data, losses.elbo, adam(whole), **keywords)

    part = vae()
    optimizer = adam(part)
    for record in train(part, data, losses.elbo, optimizer, history=(first := History()), **keywords):
        if record["epoch"] == stop:
            break
    saved = copy.deepcopy((part.state_dict(), optimizer.state_dict(), list(first)))

    torch.manual_seed(99)  # another process: another random state
    again = vae(seed=5)
    again.load_state_dict(saved[0])
    optimizer = adam(again)
    optimizer.load_state_dict(saved[1])
    resumed = fit(again, data, losses.elbo, optimizer, history=History(saved[2]), **keywords)
    assert torch.equal(weights(whole), weights(again))
    drop = [{k: v for k, v in r.items() if k != "seconds"} for r in history]
    assert drop == [{k: v for k, v in r.items() if k != "seconds"} for r in resumed]


def test_the_callers_randomness_is_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    run(vae_without_seeding())
    assert torch.equal(torch.rand(2), expected)


def vae_without_seeding():
    state = torch.get_rng_state()
    model = vae()
    torch.set_rng_state(state)
    return model


def test_the_seed_decides_everything():
    a, b, c = (vae() for _ in range(3))
    run(a, seed=1), run(b, seed=1), run(c, seed=2)
    assert torch.equal(weights(a), weights(b)) and not torch.equal(weights(a), weights(c))


def test_two_optimizers_on_one_loss_equal_one():
    one, two = vae(), vae()
    run(one, torch.optim.Adam(one.parameters(), 1e-3))
    parts = [torch.optim.Adam(m.parameters(), 1e-3) for m in (two.encoder, two.decoder)]
    run(two, {"loss": parts})
    assert torch.equal(weights(one), weights(two))


def test_each_optimizer_gets_the_gradient_of_its_own_term():
    """encoder descends a, decoder descends b, though both terms depend on both."""
    torch.manual_seed(0)
    model = nn.ModuleDict({"e": nn.Linear(3, 2), "d": nn.Linear(2, 3)})
    start = copy.deepcopy(model)
    data = Images(np.random.default_rng(0).integers(0, 256, (8, 1, 1, 3), np.uint8))

    def objective(m, batch):
        h = m["d"](m["e"](batch.x.flatten(1)))
        return {"a": h.square().sum(1), "b": (h - 1).abs().sum(1)}

    sgd = {
        "a": torch.optim.SGD(model["e"].parameters(), 0.1),
        "b": torch.optim.SGD(model["d"].parameters(), 0.1),
    }
    terms = {k: v.mean() for k, v in objective(start, data.batch()).items()}
    gradient_e = torch.autograd.grad(terms["a"], list(start["e"].parameters()), retain_graph=True)
    gradient_d = torch.autograd.grad(terms["b"], list(start["d"].parameters()))
    fit(model, data, objective, sgd, epochs=1, batch_size=8)
    for name, gradients in (("e", gradient_e), ("d", gradient_d)):
        for p, q, g in zip(model[name].parameters(), start[name].parameters(), gradients, strict=True):
            torch.testing.assert_close(p, q - 0.1 * g)


def test_an_optimizer_for_an_unknown_term_is_refused():
    model = vae()
    with pytest.raises(ValueError, match=r"waits for term 'lss', the objective has \['loss', 'nll', 'kl'\]"):
        run(model, {"lss": adam(model)})


def test_a_linear_autoencoder_finds_pcas_subspace():
    x = SMALL.batch().x.flatten(1).numpy()
    pca = PCA(5).fit(x)
    expected = ((x - pca.inverse_transform(pca.transform(x))) ** 2).mean()
    torch.manual_seed(0)
    model = models.autoencoder(SMALL.shape, 5, net="linear", posterior="deterministic", likelihood="gaussian")
    fit(
        model, SMALL, losses.reconstruction, adam(model, 1e-2), epochs=400, batch_size=40,
        schedule={"lr": cosine()},
    )  # fmt: skip
    assert metrics.evaluate(model, SMALL)["mse"] == pytest.approx(expected, rel=0.01)
    angles = scipy.linalg.subspace_angles(model.decoder[0][0][1].weight.detach().numpy(), pca.components_.T)
    assert math.degrees(angles.max()) < 3


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_names_step_and_term(bad):
    model, steps = vae(), []

    def objective(m, batch):
        terms = losses.elbo(m, batch)
        steps.append(1)
        if len(steps) == 10:  # 7 steps an epoch: the third of the second epoch
            terms["kl"] = terms["kl"] * bad
        return terms

    with pytest.raises(training.DivergedError, match=r"'kl' became (nan|inf) in epoch 2, step 3 of 7"):
        fit(model, SMALL, objective, adam(model), epochs=3, batch_size=32)


def test_a_step_that_diverged_is_not_taken_on_a_cpu():
    model = vae()

    def objective(m, batch):
        terms = losses.elbo(m, batch)
        return terms | {"loss": terms["loss"] * float("nan")}

    before = weights(model)
    with pytest.raises(training.DivergedError, match="'loss' became nan in epoch 1, step 1 of 7"):
        fit(model, SMALL, objective, adam(model), epochs=1, batch_size=32, device="cpu")
    assert torch.equal(weights(model), before)


def test_every_epoch_has_an_order_of_its_own():
    seen = []

    def objective(m, batch):
        seen.append(batch.y)
        return losses.elbo(m, batch)

    fit(vae(), SMALL, objective, epochs=2, batch_size=100)
    first, second = torch.cat(seen[:2]), torch.cat(seen[2:])
    assert not torch.equal(first, second) and torch.equal(first.sort().values, second.sort().values)


def test_a_huge_learning_rate_ends_in_words():
    model = models.autoencoder(SMALL.shape, 4, net="mlp", likelihood="gaussian", hidden=(32,))
    with pytest.raises(training.DivergedError, match="learning rate ten times smaller"):
        run(model, torch.optim.SGD(model.parameters(), 1e10))


def test_terms_that_are_not_one_number_an_example_are_refused():
    with pytest.raises(ValueError, match=r"'loss' is \(\)\. Sum over each example"):
        fit(vae(), SMALL, lambda m, b: {"loss": losses.elbo(m, b)["loss"].mean()}, epochs=1)


def test_schedules_change_training_only_and_have_the_values_they_promise():
    seen = []

    def objective(model, batch, beta=1.0):
        seen.append((model.training, beta))
        return losses.elbo(model, batch, beta=beta)

    model = vae()
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    rates = []
    schedule = {"beta": warm_up(0.5), "lr": cosine(0)}
    keywords = {"epochs": 4, "batch_size": 100, "valid": DIGITS.valid, "schedule": schedule}
    for _ in train(model, SMALL, objective, optimizer, **keywords):
        rates.append(optimizer.param_groups[0]["lr"])
    assert [b for training_, b in seen if training_] == [0, 0.25, 0.5, 0.75, 1, 1, 1, 1]
    assert {b for training_, b in seen if not training_} == {1.0}
    assert rates == pytest.approx(
        [1e-3 * (1 + math.cos(math.pi * t)) / 2 for t in (1 / 8, 3 / 8, 5 / 8, 7 / 8)]
    )
    assert cosine(0.2)(0.1) == 0.5 and cosine(0.2, end=0.1)(1.0) == pytest.approx(0.1) and warm_up(0)(0) == 1


def test_validation_draws_the_same_noise_every_time():
    model = vae().eval()
    data = DIGITS.valid.map(noisy(0.2))
    a, b = (training.assess(model, data, losses.elbo, device="cpu") for _ in range(2))
    assert a == b
    x = training.assess(model, DIGITS.valid, losses.elbo, batch_size=7, device="cpu")
    assert x["kl"] == pytest.approx(
        training.assess(model, DIGITS.valid, losses.elbo, device="cpu")["kl"], rel=1e-5
    )


def test_clipping_bounds_the_step():
    model = vae()
    before = weights(model)
    run(model, torch.optim.SGD(model.parameters(), 1.0), epochs=1, batch_size=200, clip=0.01)
    assert (weights(model) - before).norm().item() == pytest.approx(0.01, rel=1e-3)


def test_bf16_is_used_and_the_targets_stay_exact():
    seen = {}

    def objective(model, batch):
        seen["target"] = batch.target.dtype
        seen["hidden"] = model.encoder[1](batch.x).dtype
        return losses.elbo(model, batch)

    model = vae()
    history = fit(model, SMALL, objective, adam(model), epochs=1, precision="bf16-mixed", device="cpu")
    assert seen == {"target": torch.float32, "hidden": torch.bfloat16}
    assert math.isfinite(history[-1]["train/loss"]) and weights(model).dtype == torch.float32


def test_a_precision_of_ones_own_sees_every_step_and_the_way_without_fabrics_wrapper_is_the_same():
    class Counting(Precision):
        inputs = 0

        def convert_input(self, data):
            self.inputs += 1
            return data

    own, plain, precision = vae(), vae(), Counting()
    fabric = Fabric(accelerator="cpu", devices=1, plugins=precision)
    histories = [run(own, fabric=fabric), run(plain, device="cpu")]
    assert precision.inputs == 3 * math.ceil(len(SMALL) / 32)
    assert torch.equal(weights(own), weights(plain))
    assert histories[0][-1]["train/loss"] == histories[1][-1]["train/loss"]


def test_break_stops_and_keeps_what_was_done():
    history = History()
    for record in train(vae(), SMALL, losses.elbo, epochs=50, history=history):
        if record["epoch"] == 2:
            break
    assert len(history) == 2


def test_every_step_is_told():
    seen = []
    for _ in train(vae(), SMALL, losses.elbo, epochs=2, batch_size=100, tick=lambda *a: seen.append(a)):
        pass
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_frozen_parameters_stay():
    model = vae()
    model.encoder.requires_grad_(False)
    before, after = weights(model.encoder), weights(model.decoder)
    run(model)
    assert torch.equal(weights(model.encoder), before) and not torch.equal(weights(model.decoder), after)


@pytest.mark.parametrize(
    "keywords, message", [({"epochs": 0}, "at least 1"), ({"epochs": 1, "device": "cdua"}, "cdua")]
)
def test_bad_arguments_are_named(keywords, message):
    with pytest.raises(Exception, match=message):
        run(vae(), **keywords)
    with pytest.raises(ValueError, match="no images"):
        fit(vae(), SMALL[:0], losses.elbo, epochs=1)


def test_a_whole_split_and_an_optimizer_of_another_model_are_refused():
    with pytest.raises(TypeError, match=r"not Split: give it one part, as split\.train"):
        fit(vae(), DIGITS, losses.elbo, epochs=1)
    with pytest.raises(ValueError, match="made for another one"):
        run(vae(), adam(vae()))


def test_the_bar_in_a_log_file_is_lines():
    code = (
        "from aelib import *; from aelib import datasets; d = datasets.load('digits').train\n"
        "m = autoencoder(d.shape, 2, net='mlp'); fit(m, d, elbo, epochs=2, device='cpu')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "\r" not in done.stderr and done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith("epoch 2/2: train/loss")


def test_a_classifier_is_trained_by_the_same_loop():
    faces = datasets.load("drawn-faces", n=1200, size=32)
    data, test = (part.only("Wearing Hat", "Long Hair") for part in (faces.train, faces.test))
    torch.manual_seed(0)
    net = nn.Sequential(nets.Centre(), nets.ConvEncoder(data.shape, 2, (16, 32)), heads.Bernoulli())
    fit(net, data, losses.prediction, adam(net, 3e-3), epochs=5, batch_size=64)
    with torch.no_grad():
        batch = test.batch()
        right = ((net(batch.x).mean > 0.5) == (batch.y > 0.5)).float().mean(0)
    assert (right > 0.9).all(), right


def test_muon_holds_every_parameter_once_and_learns():
    model = vae()
    optimizers = training.muon(model)
    held = [p for o in optimizers["loss"] for g in o.param_groups for p in g["params"]]
    assert sorted(map(id, held)) == sorted(map(id, model.parameters()))
    assert all(p.ndim == 2 for g in optimizers["loss"][0].param_groups for p in g["params"])
    before = weights(model)
    history = run(model, optimizers)
    assert history[-1]["train/loss"] < history[0]["train/loss"] - 1
    assert ((weights(model) - before) != 0).float().mean() > 0.95
    assert len(training.muon(nn.Linear(3, 2, bias=False))["loss"]) == 1


class Weighed:
    """Rows of x, of which each counts as much as its weight says."""

    def __init__(self, x, weight=None):
        self.x, self.weight = x, weight

    def __len__(self):
        return len(self.x)

    def batches(self, size, seed=None, device="cpu", part=(0, 1)):
        whole = Batch(self.x, weight=self.weight)
        return Batches(iter([whole]), 1, len(self))


def test_an_example_that_weighs_twice_counts_as_two():
    x = torch.rand(4, 1, 2, 3, generator=torch.Generator().manual_seed(0))
    weight = torch.tensor([2.0, 1.0, 1.0, 1.0]) * 4 / 5
    trained = []
    for data in (Weighed(x, weight), Weighed(torch.cat([x[:1], x]))):
        torch.manual_seed(0)
        model = models.autoencoder((1, 2, 3), 2, net="linear", posterior="deterministic").double()
        data.x = data.x.double()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        history = list(train(model, data, losses.reconstruction, optimizer, epochs=3, valid=data))
        trained.append((history, torch.cat([p.flatten() for p in model.parameters()])))
    (a, mine), (b, repeated) = trained
    torch.testing.assert_close(mine, repeated)
    for ours, theirs in zip(a, b, strict=True):
        for key in ("train/loss", "valid/loss"):
            assert ours[key] == pytest.approx(theirs[key], rel=1e-6)


def test_a_graphs_epoch_is_one_step_whatever_the_batch_size():
    from aelib import graphs

    parts = graphs.split(graphs.load("digits"))
    model = graphs.autoencoder(parts.train.graph.features.shape[1], 4, posterior="deterministic")
    steps = []
    data = parts.train
    list(train(model, data, losses.reconstruction, epochs=2, batch_size=100, tick=lambda *n: steps.append(n)))
    assert steps == [(1, 2), (2, 2)] and len(data.batches(100)) == 1


def test_a_set_that_does_not_know_its_length_gets_a_sentence():
    class Endless(Weighed):
        def batches(self, *_, **__):
            yield Batch(self.x)

    with pytest.raises(TypeError, match=r"returns datasets\.Batches"):
        next(train(nn.Linear(2, 2), Endless(torch.rand(2, 2)), losses.reconstruction, epochs=1))


# ---- numbers without meaning -----------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [-1.0, -1e-9, math.inf, math.nan])
def test_a_learning_rate_that_a_schedule_makes_meaningless_is_refused(factor):
    with pytest.raises(ValueError, match="schedule of lr is a number from 0 up"):
        run(vae(), schedule={"lr": lambda t: 1.0 if t < 0.5 else factor})


def test_targets_below_0_of_a_bernoulli_are_said_once_and_no_others():
    rng = np.random.default_rng(0)
    low, inside = (
        datasets.Examples(x.astype(np.float32)) for x in (rng.normal(size=(40, 6)), rng.random((40, 6)))
    )

    def go(data, likelihood):
        model = models.autoencoder((6,), 2, net="mlp", hidden=(8,), likelihood=likelihood)
        fit(model, data, losses.elbo, epochs=2, batch_size=10, device="cpu")

    with pytest.warns(UserWarning, match="targets below 0 mean nothing") as said:
        go(low, "bernoulli")
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        go(inside, "bernoulli")
        go(low, "gaussian-learnt")
