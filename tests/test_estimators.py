import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from aelib import AutoencoderTransformer

X, Y = load_digits(return_X_y=True)
SMALL = {"hidden": (8,), "epochs": 2, "device": "cpu", "random_state": 0}


def made(**keywords):
    return AutoencoderTransformer(**SMALL | keywords)


@pytest.mark.parametrize(
    "keywords",
    [SMALL, SMALL | {"posterior": "gaussian"}, {"device": "cpu"}],
    ids=["plain", "vae", "default"],
)
def test_scikit_learn_accepts_it(keywords):
    done = check_estimator(AutoencoderTransformer(**keywords), on_skip=None)
    assert len(done) > 40
    assert {check["check_name"] for check in done if check["status"] != "passed"} <= {"check_array_api_input"}


def r2(fitted, x, mean):
    return 1 - np.square(x - fitted.inverse_transform(fitted.transform(x))).sum() / np.square(x - mean).sum()


def test_a_linear_one_explains_what_pca_explains_and_spans_its_plane():
    train, test = X[:1200] * 3 - 100, X[1200:] * 3 - 100
    pca = PCA(4).fit(train)
    ae = made(n_components=4, net="linear", hidden=None, lr=0.02, epochs=60, batch_size=32).fit(train)
    best = pca.explained_variance_ratio_.sum()
    assert r2(pca, train, pca.mean_) == pytest.approx(best)
    assert best - 0.002 < ae.score(train) <= best + 1e-9  # nothing linear of this size explains more
    assert ae.score(test) == pytest.approx(r2(pca, test, pca.mean_), abs=0.005)
    moves = ae.inverse_transform(np.eye(4)) - ae.inverse_transform(np.zeros((1, 4)))
    ours = np.linalg.qr(moves.T)[0]
    assert np.linalg.svd(pca.components_ @ ours)[1].min() > 0.99  # cosines of the angles between the planes


@pytest.mark.parametrize("load, k", [(load_wine, 2), (load_breast_cancer, 4), (load_iris, 2)])
def test_who_tunes_nothing_is_better_than_pca_on_new_rows_of_a_small_table(load, k):
    whole, ratios = StandardScaler().fit_transform(load().data), []
    for seed in range(4):  # a few dozen rows alone say little
        x = whole[np.random.default_rng(seed).permutation(len(whole))]
        train, test = x[: len(x) * 3 // 4], x[len(x) * 3 // 4 :]
        pca, ae = PCA(k).fit(train), AutoencoderTransformer(k, random_state=0).fit(train)
        ratios.append((1 - ae.score(test)) / (1 - r2(pca, test, train.mean(0))))
    assert np.mean(ratios) < 1


def test_the_score_is_that_of_its_inverse_transform_against_the_training_mean():
    ae = made().fit(X[:200])
    assert ae.score(X[200:]) == pytest.approx(r2(ae, X[200:], X[:200].mean(0)), abs=1e-12)


@pytest.mark.parametrize("posterior", ["deterministic", "gaussian"])
def test_its_samples_have_the_moments_of_the_reconstructions(posterior):
    likelihood = "gaussian" if posterior == "deterministic" else "gaussian-optimal"
    ae = made(n_components=3, posterior=posterior, likelihood=likelihood, epochs=20).fit(X * 3 - 100)
    rows, made_of = ae.sample(1500, random_state=0), ae.inverse_transform(ae.codes_)
    assert rows.shape == X[:1500].shape and np.array_equal(rows[:1], ae.sample(1500, random_state=0)[:1])
    assert not np.array_equal(ae.sample(2), ae.sample(2)), "without a seed they are new ones each time"
    spread = made_of.std(0).mean()
    assert np.abs(rows.mean(0) - made_of.mean(0)).max() < 0.3 * spread
    assert rows.std(0).mean() == pytest.approx(spread, rel=0.15)
    for bad in (0, 2.5):
        with pytest.raises((ValueError, TypeError), match="n_samples"):
            ae.sample(bad)


@pytest.mark.parametrize("scale, shift", [(1e-6, 0), (1e5, -3e6)])
def test_units_do_not_matter(scale, shift):
    a, b = made().fit(X), made().fit(X * scale + shift)
    np.testing.assert_allclose(b.transform(X * scale + shift), a.transform(X), rtol=1e-3, atol=1e-4)
    z = a.transform(X[:9])
    np.testing.assert_allclose(
        b.inverse_transform(z), a.inverse_transform(z) * scale + shift, rtol=1e-3, atol=1e-3 * scale
    )


def test_one_map_for_all_features_takes_the_training_range_to_01():
    ae = made().fit(X[:, :5] + 3)
    seen = []
    ae.model_.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    ae.transform(X[:, :5] + 3)
    seen = torch.cat(seen).flatten(1).numpy()
    np.testing.assert_allclose(seen, X[:, :5] / X[:, :5].max(), atol=1e-12)
    constant = made().fit(np.full((9, 3), 7.0))
    assert np.isfinite(constant.transform(np.full((2, 3), 7.0))).all() and constant.score([[7.0] * 3]) == 0


def test_a_row_has_its_own_code_in_its_own_precision():
    ae = made(net="conv", shape=(1, 8, 8), n_components=3).fit(X[:300])
    z, z32 = ae.transform(X), ae.transform(X.astype(np.float32))
    np.testing.assert_allclose(np.vstack([ae.transform(x[None]) for x in X[:5]]), z[:5], rtol=1e-12)
    assert z32.dtype == ae.inverse_transform(z32).dtype == np.float32
    assert z.dtype == ae.inverse_transform(z).dtype == ae.transform(X.astype(int)).dtype == np.float64
    np.testing.assert_allclose(z32, z, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("net, n_out", [("linear", 2), ("mlp", 2), ("conv", 2), ("fcn", 2 * 3)])
@pytest.mark.parametrize("posterior", ["deterministic", "gaussian"])
@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli", "gaussian-predicted"])
def test_every_kind_goes_there_and_back(net, n_out, posterior, likelihood):
    """With rows that hold images of 3 × 11; "fcn" has codes at ⌈3/4⌉ × ⌈11/4⌉ places."""
    x = np.random.default_rng(0).normal(size=(12, 2 * 3 * 11))
    hidden = None if net == "linear" else (4,) if net == "mlp" else (4, 4)
    ae = made(net=net, shape=(2, 3, 11), posterior=posterior, likelihood=likelihood, hidden=hidden).fit(x)
    z = ae.transform(x)
    assert z.shape == (12, n_out) and len(ae.get_feature_names_out()) == n_out
    images = torch.tensor((x - x.min()) / np.ptp(x)).reshape(12, 2, 3, 11)
    x_hat = copy.deepcopy(ae.model_).double().reconstruct(images).flatten(1).numpy()
    np.testing.assert_allclose(ae.inverse_transform(z), x_hat * np.ptp(x) + x.min(), rtol=1e-9)
    assert set(ae.history_[0]) >= ({"train/loss"} if posterior == "deterministic" else {"train/kl"})


def test_beta_weighs_the_kl_term():
    keywords = {"posterior": "gaussian", "epochs": 30, "lr": 0.01}
    kl = [made(beta=beta, **keywords).fit(X[:400]).history_[-1]["train/kl"] for beta in (0, 0.05, 1)]
    assert kl[0] > 2 * kl[1] > 20 * kl[2]


def test_in_a_grid_search_beside_pca():
    pipe = make_pipeline(PCA(), LogisticRegression(max_iter=500))
    grid = [{"pca": [PCA(6), made(net="linear", hidden=None, n_components=6, lr=0.02, epochs=40)]}]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        search = GridSearchCV(pipe, grid, cv=2, error_score="raise").fit(X[:600] / 16, Y[:600])
        own = GridSearchCV(made(), {"n_components": [1, 4]}, cv=2, error_score="raise").fit(X[:200])
    assert search.cv_results_["mean_test_score"].min() > 0.5  # chance is 0.1
    assert np.isfinite(own.cv_results_["mean_test_score"]).all()


def test_clones_copies_and_the_same_seed_give_the_same_codes():
    ae = made(posterior="gaussian").fit(X[:200])
    z = ae.transform(X)
    torch.manual_seed(123)  # must not matter
    same = (clone(ae).fit(X[:200]), pickle.loads(pickle.dumps(ae)), made(posterior="gaussian").fit(X[:200]))
    assert all(np.array_equal(other.transform(X), z) for other in same)
    assert all(p.grad is None and p.device.type == "cpu" for p in ae.model_.parameters())
    drawn = [made(random_state=np.random.RandomState(5)).fit(X[:50]).transform(X) for _ in range(2)]
    assert np.array_equal(*drawn)


@pytest.mark.parametrize(
    "changed",
    [
        {"epochs": 3},
        {"batch_size": 50},
        {"lr": 0.1},
        {"hidden": (9,)},
        {"likelihood": "laplace"},
        {"random_state": 1},
    ],
    ids=str,
)
def test_every_argument_does_something(changed):
    ae = made().fit(X[:200])
    other = clone(ae).set_params(**changed).fit(X[:200])
    assert not np.allclose(other.transform(X), ae.transform(X), rtol=1e-3)


def test_fitting_is_silent_and_leaves_the_randomness_of_torch_alone(capfd):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made(posterior="gaussian").fit(X[:50]).transform(X)
    assert torch.equal(torch.get_rng_state(), before)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "keywords, error, message",
    [
        ({"net": "mpl"}, ValueError, "no net 'mpl'. Did you mean 'mlp'"),
        ({"posterior": "gauss"}, ValueError, "no posterior 'gauss'. Did you mean 'gaussian'"),
        ({"likelihood": "x"}, ValueError, "no likelihood 'x'.*Known: bernoulli"),
        ({"shape": (1, 8, 9)}, ValueError, "makes 72 numbers a row, but X has 64 features.*or None"),
        ({"shape": (2, 2, 2, 2, 4)}, ValueError, r"shape is \(D,\), \(C, T\)"),
        ({"net": "conv"}, ValueError, 'use net="mlp"'),
        ({"hidden": 64}, ValueError, r"write \(64,\), not 64"),
        ({"net": "linear"}, ValueError, "no hidden layers"),
        ({"n_components": 0}, ValueError, "n_components == 0, must be >= 1"),
        ({"n_components": 2.0}, TypeError, "n_components must be an instance of int"),
        ({"epochs": 0}, ValueError, "epochs == 0, must be >= 1"),
        ({"batch_size": 0}, ValueError, "batch_size == 0, must be >= 1"),
        ({"lr": 0}, ValueError, "lr == 0, must be > 0"),
        ({"beta": -1}, ValueError, "beta == -1, must be >= 0"),
    ],
)
def test_what_is_wrong_is_said_when_it_is_fitted(keywords, error, message):
    with pytest.raises(error, match=message):
        made(**keywords).fit(X[:50])


def test_codes_of_another_size_and_a_model_that_is_not_fitted_are_refused():
    ae = made().fit(X[:50])
    with pytest.raises(ValueError, match=r"codes are \(N, 2\), as from `transform`; got \(4, 3\)"):
        ae.inverse_transform(np.zeros((4, 3)))
    for method in ("transform", "inverse_transform", "score"):
        with pytest.raises(NotFittedError):
            getattr(made(), method)(X)
