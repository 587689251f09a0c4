"""The rule that chooses a training, and what a trained model is compared with."""

import itertools
from functools import partial

import numpy as np
import pytest
import torch
import yaml
from sklearn.decomposition import PCA

from aelib import baselines, cli, datasets, heads, losses, models, runs, training
from aelib.runs import fit

DIGITS = datasets.load("digits")
FEW, VALID = DIGITS.train[:64], DIGITS.valid[:50]


def vae(latent=4):
    torch.manual_seed(0)
    return models.autoencoder(FEW.shape, latent, net="mlp", hidden=(16,), likelihood="gaussian-learnt")


def same(a, b):
    return all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())


@pytest.fixture
def short(monkeypatch):
    """The rule with fewer steps."""
    monkeypatch.setattr(training.defaults, "STEPS", 80)


def test_without_epochs_the_rule_trains_and_says_so(short, capsys):
    model, again = vae(), vae()
    history = fit(model, FEW, losses.elbo, valid=VALID)
    choice = training.choose(vae(), FEW, losses.elbo)
    assert f"{choice}\n" in "".join(capsys.readouterr())
    assert str(choice).startswith("64 pictures: 80 steps in batches of 8 (10 epochs)")
    assert len(history) == choice.epochs == 10
    settings = {"epochs": 10, "batch_size": 8, "schedule": choice.schedules(), "valid": VALID}
    best = 10**9
    goal = choice.goal(losses.elbo)
    for record in training.train(again, FEW, goal, choice.optimizers(again), **settings):
        if record["valid/loss"] < best:
            best, kept = record["valid/loss"], {k: v.clone() for k, v in again.state_dict().items()}
    assert all(torch.equal(v, kept[k]) for k, v in model.state_dict().items())


def test_a_learnt_scale_has_no_say_in_which_epoch_is_best(short):
    model, plain = vae(), vae()
    choice = training.choose(model, FEW, losses.elbo)
    goal = choice.goal(losses.elbo)
    before = training.assess(model, VALID, goal, device="cpu")
    with torch.no_grad():
        model.decoder[-1].log_scale.add_(1.0)
    after = training.assess(model, VALID, goal, device="cpu")
    assert after == pytest.approx(before, rel=1e-5)
    assert training.assess(model, VALID, losses.elbo, device="cpu")["loss"] != pytest.approx(
        before["loss"], rel=0.1
    )
    # and training is that of the bound itself
    history = fit(vae(), FEW, losses.elbo, valid=VALID)
    records = training.train(
        plain,
        FEW,
        losses.elbo,
        choice.optimizers(plain),
        epochs=10,
        batch_size=8,
        schedule={"lr": training.cosine(training.defaults.WARM_UP)},
    )
    assert [r["train/loss"] for r in records] == [r["train/loss"] for r in history]
    # what it is not meant for stays as it is
    for other in (losses.iwae, partial(losses.elbo, error=losses.squared_error)):
        assert training.choose(vae(), FEW, other).goal(other) is other
    point = models.autoencoder(FEW.shape, 4, net="mlp", likelihood="gaussian")
    assert training.choose(point, FEW, losses.elbo).goal(losses.elbo) is losses.elbo


def test_a_step_of_the_rule_takes_a_million_numbers_at_most():
    for n, side in itertools.product((1, 20, 700, 60_000), (1, 28, 64, 128, 500)):
        images = datasets.Images(np.broadcast_to(np.uint8(0), (n, 3, side, side)))
        batch = training.choose(vae(), images).batch_size
        assert 8 <= batch <= 128 and batch.bit_count() == 1
        assert batch == 8 or (batch * 3 * side**2 <= 2**20 and batch <= 1.5 * n**0.5)


def test_convolutions_of_many_pictures_take_small_batches_and_see_as_many_pictures():
    for n, net in itertools.product((3999, 4000, 60_000), ("conv", "fcn", "mlp", "linear")):
        few = datasets.Images(np.broadcast_to(np.uint8(0), (n, 1, 28, 28)))
        convolves = net == "conv"
        model = models.autoencoder(few.shape, 4, net=net, likelihood="gaussian-learnt")
        choice, usual = training.choose(model, few), training.choose(vae(), few)
        assert choice.epochs == usual.epochs
        assert choice.batch_size == (32 if convolves and n >= 4000 else usual.batch_size)
        assert choice.steps == choice.epochs * -(-n // choice.batch_size)


@pytest.mark.parametrize("net, fewest, more, start", [
    ("conv", 1297, [], "random"), ("conv", 1298, [], "pca"), ("mlp", 1, [], "pca"),
    ("conv", 1297, ["--start=pca"], "pca"), ("mlp", 1298, ["--likelihood=bernoulli"], "random"),
])  # fmt: skip
def test_the_verb_starts_from_random_weights_where_the_pictures_are_many(
    net, fewest, more, start, monkeypatch, tmp_path
):
    monkeypatch.setitem(training.FROM_RANDOM, "conv", fewest)  # digits have 1,297 to train on
    out = tmp_path / "run"
    cli.main(["train", "digits", f"--net={net}", "--latent=2", "--epochs=1", f"--out={out}", *more])
    assert runs.Run(out).settings()["start"] == start


def test_what_is_given_stays_and_with_epochs_nothing_is_chosen(short, capsys):
    model = vae()
    sgd = torch.optim.SGD(model.parameters(), 0.0)
    before = [p.clone() for p in model.parameters()]
    seen = []

    def objective(model, batch, **keywords):
        seen.append((len(batch), keywords))
        return losses.elbo(model, batch, **keywords)

    schedule = {"beta": lambda t: 0.5}
    assert len(fit(model, FEW, objective, sgd, batch_size=32, schedule=schedule)) == 40
    assert set(map(str, seen)) == {"(32, {'beta': 0.5})"}
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert "your optimizer" in "".join(capsys.readouterr())
    plain, default = vae(), vae()
    fit(plain, FEW, losses.elbo, epochs=2, valid=VALID)
    for _ in training.train(default, FEW, losses.elbo, epochs=2, valid=VALID):
        pass
    assert same(plain, default) and "pictures" not in "".join(capsys.readouterr())


def test_a_run_by_the_rule_goes_on_by_the_same_call_and_remembers_it(short, pressing, tmp_path):
    whole, never = vae(), pressing(10**5)
    history = fit(whole, FEW, never, valid=VALID, run=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(vae(), FEW, pressing(20), valid=VALID, run=tmp_path / "part")
    assert len(runs.Run(tmp_path / "part").history()) == 2
    for _ in range(2):  # the second time it is only read
        model = vae()
        ended = fit(model, FEW, never, valid=VALID, run=tmp_path / "part")
        assert same(model, whole) and len(ended) == len(history)
    assert same(model, runs.load(tmp_path / "part"))
    assert "80 steps in batches of 8" in runs.Run(tmp_path / "part").about()["training"]["rule"]


def test_a_comparison_is_with_scikit_learns_pca():
    model = vae()
    found = baselines.compare(model, DIGITS.train, DIGITS.valid)
    x, y = (d.batch().x.flatten(1).numpy() for d in (DIGITS.train, DIGITS.valid))
    pca = PCA(4).fit(x)
    assert found.pca == pytest.approx(np.square(pca.inverse_transform(pca.transform(y)) - y).mean(), rel=1e-4)
    assert found.mean == pytest.approx(np.square(y - x.mean(0)).mean(), rel=1e-4)
    x_hat = model.reconstruct(DIGITS.valid.batch().x).flatten(1).numpy()
    assert found.mse == pytest.approx(np.square(x_hat - y).mean(), rel=1e-4)
    with pytest.raises(ValueError, match="training examples"):
        baselines.compare(model, DIGITS.train[:0], DIGITS.valid)


def test_numbers_in_units_of_their_own_are_compared_standardised():
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((300, 6)) @ rng.standard_normal((6, 6)) * 10.0 ** np.arange(6)).astype("float32")
    split = datasets.split(datasets.of(x))
    model = models.autoencoder((6,), 2, net="mlp", likelihood="gaussian-learnt", standardise=split.train)
    found = baselines.compare(model, split.train, split.valid)
    mean, std = split.train.values.mean(0), split.train.values.std(0)
    u, v = ((part.values - mean) / std for part in (split.train, split.valid))
    pca = PCA(2).fit(u)
    assert found.pca == pytest.approx(np.square(pca.inverse_transform(pca.transform(v)) - v).mean(), rel=1e-3)
    assert found.mean == pytest.approx(np.square(v).mean(), rel=1e-3)


def test_faces_may_be_mirrored_and_digits_may_not():
    faces = datasets.load("drawn-faces")
    few = faces.train[:200], faces.valid[:50]
    assert training.mirrored(*few) and not training.mirrored(DIGITS.train, DIGITS.valid)


@pytest.mark.parametrize("options, chosen", [
    ([], {"epochs": 5, "batch_size": 32, "optimizer": "adam", "lr": 1e-4, "flip": False}),
    (["--epochs=2", "--lr=0.1", "--flip"], {"epochs": 2, "batch_size": 32, "lr": 0.1, "flip": True}),
    (["--optimizer=muon", "--batch-size=512", "--quick"], {"epochs": 1, "batch_size": 512, "lr": 0.02}),
])  # fmt: skip
def test_the_command_line_keeps_what_is_set_and_stores_what_was_chosen(
    options, chosen, short, tmp_path, capsys
):
    words = ["train", "digits", "--net=linear", "--latent=4", *options]
    cli.main([*words, f"--out={tmp_path}/one"])
    said = "".join(capsys.readouterr())
    config = yaml.safe_load((tmp_path / "one" / "config.yaml").read_text())
    assert config | chosen == config and len(runs.Run(tmp_path / "one").history()) == chosen["epochs"]
    assert "1,297 pictures: " in said and (", mirrored at random" in said) == config["flip"]
    assert "validation: error" in said and "PCA's" in said
    cli.main([*words, f"--out={tmp_path}/one"])  # it has ended, and is only read
    cli.main(["train", f"--config={tmp_path}/one/config.yaml", f"--out={tmp_path}/two"])
    assert same(runs.load(tmp_path / "one"), runs.load(tmp_path / "two"))


def test_a_verdict_names_what_is_wrong_with_the_code():
    model = vae()
    assert "hardly better than the mean" in baselines.verdict(model, DIGITS.train, VALID)[1]
    with torch.no_grad():
        model.encoder[1][1][-1].bias.fill_(1e3)  # far from the prior
    assert any("KL is" in line for line in baselines.verdict(model, DIGITS.train, VALID))
    large = models.autoencoder(FEW.shape, 64, net="linear", posterior="deterministic")
    assert "loses nothing" in baselines.verdict(large, DIGITS.train, VALID)[0]
    coded = models.autoencoder(FEW.shape, 8, net="linear", posterior="deterministic")
    coded.encoder[-1] = heads.VectorQuantizer(100, 2)
    with torch.no_grad():
        coded.encoder[-1].codebook[3:] = 1e3
    assert any("of 100 vectors" in line for line in baselines.verdict(coded, DIGITS.train, VALID))


def letters(n=300, size=16):
    """Pictures of letters, somewhat moved."""
    from PIL import Image, ImageDraw, ImageFont

    rng, font, x = (
        np.random.default_rng(0),
        ImageFont.load_default(13),
        np.zeros((n, 1, size, size), np.uint8),
    )
    for i in range(n):
        picture = Image.new("L", (size, size))
        at = tuple(size / 2 + rng.uniform(-1.5, 1.5, 2))
        ImageDraw.Draw(picture).text(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[rng.integers(26)], 255, font, "mm")
        x[i, 0] = picture
    return datasets.split(x, test=0.25)


@pytest.mark.parametrize("split", [
    pytest.param(lambda: DIGITS.head(400), id="digits"),
    pytest.param(lambda: datasets.load("drawn-faces", n=400, size=16), id="drawn faces"),
    pytest.param(letters, id="letters"),
])  # fmt: skip
def test_the_default_is_not_worse_than_pca(split):
    """With validation data, on pictures that neither training nor the choice of the epoch has met."""
    parts = split()
    options = {"net": "conv", "likelihood": "gaussian-learnt", "start": parts.train}
    torch.manual_seed(0)
    model = models.autoencoder(parts.shape, min(64, int(np.prod(parts.shape)) // 8), **options)
    fit(model, parts.train, losses.elbo, valid=parts.valid)
    found = baselines.compare(model, parts.train, parts.test)
    assert found.mse < 1.02 * found.pca and found.pca < 0.5 * found.mean


def test_a_linear_model_stays_at_pca_however_many_the_pixels():
    """Adam moves every weight as far: over 49,152 of them a step that suits 64 destroys the code."""
    parts = datasets.load("drawn-faces", n=200, size=128)
    options = {"net": "linear", "likelihood": "gaussian-learnt", "start": parts.train}
    model = models.autoencoder(parts.shape, 32, **options)
    fit(model, parts.train, losses.elbo, valid=parts.valid)
    found = baselines.compare(model, parts.train, parts.test)
    assert found.mse < 1.03 * found.pca
