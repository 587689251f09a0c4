"""Retrieval: codes, index, file, own photos, and how answers are judged, against brute force and by hand."""

import os
import shutil
import sys
from pathlib import Path

import check
import contrasting
import ipywidgets as widgets
import numpy as np
import pytest
import searching
import torch
import verification as protocol
from benchmarks import search_cost
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from torch import nn

from aelib import cli, contexts, datasets, fit, models, retrieval, runs
from aelib.datasets import DataError, Images
from aelib.datasets.decoder import decode
from aelib.explorers.widgets import Panel
from aelib.retrieval import Coder, Index, codes

RNG = np.random.default_rng(0)
CLUSTERED = torch.tensor(
    RNG.normal(size=(20, 8))[RNG.integers(0, 20, 600)] + 0.2 * RNG.normal(size=(600, 8))
).float()
DIGITS = datasets.load("digits").train[:120]


# ---- the index -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", retrieval.index.METRICS)
@pytest.mark.parametrize("n, size", [(2, 1), (3, 5), (200, 8)])
def test_exact_answers_are_those_of_scikit_learn(metric, n, size):
    z, queries = (torch.tensor(RNG.normal(size=(m, size))).float() for m in (n, 7))
    k = min(n, 6)
    rows, closeness = Index(z, metric).ask(queries, k)
    distance, truth = NearestNeighbors(n_neighbors=k, metric=metric).fit(z).kneighbors(queries)
    if metric == "cosine" and size == 1:  # only two directions, so many are equally near
        assert closeness.shape == rows.shape == (7, k)
    else:
        assert rows.tolist() == truth.tolist()
    expected = 1 - distance if metric == "cosine" else distance
    np.testing.assert_allclose(closeness, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("metric", retrieval.index.METRICS)
def test_the_own_row_is_left_out_and_only_that(metric):
    z = torch.cat([CLUSTERED[:50], CLUSTERED[:50]])  # everybody has a double, who is a good answer
    own = torch.arange(50)
    rows, closeness = Index(z, metric).ask(z[:50], 4, leave_out=own)
    assert rows.shape == (50, 4) and not (rows == own[:, None]).any()
    assert (rows[:, 0] == own + 50).all()
    all_rows, all_closeness = Index(z, metric).ask(z[:50], 5)
    for i in range(50):
        others = all_rows[i][all_rows[i] != i][:4]
        assert rows[i].tolist() == others.tolist()
    torch.testing.assert_close(closeness, all_closeness[:, 1:], rtol=1e-4, atol=2e-3)


@pytest.mark.parametrize("metric", retrieval.index.METRICS)
@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_approximate_kinds_find_most_and_with_effort_all(kind, metric):
    exact = Index(CLUSTERED, metric).ask(CLUSTERED[:100], 5)
    index = Index(CLUSTERED, metric, kind, effort=1)
    found = []
    for effort in (1, 8, 600):
        index.look(effort)
        rows = index.ask(CLUSTERED[:100], 5).rows
        found.append(
            np.mean(
                [len(set(a) & set(b)) / 5 for a, b in zip(rows.tolist(), exact.rows.tolist(), strict=True)]
            )
        )
    assert found[0] <= found[1] + 0.02 and found[2] >= (1.0 if kind == "ivf" else 0.98)
    assert len(index) == 600 and kind in repr(index)


def test_what_an_approximate_index_does_not_find_is_said():
    index = Index(torch.eye(6) + torch.arange(6)[:, None], "euclidean", "ivf", effort=1)
    rows, closeness = index.ask(torch.eye(6), 6)
    assert (rows == -1).any() and torch.equal(closeness.isnan(), rows == -1)


@pytest.mark.parametrize(
    "ask, message",
    [
        (lambda: Index(torch.zeros(0, 3)), "at least one; got (0, 3)"),
        (lambda: Index(torch.zeros(3)), "needs codes (N, K)"),
        (lambda: Index(torch.full((2, 2), torch.nan)), "NaN or infinite"),
        (lambda: Index(torch.eye(2), "cosin"), "Did you mean 'cosine'"),
        (lambda: Index(torch.eye(2), kind="hnws"), "Did you mean 'hnsw'"),
        (
            lambda: Index(torch.eye(3)).ask(torch.eye(3), 4),
            "k is from 1 to 3, the codes there are to find; got 4",
        ),
        (lambda: Index(torch.eye(3)).ask(torch.eye(3), 3, leave_out=[0, 1, 2]), "k is from 1 to 2"),
        (lambda: Index(torch.eye(3)).ask(torch.eye(3), 0), "got 0"),
        (lambda: Index(torch.eye(3)).ask(torch.eye(4), 1), "codes (Q, 3); got (4, 4)"),
        (lambda: Index(torch.eye(3)).ask(torch.eye(3)[0], 1), "codes (Q, 3); got (3,)"),
        (lambda: Index(torch.eye(3)).ask(torch.eye(3), 1, leave_out=[0]), "3 queries, but 1 rows"),
        (lambda: Index(torch.eye(3)).ask(torch.full((1, 3), torch.inf), 1), "NaN or infinite"),
        (lambda: Index(torch.eye(3, dtype=torch.complex64)), "codes are real numbers"),
        (lambda: Index(torch.eye(3)).ask(1j * torch.eye(3), 1), "codes are real numbers"),
        *(
            (lambda row=row: Index(torch.eye(3)).ask(torch.eye(3)[:1], 1, leave_out=row), "go from 0 to 2")
            for row in ([3], [-1], [0.5], [True], [2**40])
        ),
        *(
            (lambda kind=kind, effort=effort: Index(torch.eye(3), kind=kind, effort=effort), "from 1 up")
            for kind in ("hnsw", "ivf")  # "exact" looks at all
            for effort in (0, -5, 2.5, True, 10**12)
        ),
        *(
            (lambda kind=kind: Index(1e30 * torch.eye(3), "euclidean", kind), "longer than 9e+18")
            for kind in retrieval.index.KINDS
        ),
    ],
)
def test_what_is_asked_wrongly_is_said(ask, message):
    with pytest.raises(ValueError) as e:
        ask()
    assert message in str(e.value)


@pytest.mark.parametrize("kind", retrieval.index.KINDS)
def test_a_code_of_zeros_is_similar_to_nothing_and_comes_last(kind):
    codes = torch.cat([torch.zeros(1, 4), torch.eye(4), -torch.eye(4)])
    index = Index(codes, kind=kind, effort=100)
    rows, closeness = index.ask(torch.eye(4), 9)
    assert (rows[:, -1] == 0).all() and closeness[:, -1].isnan().all()
    assert closeness[:, :-1].isfinite().all() and (closeness[:, 7] == -1).all()
    assert index.ask(torch.zeros(1, 4), 9).closeness.isnan().all()


@pytest.mark.parametrize("scale", [1e-40, 1e-30, 1e-12, 1e18, 1e30, 1e37])
def test_the_angle_does_not_depend_on_how_long_codes_are(scale):
    torch.manual_seed(0)
    codes, queries = torch.randn(50, 3), torch.randn(5, 3)
    rows, closeness = Index(codes).ask(queries, 5)
    longer = Index((codes.double() * scale).float()).ask((queries.double() * scale).float(), 5)
    assert torch.equal(longer.rows, rows)
    torch.testing.assert_close(longer.closeness, closeness, atol=1e-3 if scale < 1e-37 else 1e-6, rtol=0)


def test_without_faiss_the_error_names_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match="pip install faiss-cpu"):
        Index(torch.eye(2))


def test_it_takes_as_many_threads_as_torch_and_leaves_torchs_alone():
    import faiss

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        Index(torch.eye(2)).ask(torch.eye(2), 1)
        assert faiss.omp_get_max_threads() == torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


# ---- codes -----------------------------------------------------------------------------------------------


def test_places_know_what_is_where_but_not_how_strong():
    h = torch.rand(3, 4, 9, 7)
    z = retrieval.Places(2)(h)
    assert z.shape == (3, 16)
    torch.testing.assert_close(z.view(3, 4, 4).norm(dim=1), torch.ones(3, 4), rtol=1e-5, atol=0)
    louder = h.clone()
    louder[:, :, :4, :3] *= 5  # within the first place
    torch.testing.assert_close(retrieval.Places(2)(louder)[:, 0::4], z[:, 0::4], atol=0.2, rtol=0)
    torch.testing.assert_close(retrieval.Places(3)(9 * h), retrieval.Places(3)(h), rtol=1e-5, atol=1e-6)
    expected = torch.nn.functional.normalize(h.mean((2, 3)).sqrt(), dim=1)
    torch.testing.assert_close(retrieval.Places(1)(h), expected)
    torch.testing.assert_close(retrieval.Places(1)(-h), -expected)
    with pytest.raises(ValueError, match="feature maps"):
        retrieval.Places(2)(torch.rand(3, 4))


def test_contrast_is_that_of_its_definition_and_forgets_the_light():
    x = torch.rand(2, 3, 11, 12)
    y = searching.Contrast(5)(x)[:, 0]
    grey = x.mean(1)

    def around(v, i, j):
        return v[:, max(0, i - 2) : i + 3, max(0, j - 2) : j + 3].mean((1, 2))

    centred = torch.stack(
        [torch.stack([grey[:, i, j] - around(grey, i, j) for j in range(12)], 1) for i in range(11)], 1
    )
    for i, j in ((0, 0), (5, 6), (10, 3)):
        expected = centred[:, i, j] / (around(centred**2, i, j).sqrt() + 0.03)
        torch.testing.assert_close(y[:, i, j], expected, rtol=1e-4, atol=1e-5)
    assert (searching.Contrast()(torch.full((1, 1, 20, 20), 0.7)).abs() < 1e-4).all()
    torch.testing.assert_close(searching.Contrast(5)(x + 0.3)[:, 0], y, rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="odd"):
        searching.Contrast(4)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_whitening_is_scikit_learns_pca_scaled(power):
    coder = Coder(nn.Flatten()).whitened(DIGITS, 6, power)
    z = retrieval.codes(coder, DIGITS).numpy()
    pixels = DIGITS.batch().x.flatten(1).numpy()
    pca = PCA(6, svd_solver="full").fit(pixels)
    expected = pca.transform(pixels) / pca.explained_variance_ ** (power / 2)
    np.testing.assert_allclose(np.abs(z), np.abs(expected), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(np.cov(z.T), np.diag(pca.explained_variance_ ** (1 - power)), atol=1e-3)


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_where_the_pictures_do_not_differ_whitened_codes_are_zero(power):
    rng = np.random.default_rng(0)
    three = rng.integers(0, 255, (3, 1, 8, 8)).astype(np.uint8)
    few, others = Images(three.repeat(7, 0)), Images(rng.integers(0, 255, (20, 1, 8, 8)).astype(np.uint8))
    for pictures, rank in ((few[:7], 0), (few, 2), (others[:1], 0)):
        coder = Coder(nn.Flatten()).whitened(pictures, min(6, len(pictures)), power)
        for images in (pictures, others):
            z = codes(coder, images)
            assert (z[:, rank:] == 0).all() and z.abs().max() < 30
            assert rank == 0 or (z[:, :rank] != 0).any()


def test_with_the_mirror_image_a_face_and_its_mirror_image_have_one_code():
    coder = Coder(nn.Flatten(), mirror=True).whitened(DIGITS, 5)
    z, mirrored = retrieval.codes(coder, DIGITS), retrieval.codes(coder, DIGITS, flip=True)
    torch.testing.assert_close(z, mirrored, rtol=1e-4, atol=1e-4)
    plain = Coder(nn.Flatten(), coder.steps[0])
    both = [retrieval.codes(plain, DIGITS, flip=flip) for flip in (False, True)]
    torch.testing.assert_close(z, (both[0] + both[1]) / 2)
    assert not torch.allclose(*both, atol=0.1)
    # the whitening was fitted to the images and their mirror images
    torch.testing.assert_close(torch.cat(both).mean(0), torch.zeros(5), rtol=0, atol=1e-4)


def test_an_autoencoders_code_is_its_posteriors_mean_and_its_mode_is_kept():
    model = models.autoencoder(DIGITS.shape, 3, net="mlp", hidden=(8,)).train()
    z = retrieval.codes(Coder(model), DIGITS)
    with torch.no_grad():
        torch.testing.assert_close(z, model.encode(DIGITS.batch().x).mean)
    assert model.training
    with pytest.raises(ValueError, match="a whitening to 4 numbers needs as many"):
        Coder(model).whitened(DIGITS, 4)


# ---- an own file -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
def test_however_the_camera_was_held_the_photo_is_upright(tmp_path, orientation):
    upright = Image.fromarray(RNG.integers(0, 256, (40, 30, 3), np.uint8))
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "held.png", exif=exif)
    x = retrieval.photo(tmp_path / "held.png", (3, 40, 30), box=(0, 0, 30, 40))
    np.testing.assert_array_equal((x[0] * 255).round().byte().permute(1, 2, 0), np.asarray(upright))


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 16, 16), (3, 9, 21)])
def test_a_photo_is_cut_and_resized_as_the_datasets_are(tmp_path, shape):
    file = tmp_path / "a.jpg"
    Image.fromarray(RNG.integers(0, 256, (50, 70, 3), np.uint8)).save(file)
    out = np.frombuffer(decode(file, shape), np.uint8).reshape(1, *shape)
    x = retrieval.photo(file, shape)
    assert x.shape == (1, *shape)
    np.testing.assert_allclose(x.numpy() * 255, out, atol=1e-3)


@pytest.mark.parametrize("save", [{"mode": "P"}, {"mode": "RGBA"}, {"mode": "L"}, {"mode": "1"}])
def test_photos_of_any_mode_are_read(tmp_path, save):
    Image.fromarray(RNG.integers(0, 256, (20, 20, 3), np.uint8)).convert(save["mode"]).save(
        tmp_path / "a.png"
    )
    assert retrieval.photo(tmp_path / "a.png", (3, 8, 8)).shape == (1, 3, 8, 8)


def test_a_file_that_is_no_photo_is_named(tmp_path):
    (tmp_path / "a.jpg").write_text("<html>")
    with pytest.raises(ValueError, match=r"a\.jpg cannot be read as an image"):
        retrieval.photo(tmp_path / "a.jpg", (3, 8, 8))
    with pytest.raises(FileNotFoundError):
        retrieval.photo(tmp_path / "b.jpg", (3, 8, 8))
    Image.new("RGB", (20, 10)).save(tmp_path / "c.png")
    for box in ((0, 0, 21, 10), (5, 5, 5, 8), (-1, 0, 4, 4)):
        with pytest.raises(ValueError, match="inside 20×10"):
            retrieval.photo(tmp_path / "c.png", (3, 8, 8), box)


# ---- the file of an index --------------------------------------------------------------------------------


def small():
    torch.manual_seed(0)
    model = models.autoencoder(DIGITS.shape, 4, net="fcn", posterior="deterministic", hidden=(8,))
    return model, Coder(model, retrieval.Places(2), nn.Flatten(), mirror=True).whitened(DIGITS, 5, 0.75)


@pytest.mark.parametrize("kind", retrieval.index.KINDS)
@pytest.mark.parametrize("metric", retrieval.index.METRICS)
def test_what_was_saved_answers_as_before(tmp_path, kind, metric):
    model, coder = small()
    z = retrieval.codes(coder, DIGITS)
    index = Index(z, metric, kind, effort=5)
    retrieval.save(tmp_path / "new" / "faces.index", coder, index)
    other, again = retrieval.load(tmp_path / "new" / "faces.index", model)
    torch.testing.assert_close(retrieval.codes(other, DIGITS), z)
    for before, after in zip(index.ask(z, 3), again.ask(z, 3), strict=True):
        torch.testing.assert_close(before, after, rtol=0, atol=0)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["faces.index"]


def test_an_index_of_another_model_is_refused(tmp_path):
    model, coder = small()
    file = tmp_path / "i"
    retrieval.save(file, coder, Index(retrieval.codes(coder, DIGITS)))
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] += 1e-3
    with pytest.raises(ValueError, match="codes of another model"):
        retrieval.load(file, model)
    with pytest.raises(ValueError, match="codes of another model"):
        retrieval.load(file, models.autoencoder(DIGITS.shape, 4, net="mlp"))


def test_the_fingerprint_is_that_of_the_weights_alone():
    model, _ = small()
    mark = retrieval.fingerprint(model)
    assert retrieval.fingerprint(small()[0].train()) == mark and len(mark) == 64
    assert retrieval.fingerprint(model.double()) != mark
    assert retrieval.fingerprint(nn.Linear(2, 2)) != retrieval.fingerprint(nn.Linear(4, 1))


@pytest.mark.parametrize(
    "harm", [lambda b: b[:-50], lambda b: b"", lambda b: b"<html>" * 99, lambda b: b[:9] + b[30:]]
)
def test_a_damaged_file_is_named(tmp_path, harm):
    model, coder = small()
    file = tmp_path / "i"
    retrieval.save(file, coder, Index(retrieval.codes(coder, DIGITS)))
    file.write_bytes(harm(file.read_bytes()))
    with pytest.raises(ValueError, match="is no index, or is damaged"):
        retrieval.load(file, model)
    with pytest.raises(FileNotFoundError, match=r"retrieval\.save"):
        retrieval.load(tmp_path / "none", model)


def test_an_interrupted_save_leaves_the_old_file_whole(tmp_path, monkeypatch):
    model, coder = small()
    z = retrieval.codes(coder, DIGITS)
    retrieval.save(tmp_path / "i", coder, Index(z))

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as m:
        m.setattr(os, "replace", stop)
        with pytest.raises(KeyboardInterrupt):
            retrieval.save(tmp_path / "i", coder, Index(z[:3]))
    assert len(retrieval.load(tmp_path / "i", model)[1]) == len(DIGITS)
    assert [p.name for p in tmp_path.iterdir()] == ["i"]
    with pytest.raises(TypeError, match="GELU cannot be saved"):
        retrieval.save(tmp_path / "j", Coder(model, nn.GELU()), Index(z))


# ---- precision -------------------------------------------------------------------------------------------


def test_precision_by_hand():
    angles = torch.tensor([0.0, 1.0, 3.0, 90.0, 92.0, 180.0]).deg2rad()
    z = torch.stack([angles.cos(), angles.sin()], 1) * torch.arange(1, 7)[:, None]
    who = ["a", "a", "b", "b", "c", "d"]  # c and d are alone: asked for by nobody, but in the way
    labels = np.unique(who, return_inverse=True)[1]
    # 0 → 1 a ✓; 1 → 0 a ✓; 2 → 1 a ✗, then 0 ✗; 3 → 4 c ✗, then 2 b ✓
    assert searching.precision_at(z, labels, (1, 2)) == pytest.approx(
        {1: 2 / 4, 2: (0.5 + 0.5 + 0 + 0.5) / 4}
    )
    with pytest.raises(ValueError, match="nobody has two"):
        searching.precision_at(z, np.arange(6))
    with pytest.raises(ValueError, match="6 codes, but 5 labels"):
        searching.precision_at(z, labels[:5])


@pytest.mark.parametrize("metric", retrieval.index.METRICS)
def test_precision_is_brute_forces(metric):
    labels = RNG.integers(0, 60, 200)
    z = CLUSTERED[:200]
    a = torch.nn.functional.normalize(z) if metric == "cosine" else z
    distance = torch.cdist(a.double(), a.double()).fill_diagonal_(torch.inf)
    right = [
        [labels[j] == labels[i] for j in distance[i].argsort()[:5]]
        for i in range(200)
        if (labels == labels[i]).sum() > 1
    ]
    found = searching.precision_at(z, labels, (1, 5), metric)
    assert found == pytest.approx({1: np.mean(right, 0)[0], 5: np.mean(right)})


def test_one_hot_codes_reach_the_ceiling():
    labels = np.array([0, 0, 1, 1, 1, 2])
    codes = torch.eye(3)[labels]
    ceiling = {1: 1.0, 2: (2 * 0.5 + 3 * 1.0) / 5, 4: (2 * 0.25 + 3 * 0.5) / 5}
    assert searching.precision_at(codes, labels, (1, 2, 4)) == pytest.approx(ceiling)


# ---- pairs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_the_threshold_is_the_best_there_is(seed):
    rng = np.random.default_rng(seed)
    n = rng.integers(1, 40)
    same = rng.random(n) < rng.random()
    scores = (rng.normal(size=n) + same).round(rng.integers(0, 3))  # rounded: many are equal
    best = max(((scores > t) == same).mean() for t in [-9, *(np.unique(scores))])
    assert ((scores > protocol.threshold(scores, same)) == same).mean() == best


def test_the_protocol_has_the_accuracy_that_was_built_into_it():
    # in fold f, f of 10 same pairs and f of 10 others lie on the wrong side of 0.5
    same = np.tile(np.repeat([True, False], 10), 4)
    fold = np.repeat(np.arange(4), 20)
    scores = np.where(same, 0.9, 0.1)
    for f in range(4):
        for start in (0, 10):
            at = 20 * f + start + np.arange(f)
            scores[at] = 1 - scores[at]
    v = protocol.verification(scores, same, fold)
    np.testing.assert_allclose(v.folds, [1.0, 0.9, 0.8, 0.7])
    np.testing.assert_allclose(v.thresholds, 0.5)
    assert v.mean == pytest.approx(0.85)
    assert v.standard_error == pytest.approx(np.std([1, 0.9, 0.8, 0.7], ddof=1) / 2)


def test_a_folds_own_pairs_do_not_choose_its_threshold():
    same, fold = np.tile([True, False], 30), np.repeat(np.arange(3), 20)
    scores = np.where(same, 0.9, 0.1) - 2.0 * (fold == 0)  # fold 0 can be parted too, but elsewhere
    v = protocol.verification(scores, same, fold)
    assert v.folds[0] == 0.5 and v.thresholds[0] == 0.5
    flipped = same.copy()
    flipped[fold == 0] = ~same[fold == 0]  # its truth may be anything: its threshold stays
    assert protocol.verification(scores, flipped, fold).thresholds[0] == 0.5
    for wrong in ((scores[:5], same, fold), (scores, same, 0 * fold), (scores * np.nan, same, fold)):
        with pytest.raises(ValueError):
            protocol.verification(*wrong)


def test_similarity_is_the_cosine_of_the_pairs_codes():
    rows = np.array([[3, 3], [0, 7], [7, 5], [0, 5]])
    z = DIGITS.batch().x.flatten(1)
    expected = [torch.cosine_similarity(z[a], z[b], 0) for a, b in rows]
    np.testing.assert_allclose(protocol.similarity(Coder(nn.Flatten()), DIGITS, rows), expected, rtol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_pairs_are_made_in_folds_without_a_common_person(seed):
    labels = np.repeat(np.arange(60), RNG.integers(1, 6, 60))
    images = Images(np.zeros((len(labels), 1, 2, 2), np.uint8), labels, [str(i) for i in range(60)])
    pairs = protocol.pairs_of(images, folds=5, each=8, seed=seed)
    who = labels[pairs.rows]
    np.testing.assert_array_equal(who[:, 0] == who[:, 1], pairs.same)
    assert (pairs.rows[:, 0] != pairs.rows[:, 1]).all() and len(
        {tuple(sorted(r)) for r in pairs.rows}
    ) == len(pairs)
    people = [set(who[pairs.fold == f].ravel()) for f in range(5)]
    assert not any(people[i] & people[j] for i in range(5) for j in range(i))
    for f in range(5):
        assert pairs.same[pairs.fold == f].mean() == 0.5
    left = pairs.strangers([0, 1])
    assert not set(left.labels) & (people[0] | people[1]) and people[2] <= set(left.labels)
    with pytest.raises(ValueError, match="too few for 50 folds"):
        protocol.pairs_of(images, folds=50)
    with pytest.raises(ValueError, match="labels"):
        protocol.pairs_of(Images(images.store))


PEOPLE = {"Ann_A": 3, "Bob_B": 1, "Cid_C": 2, "Dee_D": 1}


@pytest.fixture
def tree(monkeypatch, tmp_path, no_data):
    root = tmp_path / "data" / "lfw"
    for person, n in PEOPLE.items():
        folder = root / "lfw-deepfunneled" / person
        folder.mkdir(parents=True)
        for i in range(1, n + 1):
            colour = RNG.integers(0, 256, 3).tolist()
            Image.new("RGB", (250, 250), tuple(colour)).save(folder / f"{person}_{i:04d}.jpg", quality=95)
    (root / "pairs.txt").write_text(
        "2\t1\nAnn_A\t1\t3\nAnn_A\t2\tBob_B\t1\nCid_C\t1\t2\nCid_C\t2\tDee_D\t1\n"
    )
    monkeypatch.setenv("AELIB_DATA", str(tmp_path / "data"))
    return root


def test_the_official_pairs_are_read(tree):
    pairs = protocol.lfw_pairs(size=4)
    assert pairs.rows.tolist() == [[0, 2], [1, 3], [4, 5], [5, 6]]
    assert pairs.same.tolist() == [True, False, True, False] and pairs.fold.tolist() == [0, 0, 1, 1]
    with Image.open(tree / "lfw-deepfunneled" / "Cid_C" / "Cid_C_0002.jpg") as photo:
        np.testing.assert_allclose(pairs.images.pixels[5][:, 0, 0], photo.getpixel((125, 125)), atol=1)
    assert set(pairs.strangers([0]).names) == {"Cid_C", "Dee_D"} and len(pairs) == 4
    with pytest.raises(ValueError, match="Did you mean 'dev-train'"):
        protocol.lfw_pairs("dev-tran")


@pytest.mark.parametrize(
    "text, message",
    [
        ("2\t1\nAnn_A\t1\t3\nAnn_A\t2\tBob_B\t1\n", "2 pairs and announces 4"),
        ("1\nAnn_A\t1\t4\nAnn_A\t2\tBob_B\t1\n", "names a photo that is not there"),
        ("1\nAnn_A\t1\t2\nAnn_A\t2\tZoe_Z\t1\n", "names a photo that is not there"),
        ("1\nAnn_A\t1\t2\nAnn_A\n", "damaged"),
        ("<html>gone</html>", "damaged"),
        ("", "damaged"),
    ],
)
def test_damaged_pairs_are_named(tree, text, message):
    (tree / "pairs.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        protocol.lfw_pairs(size=4)
    (tree / "pairs.txt").unlink()
    with pytest.raises(DataError, match=r"pairs\.txt\) could not be downloaded"):
        protocol.lfw_pairs(size=4)


@pytest.mark.data
def test_the_real_pairs_are_the_official_ones():
    pairs = {name: protocol.lfw_pairs(name) for name in ("folds", "dev-train", "dev-test")}
    assert [len(p) for p in pairs.values()] == [6000, 2200, 1000]
    for p in pairs.values():
        who = p.images.labels[p.rows]
        np.testing.assert_array_equal(who[:, 0] == who[:, 1], p.same)
    p = pairs["folds"]
    assert (np.bincount(p.fold) == 600).all() and p.images.names[p.rows[0]].tolist() == ["Abel_Pacheco"] * 2
    people = [set(p.images.labels[p.rows[p.fold == f]].ravel()) for f in range(10)]
    assert sum(map(len, people)) == len(set.union(*people))
    assert not set(p.strangers(range(5)).labels) & set.union(*people[:5])


# ---- the explorer ----------------------------------------------------------------------------------------

PHOTOS = torch.linspace(0, 1, 12)[:, None, None, None].expand(12, 1, 1, 1)
ROUND = torch.stack([torch.arange(12.0), torch.zeros(12)], 1)  # along a line, so neighbours are known
NEAR = Index(ROUND, "euclidean")


def test_moving_a_code_moves_to_other_neighbours():
    rows = searching.search_answers(NEAR, ROUND, [0, 5], torch.tensor([2.0, 0.0]), [0.0, 1.0, 2.1], 1).rows
    assert rows[:, 0].tolist() in ([1, 2, 4, r, 7, 9] for r in (4, 6))
    strip = searching.search_strip(NEAR, ROUND, PHOTOS, 0, torch.tensor([1.0, 0.0]), [0.0, 4.2], 2)
    torch.testing.assert_close(strip.flatten(), PHOTOS[[0, 1, 2, 0, 4, 5]].flatten())


def test_the_search_explorer_shows_who_is_near_where_the_slider_is():
    names = [f"<{i}>" for i in range(12)]
    widget = searching.search(
        NEAR, ROUND, PHOTOS, {"right": torch.tensor([1.0, 0.0]), "bad": torch.zeros(3)}, names
    )
    (number, attribute), (slider, reset) = (r.children for r in widget.children[:2])
    query, nearest = widget.children[2].children
    said, message = widget.children[3], widget.message
    assert isinstance(query, Panel) and isinstance(said, widgets.HTML)
    assert said.value.startswith("&lt;1&gt; 1.00 · &lt;2&gt; 2.00") and said.value.count("·") == 7
    start = nearest.image.value
    slider.value = 2.25
    assert said.value.startswith("&lt;2&gt; 0.25 · &lt;3&gt; 0.75") and nearest.image.value != start
    number.value = 11
    assert query.title.value == "this person: <11>" and said.value.startswith("&lt;10&gt; 3.25")
    attribute.value = "bad"
    assert "Error" in message.value
    attribute.value = "right"
    number.value = 0
    reset.click()
    assert nearest.image.value == start and message.value == ""
    assert repr(widget) == "explorers.search: run this cell to move it"
    assert "photo 1" in searching.search(NEAR, ROUND, PHOTOS, {"right": ROUND[1]}).children[3].value


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((NEAR, ROUND[:5], PHOTOS[:5], {"a": ROUND[0]}), "5 codes, but an index of 12"),
        ((NEAR, ROUND, PHOTOS[:5], {"a": ROUND[0]}), "12 codes, but 5 photos"),
        ((NEAR, ROUND, PHOTOS, {"a": ROUND[0]}, ["x"]), "and 1 names"),
        ((NEAR, ROUND, PHOTOS, {}), "a direction"),
        ((Index(ROUND[:1]), ROUND[:1], PHOTOS[:1], {"a": ROUND[0]}), "two photos"),
    ],
)
def test_a_search_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        searching.search(*arguments)


# ---- the exercise ----------------------------------------------------------------------------------------


def unit(z):
    return z / z.norm(dim=1, keepdim=True)


ANSWERS = {
    "correct": lambda z, k: (unit(z) @ unit(z).T - 3 * torch.eye(len(z))).topk(k).indices,
    "answer to himself": lambda z, k: (unit(z) @ unit(z).T).topk(k).indices,
    "not the dot product": lambda z, k: (z @ z.T).fill_diagonal_(-torch.inf).topk(k).indices,
    "Euclidean": lambda z, k: torch.cdist(z, z).fill_diagonal_(torch.inf).topk(k, largest=False).indices,
    "least similar": lambda z, k: (unit(z) @ unit(z).T).topk(k, largest=False).indices,
    "nothing": lambda z, k: ...,
    "shape": lambda z, k: torch.zeros(len(z)),
}


def test_the_exercise_answers_with_what_is_off(capsys):
    for said, f in ANSWERS.items():
        check.nearest_others(f)
        out = capsys.readouterr().out
        assert said in out and out.startswith("correct") == (said == "correct")


# ---- what it costs ---------------------------------------------------------------------------------------


def test_the_cost_of_a_query_is_measured_for_every_kind_and_effort():
    codes = search_cost.like_codes(CLUSTERED, 2000)
    torch.testing.assert_close(codes.mean(0), CLUSTERED.mean(0), rtol=0, atol=0.15)
    torch.testing.assert_close(codes.T.cov(), CLUSTERED.T.cov(), rtol=0.2, atol=0.1)
    table = list(search_cost.measure(codes, CLUSTERED[:20]))
    assert [(r["kind"], r["effort"]) for r in table] == [
        (k, e) for k, es in search_cost.EFFORTS.items() for e in es
    ]
    exact, hnsw = table[0], table[1:4]
    assert exact["recall"] == 1.0 and exact["megabytes"] == pytest.approx(2000 * 8 * 4 / 1e6, abs=0.1)
    assert [r["recall"] for r in hnsw] == sorted(r["recall"] for r in hnsw) and hnsw[-1]["recall"] > 0.97
    assert all(r["milliseconds"] > 0 and r["megabytes"] >= exact["megabytes"] for r in table)


# ---- the index of a run ----------------------------------------------------------------------------------


@pytest.fixture
def indexed(tmp_path):
    """A folder with an index of digits, its model, and a file that shows one of them."""
    split = datasets.load("digits").head(80)
    torch.manual_seed(0)
    model = models.autoencoder(split.shape, 6, net="mlp", posterior="deterministic")
    runs.save(tmp_path / "run", model)
    Image.fromarray(split.test.pixels[3, 0]).save(tmp_path / "four.png")
    return tmp_path / "run", model, split, tmp_path / "four.png"


def test_a_notebook_indexes_a_model_of_its_own_and_searches(indexed, tmp_path):
    _, model, split, query = indexed
    assert retrieval.index_run(tmp_path / "own", split, model=model) == 120
    found = retrieval.search_run(tmp_path / "own", query, 3, data=split, model=model)
    assert found.files[0] == "digits/test/3" and found.closeness[0] > 0.9999
    assert found.closeness == sorted(found.closeness, reverse=True)
    assert torch.equal(found.pictures()[0], found.photo[0]) and found.pictures().shape == (3, 1, 8, 8)
    with pytest.raises(ValueError, match="give it as data="):
        retrieval.search_run(tmp_path / "own", query, 3, model=model).pictures()


def test_a_run_is_indexed_by_the_name_of_its_data(indexed):
    run, _, _, query = indexed
    assert retrieval.index_run(run, "digits") == 1797
    found = retrieval.search_run(run, str(query), 2)
    assert torch.equal(found.pictures()[0], found.photo[0])


def test_an_index_that_cannot_be_gets_a_sentence(indexed, tmp_path):
    run, model, split, query = indexed
    for wrong, says in (
        (lambda: retrieval.search_run(run, query), "has no index yet"),
        (lambda: retrieval.index_run(run), "does not say what it was trained on"),
        (lambda: retrieval.index_run(tmp_path / "none"), "does not exist"),
        (lambda: retrieval.index_run(run, "faces-sample"), "cannot take these examples"),
        (lambda: retrieval.index_run(run, "digits", model=model), "needs its data as a Split"),
        (
            lambda: retrieval.index_run(run, split, model=models.autoencoder((1, 8, 8), 2, conditions=3)),
            "takes conditions",
        ),
    ):
        with pytest.raises((ValueError, TypeError, runs.RunError), match=says):
            wrong()
    assert sorted(p.name for p in run.glob("index*")) == []
    retrieval.index_run(run, split)
    with pytest.raises(FileNotFoundError, match="there is no photo"):
        retrieval.search_run(run, tmp_path / "none.png")
    with pytest.raises(ValueError, match="k is from 1 to 120"):
        retrieval.search_run(run, query, 121)


@pytest.fixture(scope="module")
def photographed(tmp_path_factory):
    """A run on a folder of eight photos, with an index of them."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("photographed") / "photos"
    folder.mkdir()
    for i in range(8):
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8)).save(folder / f"{i}.png")
    cli.main(["train", str(folder), "--size=8", "--net=linear", "--latent=2", "--epochs=1",
              f"--out={folder.parent}/run"])  # fmt: skip
    cli.main(["index", f"{folder.parent}/run"])
    return folder.parent / "run", folder


def removed(folder):
    (folder / "3.png").unlink()


def replaced(folder):
    Image.new("RGB", (8, 8), "white").save(folder / "3.png")


def added(folder):
    shutil.copy(folder / "3.png", folder / "new.png")


@pytest.mark.parametrize("change", [removed, replaced, added, shutil.rmtree])
def test_a_search_says_that_photos_were_changed_since(photographed, change, monkeypatch, tmp_path):
    run, folder = photographed
    monkeypatch.setenv("AELIB_CACHE", str(tmp_path / "cache"))
    query = shutil.copy(folder / "3.png", tmp_path / "query.png")
    assert Path(retrieval.search_run(run, query, 2).files[0]).name == "3.png"
    kept = shutil.copytree(folder, tmp_path / "kept")
    change(folder)
    with pytest.raises(runs.RunError, match=r"added, changed or removed since: aelib index"):
        retrieval.search_run(run, query, 2)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(kept, folder)  # with the times of change
    assert Path(retrieval.search_run(run, query, 2).files[0]).name == "3.png"


def test_the_contrastive_objective_is_the_papers_formula_and_least_where_views_agree():
    a, b = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    z = torch.nn.functional.normalize(torch.cat([a, b]))
    weight = (z @ z.T / 0.5).exp()
    each = [-(weight[i, (i + 5) % 10] / (weight[i].sum() - weight[i, i])).log() for i in range(10)]
    expected = torch.stack(each).view(2, 5).mean(0)
    torch.testing.assert_close(contrasting.nt_xent(a, b, 0.5), expected)
    assert contrasting.nt_xent(a, a).mean() < contrasting.nt_xent(a, b).mean()


def test_views_differ_stay_in_range_and_an_encoder_learns_from_them():
    faces = datasets.load("drawn-faces", size=16).head(60).train
    with contexts.seeded(0):
        batch = contrasting.two_views(faces.batch())
        model = models.autoencoder(faces.shape, 8, posterior="deterministic")
    assert batch.x.shape == batch.target.shape == (60, 3, 16, 16)
    assert batch.x.min() >= 0 and batch.x.max() <= 1 and (batch.x - batch.target).abs().mean() > 0.02
    data = faces.map(contrasting.two_views)
    history = fit(model.encoder, data, contrasting.contrastive, epochs=8, batch_size=30)
    assert history[-1]["train/loss"] < history[0]["train/loss"] - 0.2
    z = retrieval.codes(retrieval.Coder(contrasting.Codes(model.encoder), mirror=True), faces)
    assert z.shape == (60, 8) and z.isfinite().all()


def test_a_byte_that_changes_in_the_files_of_an_index_is_found(photographed):
    run, folder = photographed
    query, rng = folder / "3.png", np.random.default_rng(0)
    right = retrieval.search_run(run, query, 3).files
    for name in ("index.json", "index.safetensors"):
        whole = (run / name).read_bytes()
        for at in rng.choice(len(whole), 60, replace=False):
            changed = bytearray(whole)
            changed[at] ^= 1 << int(rng.integers(8))
            (run / name).write_bytes(changed)
            with pytest.raises(runs.RunError, match="aelib index"):
                retrieval.search_run(run, query, 3)
        (run / name).write_bytes(whole)
    assert retrieval.search_run(run, query, 3).files == right


def test_where_all_pictures_are_alike_there_is_nothing_to_find(tmp_path, no_data, capsys):
    split = datasets.split(Images(np.full((20, 1, 8, 8), 100, np.uint8)))
    model = models.autoencoder(split.shape, 2, net="linear", posterior="deterministic")
    retrieval.index_run(tmp_path / "run", split, model=model)
    Image.new("L", (8, 8), 100).save(tmp_path / "q.png")
    with pytest.raises(ValueError, match="like all pictures alike"):
        retrieval.search_run(tmp_path / "run", tmp_path / "q.png", 2, model=model)
