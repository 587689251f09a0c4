"""Runs: what is saved comes back, and a training that was stopped ends as if it had not been."""

import inspect
import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from torch import nn

from aelib import cli, datasets, heads, losses, models, nets, pretrained, runs, training
from aelib.datasets import noisy
from aelib.runs import Run, RunError, fit, fitting
from aelib.training import History, adam, cosine, muon, train, warm_up

DIGITS = datasets.load("digits")
DATA, VALID = DIGITS.train[:300].map(noisy(0.1)), DIGITS.valid
SCHEDULE = {"beta": warm_up(0.5), "lr": cosine(0.1)}


def vae(norm=None):
    torch.manual_seed(0)
    return models.autoencoder(DIGITS.shape, 4, net="mlp", hidden=(32,), norm=norm)


def go(path, model=None, optimizers=None, **keywords):
    model = model or vae()
    keywords = {"epochs": 3, "batch_size": 64, "valid": VALID, "schedule": SCHEDULE} | keywords
    history = fit(model, DATA, losses.elbo, optimizers, run=path, **keywords)
    return model, history


def without_seconds(history):
    return [{k: v for k, v in record.items() if k != "seconds"} for record in history]


def same(a, b):
    return all(
        torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that ended by itself: folder, model, history."""
    path = tmp_path_factory.mktemp("runs") / "whole"
    return path, *go(path)


def asked_at(step, monkeypatch):
    """Somebody presses Ctrl-C during this step."""
    due, count = fitting.Keeper.due, iter(range(1, 10**6))

    def pressed(self):
        if next(count) == step:
            self.stop.asked = 2
        return due(self)

    monkeypatch.setattr(fitting.Keeper, "due", pressed)


@pytest.mark.parametrize("step", [1, 4, 5, 6, 15])  # of 5 an epoch
def test_ctrl_c_without_a_run_returns_the_history_and_goes_on_bit_equal(step, finished, pressing, capfd):
    _, whole, history = finished
    model, handler = vae(), signal.getsignal(signal.SIGINT)
    optimizer = adam(model)
    keywords = {"epochs": 3, "batch_size": 64, "valid": VALID, "schedule": SCHEDULE}
    begun = fit(model, DATA, pressing(step), optimizer, **keywords)
    assert len(begun) == (step - 1) // 5 and begun.unfinished.step == (step - 1) % 5 + 1
    line = capfd.readouterr().out
    assert f"stopped after {len(begun)} of 3 epochs and {begun.unfinished.step} step" in line
    assert "history=" in line and "Adam begins again" not in line and line.count("\n") == 1
    assert not model.training and signal.getsignal(signal.SIGINT) is handler
    ended = fit(model, DATA, losses.elbo, optimizer, history=begun, **keywords)
    assert ended is begun and same(model, whole) and without_seconds(ended) == without_seconds(history)


def test_ctrl_c_in_validation_stops_after_the_epoch(capfd):
    def objective(model, batch, **keywords):
        if not torch.is_grad_enabled():
            os.kill(os.getpid(), signal.SIGINT)
        return losses.elbo(model, batch, **keywords)

    model = vae()
    history = fit(model, DATA, objective, epochs=3, batch_size=64, valid=VALID)
    assert len(history) == 1 and history.unfinished is None
    assert "stopped after 1 of 3 epochs." in capfd.readouterr().out


def test_a_second_ctrl_c_stops_at_once_and_leaves_model_and_history_usable():
    def objective(model, batch, **keywords):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        return losses.elbo(model, batch, **keywords)

    model, history = vae(), History()
    with pytest.raises(KeyboardInterrupt):
        fit(model, DATA, objective, epochs=2, history=history)
    assert not model.training and len(history) == 0
    assert len(fit(model, DATA, losses.elbo, epochs=2, history=history)) == 2


@pytest.mark.parametrize("wrong, message", [
    ({"epoch": 1}, "Did you mean 'epochs'"), ({"epochs": 1, "batchsize": 3}, "Did you mean 'batch_size'"),
    ({"epochs": 1, "tick": print}, "no setting 'tick'"),
])  # fmt: skip
def test_a_setting_that_is_mistyped_is_found_before_anything_is_written(wrong, message, tmp_path):
    with pytest.raises(TypeError, match=message):
        fit(vae(), DATA, losses.elbo, run=tmp_path / "r", **wrong)
    assert not (tmp_path / "r").exists()


def test_fit_has_the_signature_of_train_and_its_defaults_stand_once():
    ours, theirs = (inspect.signature(f).parameters for f in (fit, train))
    assert set(ours) == set(theirs) - {"tick"} | {"run"}
    assert all(ours[k].default == p.default for k, p in theirs.items() if k not in ("tick", "epochs"))
    assert ours["epochs"].default is None  # which means: by the rule


@pytest.mark.parametrize("step", [1, 4, 5, 7, 14])  # of 5 an epoch
def test_a_training_stopped_at_any_step_ends_bit_equal(step, finished, tmp_path, monkeypatch):
    _, whole, history = finished
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt, match="everything is saved"):
        asked_at(step, patch)
        go(tmp_path / "run")
    torch.manual_seed(99)  # another process: another random state
    resumed, again = go(tmp_path / "run")
    assert same(whole, resumed) and without_seconds(history) == without_seconds(again)


MANY = {
    "two optimizers": lambda m: {"loss": [adam(m.encoder), adam(m.decoder)]},
    "muon": muon,
    "two losses": lambda m: {"loss": adam(m.encoder), "nll": adam(m.decoder)},
}


@pytest.mark.parametrize("name", MANY)
def test_every_kind_of_optimizers_goes_on(name, tmp_path, monkeypatch):
    whole = vae(nn.BatchNorm1d)
    _, history = go(tmp_path / "whole", whole, MANY[name](whole))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        asked_at(8, patch)
        go(tmp_path / "run", first := vae(nn.BatchNorm1d), MANY[name](first))
    resumed = vae(nn.BatchNorm1d)
    _, again = go(tmp_path / "run", resumed, MANY[name](resumed))
    assert same(whole, resumed) and without_seconds(history) == without_seconds(again)


def test_an_adversary_goes_on_too(tmp_path, monkeypatch):
    """The optimizers' own parameters, which are no part of the model, are saved with their states."""

    def game(path, press=None):
        torch.manual_seed(0)
        model, critic = vae(), nets.MLP(4, 8, 1)
        optimizers = {"loss": adam(model), "discriminator": adam(critic)}
        with monkeypatch.context() as patch:
            if press:
                asked_at(press, patch)
            objective = partial(losses.adversarial, critic=critic)
            fit(model, DATA, objective, optimizers, epochs=2, batch_size=64, run=path)
        return model, critic

    whole = game(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        game(tmp_path / "run", press=7)
    assert all(same(a, b) for a, b in zip(whole, game(tmp_path / "run"), strict=True))


def test_an_epoch_that_takes_long_is_saved_halfway_and_changes_nothing(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "SAVE_SECONDS", 0.0)
    seen = []
    save = runs.Run.save
    monkeypatch.setattr(runs.Run, "save", lambda self, *a: seen.append(save(self, *a).name))
    model, history = go(tmp_path / "run")
    assert seen[:3] == ["epoch-0000+00001", "epoch-0000+00002", "epoch-0000+00003"] and len(seen) == 15 + 3
    assert same(model, finished[1]) and without_seconds(history) == without_seconds(finished[2])


def test_a_run_that_has_ended_is_read_and_more_epochs_go_on(finished, tmp_path):
    path, whole, history = finished
    model, again = go(path)
    assert same(model, whole) and again == history
    constant = {"schedule": {}}
    four, _ = go(tmp_path / "four", epochs=4, **constant)
    go(tmp_path / "three", epochs=3, **constant)
    three, longer = go(tmp_path / "three", epochs=4, **constant)
    assert same(four, three) and len(longer) == 4


@pytest.mark.parametrize(
    "change, message",
    [
        ({"batch_size": 32}, "batch_size was 64, is 32"),
        ({"seed": 1}, "seed was 0, is 1"),
        ({"model": models.autoencoder(DIGITS.shape, 5, net="mlp", hidden=(32,))}, "latent was 4, is 5"),
    ],
)
def test_another_training_is_refused_and_the_folder_is_left_alone(change, message, finished):
    before = {p: p.stat().st_mtime_ns for p in finished[0].rglob("*") if p.is_file() and p.name != ".lock"}
    with pytest.raises(runs.RunError, match=message):
        go(finished[0], **change)
    assert before == {p: p.stat().st_mtime_ns for p in before}


def test_other_data_are_refused(finished):
    with pytest.raises(runs.RunError, match="fingerprint was"):
        fit(
            vae(),
            DIGITS.train[1:301],
            losses.elbo,
            epochs=3,
            batch_size=64,
            schedule=SCHEDULE,
            run=finished[0],
        )


def test_a_fingerprint_sees_pixels_labels_and_number():
    data = DIGITS.train[:50]
    other = datasets.Images(data.pixels.copy(), data.labels, data.classes)
    assert other.fingerprint() == data.fingerprint()
    other.store[7, 0, 3, 3] ^= 1
    assert len({d.fingerprint() for d in (data, other, data[:49], datasets.Images(data.pixels))}) == 4


def test_the_table_the_best_and_the_last(tmp_path):
    model, history = go(tmp_path, epochs=6, optimizers=adam(m := vae(), 0.5), model=m)  # which jumps about
    table = pd.read_csv(tmp_path / "history.csv", index_col="epoch")
    assert table["valid/loss"].tolist() == [r["valid/loss"] for r in history]
    best = min(history, key=lambda r: r["valid/loss"])
    run = runs.Run(tmp_path)
    assert len(run.names()) <= 3 and run.history() == history
    loaded = runs.load(tmp_path, device="cpu")
    assert training.assess(loaded, VALID, losses.elbo)["loss"] == pytest.approx(best["valid/loss"], rel=1e-6)
    assert same(runs.load(tmp_path, which="last"), model)
    with pytest.raises(runs.RunError, match="it has best, last, epoch-"):
        run.folder("epoch-0099")


@pytest.mark.parametrize("net", models.NETS)
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian-learnt", "laplace"])
def test_what_the_factory_made_comes_back(net, likelihood, tmp_path):
    model = models.autoencoder((3, 9, 7), 3, net=net, likelihood=likelihood, conditions=2).eval()
    runs.save(tmp_path, model)
    again = runs.load(tmp_path)
    x, c = torch.rand(2, 3, 9, 7), torch.rand(2, 2)
    assert torch.equal(model.reconstruct(x, c), again.reconstruct(x, c)) and not again.training
    file = next(tmp_path.rglob("*.safetensors"))
    assert same(runs.load(file), model)  # the file alone is enough


def test_a_model_made_by_hand_is_filled():
    def by_hand(size=3):
        return models.Autoencoder(
            nn.Sequential(nets.MLP(64, size), heads.Deterministic()),
            nn.Sequential(nets.MLP(size, 64), nets.Reshape(1, 8, 8), heads.Bernoulli()),
        )

    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        model = by_hand()
        runs.save(folder, model, History([{"epoch": 1, "train/loss": 2.0}]))
        with pytest.raises(runs.RunError, match="into=model"):
            runs.load(folder)
        with pytest.raises(runs.RunError, match="another model"):
            runs.load(folder, into=by_hand(4))
        assert same(runs.load(folder, into=by_hand()), model)
        assert runs.Run(folder).history()[0]["train/loss"] == 2.0


def test_pretrained_models_are_loaded_by_the_same_word():
    assert pretrained.load("pretrained/vae-mnist").sample(2).shape == (2, 1, 28, 28)
    for nearly in ("vae-mnist", "pretraned/vae-mnist"):
        with pytest.raises(runs.RunError, match=r"comes with aelib: load\('pretrained/vae-mnist'\)"):
            pretrained.load(nearly)


def test_tensorboard_reads_the_curves_the_pictures_and_the_codes(finished):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    path, _, history = finished
    (folder,) = {p.parent for p in path.rglob("events.out.tfevents*")}
    events = EventAccumulator(str(folder), {"scalars": 0, "images": 0, "histograms": 0}).Reload()
    curve = [(e.step, e.value) for e in events.Scalars("valid/loss")]
    assert curve == [(r["epoch"], pytest.approx(r["valid/loss"], rel=1e-6)) for r in history]
    assert {"reconstructions", "samples"} == set(events.Tags()["images"])
    assert len(events.Histograms("codes")) == len(history)
    codes = pd.read_csv(next(path.rglob("tensors.tsv")), sep="\t", header=None)
    q = runs.load(path, which="last").encode(VALID[:1000].batch().x)
    assert torch.allclose(torch.tensor(codes.to_numpy()).float(), q.mean, atol=1e-4)


def test_the_configuration_alone_repeats_the_run(tmp_path, capsys):
    options = ["--net=mlp", "--hidden=[16]", "--latent=3", "--noise=0.1", "--flip", "--warm-up=0.3"]
    cli.main(["train", "digits", *options, "--epochs=2", "--seed=4", f"--out={tmp_path}/one"])
    cli.main(["train", f"--config={tmp_path}/one/config.yaml", f"--out={tmp_path}/two"])
    assert same(runs.load(tmp_path / "one"), runs.load(tmp_path / "two"))
    cli.main(["resume", f"{tmp_path}/one", "--epochs=3"])
    assert len(runs.Run(tmp_path / "one").history()) == 3
    assert yaml.safe_load((tmp_path / "one/config.yaml").read_text())["epochs"] == 3
    capsys.readouterr()
    cli.main(["evaluate", f"{tmp_path}/one", "--json"])
    assert json.loads(capsys.readouterr().out)["images"] == len(DIGITS.test)


TWO = Path(__file__).with_name("two_devices.py")


def test_two_devices_agree_with_one(tmp_path):
    """Two gloo processes: a plain training, one with two losses, and one that was stopped halfway."""
    done = subprocess.run(
        [sys.executable, TWO, str(tmp_path)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for name, objective in (
        ("plain", losses.reconstruction),
        ("several", partial(losses.sparse, weight=0.1)),
    ):
        from two_devices import plain, train_on

        one, history = train_on(name, objective, None, None)
        two = runs.load(tmp_path / name, into=plain(), which="last", device="cpu")
        for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
        seen = runs.Run(tmp_path / name).history()
        assert [r["valid/loss"] for r in seen] == pytest.approx([r["valid/loss"] for r in history], rel=1e-5)
    assert json.loads((tmp_path / "parts.json").read_text()) == [32, 33]  # of each batch, its own part
    assert (tmp_path / "stopped-equals-plain").exists()


def test_which_and_into_are_never_ignored(finished, tmp_path):
    path, model, _ = finished
    file = Run(path).folder("last") / "model.safetensors"
    with pytest.raises(ValueError, match="without checkpoints"):
        runs.load(file, which="last")
    with pytest.raises(ValueError, match="without checkpoints"):
        pretrained.load("pretrained/vae-mnist", which="best")
    mine = vae()
    assert runs.load(path, mine, which="last", device="cpu") is mine and same(mine, model)
    with pytest.raises(RunError, match="another model"):
        pretrained.load("pretrained/vae-mnist", into=vae())
    with pytest.raises(ValueError, match="no device 'gpu'"):
        runs.load(path, device="gpu")
