"""What a notebook does with a model and data: a page, files of codes, networks for other programs."""

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from benchmarks import samples

from aelib import (
    contexts,
    datasets,
    evaluation,
    export,
    heads,
    latent,
    models,
    pretrained,
    priors,
    report,
    runs,
)
from aelib.datasets import Images, Split
from aelib.runs import RunError
from aelib.training import History

DIGITS = datasets.load("digits").head(60)
FACES = datasets.load("faces-sample")


def vae(shape=(1, 8, 8), **names):
    with contexts.seeded(0):
        return models.autoencoder(shape, 3, net="mlp", hidden=(16,), **names)


def with_codes_at(mean, **names):
    """A VAE whose posteriors are N(mean, 1), whatever the picture."""
    model = vae(**names)
    with torch.no_grad():
        last = model.encoder[1][1][-1]
        last.weight.zero_()
        last.bias.copy_(torch.tensor([mean] * 3 + [0.0] * 3))
    return model


def conditional(split):
    """The split with each picture's label beside it, as a condition."""

    def labelled(batch):
        return datasets.Batch(batch.x, c=torch.nn.functional.one_hot(batch.y, 10).float(), y=batch.y)

    return Split(*(part.map(labelled) for part in (split.train, split.valid, split.test)), "labelled")


# ---- a model and the data it is asked about --------------------------------------------------------------


@pytest.fixture
def run(tmp_path):
    """A run that was begun in Python."""
    model = vae()
    runs.save(tmp_path / "run", model, History([{"epoch": 1, "train/loss": 2.0, "seconds": 0.5}]))
    return tmp_path / "run"


def test_a_model_comes_with_data(run, tmp_path):
    model, split = pretrained.load_with_data(run, "digits", device="cpu")
    assert repr(split) == repr(datasets.load("digits"))
    assert torch.equal(
        model.encode(split.test[:3].batch().x).mean, vae().encode(split.test[:3].batch().x).mean
    )
    assert pretrained.load_with_data(run, DIGITS)[1] is DIGITS


def test_a_folder_of_photos_is_read_in_the_models_shape(run, tmp_path):
    from PIL import Image

    for i in range(5):
        Image.new("RGB", (20, 16), (50 * i, 0, 0)).save(tmp_path / f"{i}.png")
    _, split = pretrained.load_with_data(run, tmp_path)
    assert split.shape == (1, 8, 8) and len(split.train) == 3


@pytest.mark.parametrize(
    "data, says",
    [
        (None, "does not say what it was trained on: name the data"),
        ("digts", "Did you mean 'digits'?"),
        ("my/photos", "no dataset or folder of photos"),
        (FACES, r"cannot take these examples, which are \[1, 25, 25\]: it was built for \[1, 8, 8\]"),
    ],
    ids=str,
)
def test_data_that_do_not_fit_get_a_sentence(run, data, says):
    with pytest.raises((ValueError, RunError), match=says):
        pretrained.load_with_data(run, data)


def test_a_folder_that_is_no_run_gets_a_sentence(tmp_path):
    with pytest.raises(RunError, match="holds no checkpoint: it is no run"):
        pretrained.load_with_data(tmp_path, "digits")
    with pytest.raises(RunError, match="does not exist"):
        report.of_run(tmp_path / "nowhere")


def test_a_model_with_conditions_needs_data_that_carry_them():
    model = vae(conditions=10)
    for data in (None, DIGITS.train):
        with pytest.raises(ValueError, match="takes conditions of size 10"):
            evaluation.check(model, data)
    evaluation.check(model, conditional(DIGITS).train)


def test_a_model_made_by_hand_is_checked_by_asking_it():
    model = models.Autoencoder(vae().encoder, vae().decoder)
    assert model.recipe is None
    evaluation.check(model, DIGITS.test)
    with pytest.raises(ValueError, match=r"got \(1, 1, 25, 25\)"):
        evaluation.check(model, FACES.test)
    colour = models.autoencoder((3, 25, 25), 2)
    with pytest.raises(ValueError, match=r"cannot take these examples, which are \[1, 25, 25\]"):
        evaluation.check(models.Autoencoder(colour.encoder, colour.decoder), FACES.test)


def test_samples_come_from_the_prior_or_from_one_like_the_codes():
    model, plain = vae(), vae(posterior="deterministic")
    with contexts.seeded(4):
        expected = model.sample(5)
    torch.testing.assert_close(latent.sample(model, 5, seed=4), expected)
    some = latent.sample(plain, 4000, DIGITS.train)
    z = latent.encode(plain, DIGITS.train)
    decoded = latent.decode(plain, z.mean(0) + torch.randn(4000, 3) @ torch.linalg.cholesky(z.T.cov()).T)
    assert (some.mean(0) - decoded.mean(0)).abs().max() < 0.02
    with pytest.raises(ValueError, match="no prior to draw codes from"):
        latent.sample(plain, 5)


def test_the_benchmark_of_samples_measures_what_the_sampler_decides():
    digits = datasets.load("digits").head(200)
    near, far = (samples.measure(with_codes_at(at), digits) for at in (0.0, 40.0))
    assert near["own"] == near["sampler"] and "match" in near["said"]
    assert far["own"] != far["sampler"] and "nats per code away" in far["said"] and far["photos"] < far["own"]


def test_samples_of_a_conditional_model_keep_its_conditions():
    data, model = conditional(DIGITS), with_codes_at(40.0, conditions=10)
    drawn, said = latent.sampler(model, data.train)
    assert "nats per code away" in said and drawn.prior(None).mean.min() > 30
    c = data.test[:7].batch().c
    images = latent.sample(drawn, 7, c=c)
    assert images.shape == (7, 1, 8, 8) and not images.equal(latent.sample(drawn, 7, c=c.flip(0)))


def test_a_prior_over_a_codebook_is_kept():
    model = vae(posterior="deterministic")
    model.encoder[-1] = heads.VectorQuantizer(5, 3)
    model(DIGITS.train.batch().x)
    assert "has no prior" in latent.sampler(model, DIGITS.train)[1]
    model.prior = priors.Autoregressive(model.encoder[-1], 3, width=8, layers=1, heads=2)
    assert latent.sampler(model, DIGITS.train) == (model, "the prior over the codebook")


# ---- the page --------------------------------------------------------------------------------------------


def test_a_page_needs_a_model_and_pictures_and_no_run(tmp_path):
    history = History(
        [{"epoch": 1, "train/loss": 3.0, "seconds": 60.0}, {"epoch": 2, "train/loss": 2.0, "seconds": 75}]
    )
    file = report.write(
        tmp_path / "deep" / "a.html", with_codes_at(0.0), DIGITS, history, title="Mine <1>", settings={"β": 4}
    )
    text = file.read_text()
    assert file == tmp_path / "deep" / "a.html" and "<h1>Mine &lt;1&gt;</h1>" in text
    assert "random codes of the model&#x27;s prior, which its codes match" in text
    assert "the model's own prior" not in text
    assert "2 epochs in 2 min" in text and "β" in text and "rate: KL" in text and "Going on" not in text
    text = report.write(tmp_path / "a.html", with_codes_at(40.0), DIGITS).read_text()
    assert "fitted to 60 training codes, since" in text and text.count('alt="sample') == 2 * len(DIGITS.test)
    assert "Not kept." in report.write(tmp_path / "b.html", vae(), DIGITS).read_text()


@pytest.mark.parametrize("posterior", ["gaussian", "deterministic"])
def test_a_page_of_a_model_with_conditions(posterior, tmp_path):
    model = vae(conditions=10, posterior=posterior)
    assert "Samples" in report.write(tmp_path / "a.html", model, conditional(DIGITS)).read_text()
    with pytest.raises(ValueError, match="takes conditions"):
        report.write(tmp_path / "b.html", model, DIGITS)
    assert [p.name for p in tmp_path.iterdir()] == ["a.html"]


def test_the_page_of_a_run_begun_in_python_shows_its_history(run):
    text = report.of_run(run, "digits").read_text()
    assert "checkpoint: best" in text and "1 epochs in 0 s" in text and "aelib train --config" not in text
    assert report.of_run(run, DIGITS, file=run / "b.html") == run / "b.html"


@pytest.mark.parametrize(
    "file, split, says",
    [
        ("a.pdf", DIGITS, "ends in .html or .htm"),
        ("a.html", FACES, "cannot take these examples"),
        ("a.html", Split(DIGITS.train, DIGITS.valid, DIGITS.test[:0], "few"), "test part of few is empty"),
    ],
)
def test_a_page_that_cannot_be_gets_a_sentence(file, split, says, tmp_path):
    with pytest.raises(ValueError, match=says):
        report.write(tmp_path / file, vae(), split)
    assert not list(tmp_path.iterdir())


# ---- codes -----------------------------------------------------------------------------------------------


def test_codes_are_kept_with_what_is_known(tmp_path):
    model = vae()
    found = latent.save(tmp_path / "new" / "codes.npz", model, DIGITS)
    with np.load(tmp_path / "new" / "codes.npz") as kept:
        assert set(kept) == set(found) == {"codes", "part", "labels", "classes"}
        assert all((kept[k] == v).all() for k, v in found.items())
    assert found["codes"].shape == (90, 3) and (found["part"] == "test").sum() == 15
    assert (found["codes"][60:75] == latent.encode(model, DIGITS.valid).numpy()).all()
    latent.save(tmp_path / "codes.parquet", model, DIGITS)
    table = pd.read_parquet(tmp_path / "codes.parquet")
    assert list(table) == ["part", "class", "z0", "z1", "z2"]
    assert table["class"].tolist() == [str(label) for label in found["labels"]]


def test_conditions_that_the_data_carry_reach_the_encoder():
    model, split = vae(conditions=10), conditional(DIGITS)
    batch = split.test.batch()
    expected = model.encode(batch.x, batch.c).mean.detach().numpy()
    np.testing.assert_allclose(latent.coded(model, split)["codes"][75:], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "file, split, says",
    [("a.csv", DIGITS, "ends in .npz or .parquet"), ("a.npz", FACES, "cannot take these examples")],
)
def test_codes_that_cannot_be_written_get_a_sentence(file, split, says, tmp_path):
    with pytest.raises(ValueError, match=says):
        latent.save(tmp_path / file, vae(), split)
    assert not list(tmp_path.iterdir())


# ---- networks for other programs -------------------------------------------------------------------------


def test_networks_are_exported_from_a_model_and_examples(tmp_path):
    model = vae().train()
    differences = export.onnx(model, tmp_path / "x", DIGITS.test)
    assert list(differences) == [tmp_path / "x" / "encoder.onnx", tmp_path / "x" / "decoder.onnx"]
    assert max(differences.values()) < export.TOLERANCE and model.training
    session = onnxruntime.InferenceSession(str(tmp_path / "x" / "encoder.onnx"))
    x = DIGITS.valid[:5].batch().x
    expected = model.eval().encode(x).mean.detach().numpy()
    np.testing.assert_allclose(session.run(None, {"input": x.numpy()})[0], expected, atol=1e-5)


@pytest.mark.parametrize("net", ["linear", "conv", "fcn"])
def test_networks_of_every_kind_are_traced_for_any_number_of_pictures(net, tmp_path):
    model = models.autoencoder((3, 13, 10), 2, net=net, likelihood="gaussian-predicted")
    data = Images(np.random.default_rng(0).integers(0, 256, (5, 3, 13, 10), np.uint8))
    for examples in (data, torch.rand(4, 3, 13, 10)):
        assert max(export.onnx(model, tmp_path, examples).values()) < 1e-5


def test_an_export_that_cannot_be_gets_a_sentence(tmp_path):
    with pytest.raises(ValueError, match="takes conditions"):
        export.onnx(vae(conditions=10), tmp_path / "x", conditional(DIGITS).test)
    with pytest.raises(ValueError, match="cannot take these examples"):
        export.onnx(vae(), tmp_path / "x", FACES.test)
    assert not (tmp_path / "x").exists()
