"""Scores of what does not belong: against NumPy, scipy, scikit-learn and simulation."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import betabinom, mannwhitneyu
from sklearn.datasets import load_digits
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator
from torch import nn

from aelib import AutoencoderOutlierDetector, cli, datasets, heads, latent, metrics, models, nets
from aelib.datasets import Examples, Images
from aelib.outliers import FLOOR, SCORES, Scores, detection, threshold

PLANE = np.random.default_rng(0).normal(size=(2, 6)).astype(np.float32)


def rows(n, seed, away=0.0):
    """Rows near a plane in six dimensions, and so far from it."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(n, 6)) * [0.1, 0.1, 0.1, 0.1, 0.1, 0.5]
    return (rng.normal(size=(n, 2)) @ PLANE + noise + away * np.eye(6)[0]).astype(np.float32)


@pytest.fixture(scope="module")
def plane():
    """A VAE that starts as the PCA of such rows, and the training and validation rows."""
    train, valid = Examples(rows(2000, 1)), Examples(rows(1000, 2))
    torch.manual_seed(0)
    model = models.autoencoder((6,), 2, net="linear", likelihood="gaussian-learnt", start=train)
    return model, train, valid


def numpy_errors(model, x):
    with torch.no_grad():
        return np.square(model.reconstruct(torch.tensor(x)).numpy() - x)


def test_errors_are_means_of_squares_in_units_of_the_validation_examples(plane):
    model, _, valid = plane
    scores, x = Scores(*plane), rows(50, 3, away=1.0)
    e, usual = numpy_errors(model, x), numpy_errors(model, valid.values).mean(0)
    usual = usual + FLOOR * usual.mean()
    assert np.allclose(scores(Examples(x), "error"), e.mean(1), rtol=1e-4)
    assert np.allclose(scores(Examples(x), "standardised"), (e / usual).mean(1), rtol=1e-4)
    assert np.allclose(scores.maps(Examples(x)), e / usual, rtol=1e-4)
    assert (scores(Examples(x)) == scores(Examples(x), "error")).all()


def test_what_is_not_known_counts_for_nothing(plane):
    model, train, _ = plane
    x = rows(40, 4)
    x[:, 5] = np.nan
    data = Examples(x, fill=train.mean)
    scores = Scores(*plane)
    seen = next(data.batches(40))
    e = np.square(model.reconstruct(seen.x).detach().numpy() - x)[:, :5]
    assert np.allclose(scores(data, "error"), e.mean(1), rtol=1e-4)
    assert (scores.maps(data)[:, 5] == 0).all()
    assert scores(data, "standardised").isfinite().all()


def test_the_distance_is_to_the_nearest_training_code_in_deviations(plane):
    model, train, _ = plane
    x = rows(30, 5)
    known, z = latent.encode(model, train).numpy(), latent.encode(model, Examples(x)).numpy()
    spread = known.std(0)
    each = np.linalg.norm((z[:, None] - known[None]) / spread, axis=2).min(1)
    assert np.allclose(Scores(*plane)(Examples(x), "distance"), each, rtol=1e-4)


def test_the_density_is_that_of_codes(plane):
    """Codes of normal rows are normal themselves: −log f(z) is half a squared distance and a constant."""
    model, train, _ = plane
    z = latent.draws(model, train)[0].double()
    x = rows(200, 6)
    code = latent.encode(model, Examples(x)).double() - z.mean(0)
    half = 0.5 * (code @ torch.linalg.inv(z.T.cov()) * code).sum(1)
    constant = 0.5 * torch.logdet(2 * torch.pi * z.T.cov())
    assert np.allclose(Scores(*plane)(Examples(x), "density"), half + constant, atol=0.15)


def test_bound_and_likelihood_are_the_library_s_and_that_of_a_gaussian_is_exact(plane):
    model, _, valid = plane
    data = valid[:100]
    found = {name: Scores(*plane)(data, name) for name in ("bound", "likelihood")}
    assert found["bound"].mean() == pytest.approx(
        sum(metrics.rate_distortion(model, data).values()), rel=1e-4
    )
    # p(x) of a linear decoder is N(b, W Wᵀ + σ²)
    w = model.decode(torch.eye(2)).mean - model.decode(torch.zeros(2, 2)).mean
    b, sigma = model.decode(torch.zeros(1, 2)).mean[0], model.decode(torch.zeros(1, 2)).stddev[0]
    exact = torch.distributions.MultivariateNormal(b, w.T @ w + torch.diag(sigma**2))
    assert (found["likelihood"] + exact.log_prob(torch.tensor(data.values))).abs().mean() < 0.05


def test_the_correction_is_what_a_png_costs(tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (4, 1, 32, 32), dtype=np.uint8)
    flat = np.full((4, 1, 32, 32), 99, np.uint8)
    data = Images(np.concatenate([noise, flat]))
    torch.manual_seed(0)
    model = models.autoencoder((1, 32, 32), 2, net="mlp", hidden=(8,))
    scores = Scores(model, data, data)
    nats = (scores(data, "likelihood") - scores(data, "corrected")).numpy()
    sizes = []
    for x in (noise[0], flat[0]):
        Image.fromarray(x[0]).save(tmp_path / "x.png", optimize=True)
        sizes.append((tmp_path / "x.png").stat().st_size)
    assert nats[0] - nats[4] == pytest.approx(8 * np.log(2) * (sizes[0] - sizes[1]), rel=0.05)
    with pytest.raises(TypeError, match="is of pictures"):
        table = Examples(rows(20, 1))
        Scores(models.autoencoder((6,), 2, net="mlp"), table, table)(table, "corrected")


def test_strangers_have_larger_scores(plane):
    scores, normal, strange = Scores(*plane), Examples(rows(300, 7)), Examples(rows(300, 8, away=2.0))
    both = np.repeat([0, 1], 300)
    for name in ("error", "standardised", "bound", "likelihood"):
        found = torch.cat([scores(normal, name), scores(strange, name)])
        assert roc_auc_score(both, found) > 0.95, name


@pytest.mark.parametrize("n, rate", [(99, 0.05), (200, 0.01), (1000, 0.01), (500, 0.2), (19, 0.05)])
def test_a_threshold_keeps_its_rate_of_false_alarms(n, rate):
    """Of uniform scores the share above t is 1 − t: the stated interval holds it in 95 of 100 repetitions."""
    rng = np.random.default_rng(n)
    found = [threshold(rng.uniform(size=n), rate) for _ in range(2000)]
    true = np.array([1 - t.value for t in found])
    inside = np.mean([t.low <= share <= t.high for t, share in zip(found, true, strict=True)])
    assert inside == pytest.approx(0.95, abs=0.02)
    assert true.mean() == pytest.approx(found[0].rate, abs=4 * true.std() / 2000**0.5)
    assert found[0].rate <= rate + 1e-12


@pytest.mark.parametrize(
    "scores, rate, said",
    [
        (np.arange(9.0), 0.0, "lies between 0 and 1"),
        (np.arange(9.0), 1.0, "lies between 0 and 1"),
        (np.arange(9.0), 0.01, "keep back at least 99, or take a larger rate"),
        (np.ones(500), 0.01, "not all equal; got 500 scores from 1 to 1"),
        ([1.0], 0.5, "several examples"),
        ([], 0.5, "several examples"),
        ([1.0, np.nan, 2.0], 0.5, "finite"),
    ],
)
def test_a_threshold_that_cannot_be(scores, rate, said):
    with pytest.raises(ValueError, match=said):
        threshold(np.array(scores), rate)


def test_auroc_is_the_share_of_pairs_in_order_and_lies_in_its_interval():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=300), rng.uniform(size=300) < 0.3
    x[y] += 1
    found = detection(x, y)
    pairs = mannwhitneyu(x[y], x[~y]).statistic / (y.sum() * (~y).sum())
    assert found["auroc"].value == pytest.approx(pairs)
    # its error by Hanley and McNeil, 1982
    a, m, n = pairs, y.sum(), (~y).sum()
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    error = np.sqrt((a * (1 - a) + (m - 1) * (q1 - a * a) + (n - 1) * (q2 - a * a)) / (m * n))
    assert found["auroc"].high - found["auroc"].low == pytest.approx(2 * 1.96 * error, rel=0.2)
    for estimate in found.values():
        assert estimate.low < estimate.value < estimate.high
    for kind in (np.zeros(5), np.ones(5)):
        with pytest.raises(ValueError, match="all 5 examples are"):
            detection(np.arange(5.0), kind)
    with pytest.raises(ValueError, match="1 of them NaN"):
        detection([1.0, np.nan], [0, 1])
    with pytest.raises(ValueError, match=r"scores \(5,\), 0 of them NaN, and \(4,\)"):
        detection(np.arange(5.0), [0, 1, 0, 1])


def test_measures_of_equal_scores_are_scikit_learn_s():
    rng = np.random.default_rng(1)
    for n in (2, 30, 400):
        x, y = rng.integers(0, 5, n), np.arange(n) % 3 == 1
        found = detection(x, y)
        assert found["auroc"].value == pytest.approx(roc_auc_score(y, x))
        assert found["average precision"].value == pytest.approx(average_precision_score(y, x))


@pytest.mark.parametrize("rate", [0.02, 0.1])
def test_new_digits_alarm_as_often_as_is_stated(rate):
    """Digits that were kept back are parted in two at random: those that set the threshold, and new ones.

    Of M new ones the share above follows a beta-binomial law; its middle 95 % are stated for M → ∞.
    """
    split = datasets.load("digits")
    torch.manual_seed(0)
    model = models.autoencoder(split.shape, 8, net="mlp", posterior="deterministic", likelihood="gaussian",
                               start=split.train)  # fmt: skip
    kept = split.all[len(split.train) :]
    scores, rng = Scores(model, split.train, split.valid)(kept).numpy(), np.random.default_rng(0)
    inside, n = [], 199
    new = len(kept) - n
    low, high = betabinom.ppf([0.025, 0.975], new, rate * (n + 1), (1 - rate) * (n + 1))
    for _ in range(400):
        order = rng.permutation(len(kept))
        limit = threshold(scores[order[:n]], rate)
        inside.append(low <= (scores[order[n:]] > limit.value).sum() <= high)
        assert limit.rate == pytest.approx(rate) and low / new <= limit.low < limit.high <= high / new
    assert np.mean(inside) >= 0.93


def test_bad_input_is_a_sentence(plane):
    model, train, valid = plane
    with pytest.raises(ValueError, match="Did you mean 'error'"):
        Scores(*plane)(valid, "eror")
    with pytest.raises(ValueError, match="valid is empty"):
        Scores(model, train, valid[:0])
    exact = models.autoencoder((6,), 2, net="mlp", posterior="deterministic", likelihood="gaussian")
    with pytest.raises(TypeError):
        Scores(exact, train, valid)(valid, "bound")
    with torch.no_grad():
        for p in exact.parameters():
            p.zero_()
    nothing = Examples(np.zeros((5, 6), np.float32))
    with pytest.raises(ValueError, match="reconstructed without any error"):
        Scores(exact, train, nothing)(valid, "standardised")
    broken = models.autoencoder((6,), 2, net="mlp", posterior="deterministic", likelihood="gaussian")
    with torch.no_grad():
        next(broken.parameters()).fill_(torch.nan)
    with pytest.raises(ValueError, match="1,000 of 1,000 scores 'error' are not finite"):
        Scores(broken, train, valid)(valid)


SHAPES = {
    "table": ((6,), "mlp"), "series": ((2, 24), "conv"), "pictures": ((3, 9, 11), "conv"),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
@pytest.mark.parametrize("posterior", ["deterministic", "gaussian"])
@pytest.mark.parametrize("data", SHAPES)
def test_examples_of_any_shape_and_type_have_all_scores_that_the_model_knows(data, posterior, dtype):
    shape, net = SHAPES[data]
    x = np.random.default_rng(0).integers(0, 256, (60, *shape)).astype(np.uint8)
    data = Examples(x if dtype == np.uint8 else x / 255)
    torch.manual_seed(0)
    model = models.autoencoder(shape, 3, net=net, posterior=posterior, likelihood="gaussian", hidden=(8, 8))
    scores = Scores(model, data[:40], data[40:])
    for name in SCORES:
        without = posterior == "deterministic" and name in ("bound", "likelihood", "corrected")
        if without or (name == "corrected" and len(shape) < 3):
            with pytest.raises(TypeError, match="For a plain autoencoder" if without else "is of pictures"):
                scores(data, name)
        else:
            assert scores(data, name).shape == (60,)
    assert scores.maps(data).shape == (60, *shape)


def test_codes_with_places_codebooks_and_conditions_have_scores_too():
    digits = datasets.load("digits")
    some = digits.train[:60]
    labelled = some.map(datasets.conditioned(10))
    torch.manual_seed(0)
    by_places = models.autoencoder(some.shape, 2, net="fcn", hidden=(8, 8))
    by_label = models.autoencoder(some.shape, 3, net="mlp", hidden=(8,), conditions=10)
    quantised = models.Autoencoder(
        nn.Sequential(nets.MLP(64, 16), nets.Reshape(4, 2, 2), heads.VectorQuantizer(8, 4)),
        nn.Sequential(nets.MLP(16, 64), nets.Reshape(1, 8, 8), heads.Bernoulli()),
    )
    for model, data in ((by_places, some), (by_label, labelled), (quantised, some)):
        scores = Scores(model, data, data)
        for name in ("error", "standardised", "density", "distance"):
            assert scores(data, name).shape == (60,), name
    assert Scores(by_label, labelled, labelled)(labelled, "likelihood").shape == (60,)
    with pytest.raises(ValueError, match="takes conditions of size 10, and none are given"):
        Scores(by_label, some, some)
    with pytest.raises(TypeError, match="ELBO needs a posterior"):
        Scores(quantised, some, some)(some, "bound")


def test_one_example_examples_all_alike_and_a_constant_feature():
    x = rows(50, 1)
    x[:, 2] = 0.25
    torch.manual_seed(0)
    model = models.autoencoder((6,), 2, net="mlp", posterior="deterministic", likelihood="gaussian")
    for data in (Examples(x), Examples(x[:1]), Examples(np.repeat(x[:1], 9, 0))):
        scores = Scores(model, data, data)
        for name in ("error", "standardised", "density", "distance"):
            assert scores(data, name).shape == (len(data),), name
    with pytest.raises(ValueError, match="not all equal; got 9 scores"):
        threshold(scores(data), 0.2)
    with pytest.raises(ValueError, match="no examples to score"):
        scores(data[:0])
    with pytest.raises(ValueError, match=r"built for|cannot take"):
        scores(Examples(x[:, :5]))


# ---- the estimator -----------------------------------------------------------------------------------------


def test_scikit_learn_accepts_the_detector():
    done = check_estimator(AutoencoderOutlierDetector(epochs=2, hidden=(8,), device="cpu"), on_skip=None)
    assert len(done) > 40
    assert {check["check_name"] for check in done if check["status"] != "passed"} <= {"check_array_api_input"}


def test_it_stands_in_a_loop_beside_others():
    normal, strange = rows(1000, 9), rows(50, 10, away=4.0)
    y = np.repeat([1, -1], [1000, 50])
    for detector in (
        AutoencoderOutlierDetector(2, epochs=60, contamination=0.05, random_state=0),
        IsolationForest(contamination=0.05, random_state=0),
        LocalOutlierFactor(contamination=0.05, novelty=True),
    ):
        found = make_pipeline(StandardScaler(), detector).fit(normal)
        assert np.mean(found.predict(normal) == -1) == pytest.approx(0.05, abs=0.02)
        values = found.decision_function(np.concatenate([normal, strange]))
        assert roc_auc_score(y, values) > 0.9, detector
        assert ((values < 0) == (found.predict(np.concatenate([normal, strange])) == -1)).all()


@pytest.mark.parametrize("digit", [0, 6])
def test_outliers_among_its_own_training_rows_are_found_where_nothing_is_tuned(digit):
    x, y = load_digits(return_X_y=True)
    normal, others = x[y == digit], x[y != digit]
    few = others[np.random.default_rng(digit).permutation(len(others))[: len(normal) // 20]]
    x = np.concatenate([normal, few]) / 16
    found = -AutoencoderOutlierDetector(8, random_state=0).fit(x).score_samples(x)
    assert roc_auc_score(np.repeat([0, 1], [len(normal), len(few)]), found) > 0.95


@pytest.mark.parametrize("share", [0.0, 0.6, -0.1])
def test_a_contamination_that_cannot_be(share):
    with pytest.raises(ValueError, match="contamination"):
        AutoencoderOutlierDetector(contamination=share, epochs=1).fit(rows(20, 1))


# ---- the verb ----------------------------------------------------------------------------------------------


def picture(rng, strange=False):
    """A soft bar, somewhere, or a ring."""
    i, j = np.mgrid[:16, :16]
    middle = rng.uniform(4, 12)
    away = np.hypot(i - 8, j - middle) - 4 if strange else j - middle
    return np.round(255 * np.exp(-np.square(away) / 4)).astype(np.uint8)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on a folder of bars, and a folder of bars with three rings among them."""
    root, rng = tmp_path_factory.mktemp("bars"), np.random.default_rng(0)
    for folder, bars in (("normal", 400), ("mixed/bar", 60)):
        (root / folder).mkdir(parents=True)
        for k in range(bars):
            Image.fromarray(picture(rng)).save(root / folder / f"{k:03}.png")
    (root / "mixed/ring").mkdir()
    for k in range(3):
        Image.fromarray(picture(rng, True)).save(root / "mixed/ring" / f"r{k}.png")
    cli.main([
        "train", str(root / "normal"), "--size", "16", "--channels", "1", "--latent", "4", "--net", "mlp",
        "--epochs", "30", "--out", str(root / "run"),
    ])  # fmt: skip
    return root


def said(capsys, *words):
    capsys.readouterr()
    cli.main([str(w) for w in words])
    return capsys.readouterr().out


def test_the_rings_are_found_and_shown(trained, capsys):
    out = said(capsys, "outliers", trained / "run", trained / "mixed", "--rate", "0.05", "--normal", "bar",
               "--out", trained / "sheet.html")  # fmt: skip
    assert {line.split("  ")[1] for line in out.splitlines()[1:4]} == {f"ring/r{k}.png" for k in range(3)}
    assert re.search(r"AUROC 1\.000", out)
    page = (trained / "sheet.html").read_text("utf-8")
    assert page.count("<img") == 3 * 32 and page.index("ring/r") < page.index("bar/")
    found = json.loads(
        said(capsys, "outliers", trained / "run", trained / "mixed", "--rate", "0.05", "--json")
    )
    assert {Path(one["file"]).name for one in found["strange"][:3]} == {"r0.png", "r1.png", "r2.png"}
    assert found["threshold"]["low"] < found["threshold"]["rate"] < found["threshold"]["high"]
    assert all(one["score"] > found["threshold"]["value"] for one in found["strange"])


def test_without_data_the_run_s_own_pictures_are_looked_through(trained, capsys, tmp_path):
    out = said(capsys, "outliers", trained / "run", "--rate", "0.1")
    assert "of 400 pictures" in out and "trained on are among them, whose error is small" in out
    for k in range(12):
        Image.fromarray(picture(np.random.default_rng(k), True)).save(tmp_path / f"{k}.png")
    assert "trained on are among" not in said(capsys, "outliers", trained / "run", tmp_path)
    assert "trained on are among" in said(capsys, "outliers", trained / "run", trained / "normal")


def test_where_nothing_says_what_was_normal_most_pictures_are(trained, capsys, tmp_path):
    """Of a file of weights; and a photo that cannot be read stops nothing."""
    weights = next((trained / "run").rglob("*.safetensors"))
    shutil.copytree(trained / "mixed", tmp_path / "mixed")
    (tmp_path / "mixed/bar/torn.png").write_bytes(b"no picture")
    out = said(capsys, "outliers", weights, tmp_path / "mixed")
    assert "of 63 pictures" in out and "since nothing here says what the model was trained on" in out


@pytest.mark.parametrize(
    "words, said_",
    [
        (["--rate", "0"], "lies between 0 and 1"),
        (["--rate", "0.0001"], "keep back at least 9,999"),
        (["--score", "eror"], "Did you mean 'error'"),
        (["--normal", "bars"], "Did you mean 'bar'"),
        (["--out", "sheet.png"], ".html"),
        (["--out", "mine.html"], "mine.html exists, and aelib did not write it"),
    ],
)
def test_what_cannot_be_asked(words, said_, trained, capsys, monkeypatch):
    monkeypatch.chdir(trained)
    (trained / "mine.html").write_text("my own page")
    with pytest.raises(SystemExit):
        said(capsys, "outliers", "run", "mixed", *words)
    assert said_ in capsys.readouterr().err


@pytest.mark.parametrize(
    "run, said_", [("rum", "rum does not exist"), ("pretrained/ae-lfv", "Did you mean 'ae-lfw'")]
)
def test_a_run_that_is_not_there(run, said_, trained, capsys, monkeypatch):
    monkeypatch.chdir(trained)
    with pytest.raises(SystemExit):
        said(capsys, "outliers", run, "mixed")
    assert said_ in capsys.readouterr().err
