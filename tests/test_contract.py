"""The contract of data: containers × types × shapes × networks, and what is refused, in words."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from benchmarks.graphs import communities
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris
from sklearn.datasets import load_linnerud as several_targets
from torch.utils.data import DataLoader, Dataset, TensorDataset

from aelib import datasets, graphs, latent, losses, models, training
from aelib.datasets import (
    Batch,
    Examples,
    Images,
    Split,
    conditioned,
    flipped,
    masked,
    noisy,
    of,
    salt_and_pepper,
    split,
)

SHAPES = [(5,), (2, 16), (3, 8, 9), (1, 6, 5, 4)]
SCALES = {"uint8": 255, "uint16": 65535, "float16": 1, "float32": 1, "float64": 1}
RNG = np.random.default_rng(0)


def numbers(n, shape, kind="float32"):
    a = RNG.random((n, *shape)) * (SCALES[kind] if kind.startswith("u") else 1)
    return a.astype(kind)


class OnDisk:
    """As HDF5: no array, and rows must be asked for in order and each once."""

    def __init__(self, a):
        self.a, self.shape, self.dtype = a, a.shape, a.dtype

    def __len__(self):
        return len(self.a)

    def __getitem__(self, rows):
        assert isinstance(rows, slice) or (np.diff(rows) > 0).all()
        return self.a[rows]


def mapped(a, folder):
    np.save(folder / "a.npy", a)
    return np.load(folder / "a.npy", mmap_mode="r")


CONTAINERS = {
    "array": lambda a, _: a,
    "mapped": mapped,
    "tensor": lambda a, _: torch.from_numpy(a),
    "file": lambda a, _: OnDisk(a),
    "backwards": lambda a, _: a[::-1].copy()[::-1],
    "transposed": lambda a, _: np.moveaxis(np.moveaxis(a, 1, -1).copy(), -1, 1),
}


# ---- Examples ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("kind", SCALES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_container_type_and_shape_gives_the_same_batches(container, kind, shape, tmp_path):
    a = numbers(11, shape, kind)
    truth = torch.from_numpy(a.astype(np.float32) / np.float32(SCALES[kind]))
    store = CONTAINERS[container](a, tmp_path)
    data = Examples(store, np.arange(11), weights=np.arange(11) + 1)
    assert (
        data.shape == shape
        and data.fingerprint() == Examples(a, np.arange(11), weights=np.arange(11) + 1).fingerprint()
    )
    for some, rows in ((data, np.arange(11)), (data[[9, 2, 2, 5]], np.array([9, 2, 2, 5]))):
        for seed in (None, 3):
            batches = some.batches(3, seed)
            assert len(batches) == -(-len(rows) // 3)
            sizes = [batches.size(k) for k in range(len(batches))]
            got = list(batches)
            assert [len(b) for b in got] == sizes and len(got) == len(batches)
            order = torch.cat([b.y for b in got])
            assert sorted(order.tolist()) == sorted(rows.tolist())
            x = torch.cat([b.x for b in got])
            assert x.dtype == torch.float32 and x.shape[1:] == shape
            torch.testing.assert_close(x, truth[order], rtol=0, atol=0)
            weight = torch.cat([b.weight for b in got])
            torch.testing.assert_close(weight, (order + 1) / (rows + 1).mean(), check_dtype=False)
            assert all(b.known is None and b.c is None and b.target is b.x for b in got)
    np.testing.assert_array_equal(data[2:4].values, a[2:4])
    x = data.batch().x
    x.mul_(0)  # batches are the caller's own
    assert torch.equal(data.batch().x, truth)


def test_float64_is_kept_for_those_who_ask():
    a = RNG.random((4, 3))
    assert torch.equal(Examples(a, dtype=torch.float64).batch().x, torch.from_numpy(a))


@pytest.mark.parametrize(
    "make", [lambda: Examples(numbers(10, (4,)), np.arange(10)), lambda: of(numbers(9, (3, 8, 8)))]
)
@pytest.mark.parametrize("devices", [1, 2, 3])
def test_devices_that_share_a_batch_see_all_of_it(make, devices):
    data = make()
    whole = list(data.batches(4, seed=1))
    parts = [list(data.batches(4, seed=1, part=(k, devices))) for k in range(devices)]
    for k, batch in enumerate(whole):
        assert torch.equal(torch.cat([p[k].x for p in parts]), batch.x)
        assert data.batches(4, part=(0, devices)).size(k) == len(batch)


def test_links_meet_the_same_protocol():
    links = graphs.split(communities(40, 90, 5, groups=3)).train
    for part in ((0, 1), (1, 2)):
        batches = links.batches(7, seed=0, part=part)
        assert len(batches) == 1 and batches.size(0) == len(links) * part[1] and len(list(batches)) == 1


@pytest.mark.parametrize("container", ["array", "mapped", "file"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_missing_numbers_are_known_as_such_and_filled_with_the_mean_of_training(shape, container, tmp_path):
    a = numbers(30, shape) + 5
    a[RNG.random(a.shape) < 0.2] = np.nan
    flat = a.reshape(30, -1)
    flat[:, 0] = np.nan  # never known
    flat[20, :] = np.nan
    data = Examples(CONTAINERS[container](a, tmp_path), np.arange(30))
    parts = Split(data[:10], data[10:25], data[25:])
    mean = np.nan_to_num(np.nanmean(np.where(np.isnan(flat[:10]).all(0), 0, flat[:10]), 0)).reshape(shape)
    assert data.missing == np.isnan(a).sum()
    for part in (parts.train, parts.valid, parts.test, parts.valid[[3, 1]], parts.head(4).train):
        for b in part.batches(4, seed=0):
            truth = torch.from_numpy(a[b.y.numpy()])
            assert torch.equal(b.known, ~truth.isnan())
            torch.testing.assert_close(b.x, torch.where(b.known, truth, torch.tensor(mean).float()))
    known = Examples(numbers(5, shape))
    assert not known.missing and known.batch().known is None


def test_where_only_the_training_part_is_whole_its_means_stand_too():
    x = np.array([[1.0], [3.0], [np.nan], [7.0]])
    parts = Split(*(Examples(x)[rows] for rows in ([0, 1], [2], [3])))
    assert parts.valid.batch().x.item() == 2 and parts.valid.batch().known.item() is False


def test_infinite_numbers_are_named():
    with pytest.raises(ValueError, match=r"infinite numbers.*write NaN"):
        Examples(np.array([[1.0], [-np.inf]])).batch()


@pytest.mark.parametrize(
    "wrong, says",
    [
        ({"labels": [0.5, 1, 1]}, "labels are integers.*got 0.5.*datasets.of"),
        ({"labels": [np.nan, 1, 1]}, "labels are integers.*got nan"),
        ({"labels": ["a", "b", "c"]}, "labels are integers.*got a"),
        ({"labels": [[1], [2], [3]]}, r"labels are \(N,\).*got \(3, 1\)"),
        ({"labels": [1, 2]}, "3 examples, but 2 labels: need one per example"),
        ({"weights": [1, 2]}, "3 examples, but 2 weights"),
        ({"weights": [1, 2, -1]}, "weights are numbers from 0 up"),
        ({"weights": [1, 2, np.nan]}, "weights are numbers from 0 up"),
        ({"weights": [0, 0, 0]}, "weights are numbers from 0 up, not all 0"),
        ({"store": [[1.0]]}, "got list"),
        ({"store": np.zeros((3, 2), np.int64)}, "got int64.*datasets.of"),
        ({"store": np.float32(1)}, "got float32"),
    ],
    ids=str,
)
def test_what_is_no_example_is_refused(wrong, says):
    with pytest.raises(ValueError, match=says):
        Examples(**{"store": np.zeros((3, 2), np.float32)} | wrong)


def test_labels_that_are_whole_are_integers_whatever_their_type():
    for labels in ([0, 1, 2], np.array([0.0, 1.0, 2.0]), torch.tensor([0, 1, 2], dtype=torch.uint8)):
        b = Examples(np.zeros((3, 2)), labels).batch()
        assert b.y.dtype == torch.int64 and b.y.tolist() == [0, 1, 2]


# ---- networks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("standardise", [False, True], ids=["plain", "standardised"])
@pytest.mark.parametrize("net", models.NETS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_shape_goes_through_every_network_or_the_nearest_call_is_named(shape, net, standardise):
    a = numbers(24, shape) * 3 - 1
    a[RNG.random(a.shape) < 0.1] = np.nan
    data = Examples(a, weights=RNG.random(24))
    keywords = {"net": net, "likelihood": "gaussian-learnt", "hidden": None if net == "linear" else (4, 4)}
    if len(shape) == 1 and net in ("conv", "fcn"):
        with pytest.raises(ValueError, match='use net="mlp"'):
            models.autoencoder(shape, 2, **keywords)
        return
    model = models.autoencoder(shape, 2, **keywords, standardise=data if standardise else False)
    batch = data.batch()
    out = model(batch.x)
    assert out.x_hat.shape == batch.x.shape == model.sample(24).shape
    losses.elbo(model, batch)["loss"].mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in model.parameters())
    *_, record = training.train(
        model, data, losses.elbo, epochs=2, batch_size=10, valid=data[:5], device="cpu"
    )
    assert np.isfinite([record["train/loss"], record["valid/loss"]]).all()
    codes = latent.encode(model, data)
    assert len(codes) == 24 and latent.decode(model, out.z.detach()).shape == batch.x.shape


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_what_stands_for_missing_numbers_has_no_part_in_the_error(shape):
    a = numbers(6, shape)
    a[RNG.random(a.shape) < 0.3] = np.nan
    model = models.autoencoder(
        shape, 2, net="mlp", posterior="deterministic", likelihood="gaussian", hidden=(4,)
    )
    batch = Examples(a).batch()
    elsewhere = replace(batch, target=torch.where(batch.known, batch.target, 1e3))
    a, b = (losses.reconstruction(model, these)["loss"] for these in (batch, elsewhere))
    assert a.isfinite().all() and torch.equal(a, b)


# ---- changes of a batch --------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_changes_fit_every_shape_or_say_so(shape):
    a = numbers(200, shape) * (1 if len(shape) > 2 else 50)
    a[RNG.random(a.shape) < 0.2] = np.nan
    data = Examples(a, RNG.integers(0, 3, 200), weights=np.arange(200))
    clean = data.batch()
    b = data.map(noisy(0.2, known=True)).map(conditioned(3)).batch()
    assert torch.equal(b.target, clean.x) and torch.equal(b.known, clean.known)
    assert torch.equal(b.weight, clean.weight) and torch.equal(b.c.argmax(1), b.y)
    noise = (b.x - clean.x).std().item()
    assert (0.1 if len(shape) > 2 else 0.19) < noise < 0.21  # only pixels are clamped
    hole = torch.zeros(shape[1:] or shape)
    hole.view(-1)[0] = 1
    b = data.map(masked(hole, fill=0.25)).map(noisy(0.1)).batch()
    told = b.x[:, shape[0] :]
    assert b.x.shape[1] == shape[0] + (1 if len(shape) > 1 else shape[0])
    assert torch.equal(told, hole.expand(200, *told.shape[1:])) and torch.equal(b.target, clean.x)
    covered = hole.bool().expand(shape)
    plain = data.map(masked(hole, fill=0.25)).batch().x[:, : shape[0]]
    assert (plain[:, covered] == 0.25).all() and torch.equal(plain[:, ~covered], clean.x[:, ~covered])
    for f in (flipped, salt_and_pepper(0.1), datasets.occluded(0.1)):
        if len(shape) == 3:
            data.map(f).batch()
        else:
            with pytest.raises(ValueError, match=r"is for pictures \(C, H, W\).*noisy and masked"):
                data.map(f).batch()


def test_a_mirrored_picture_has_its_missing_pixels_mirrored_too():
    a = numbers(50, (1, 4, 6))
    a[:, :, :, 0] = np.nan
    b = Examples(a).map(flipped).batch()
    left = ~b.known[:, 0, 0, 0]
    assert 5 < left.sum() < 45 and torch.equal(~b.known[:, 0, 0, -1], ~left)


def condition(values, like=None, rows=slice(None)):
    """c of one attribute of these values."""
    data = Examples(np.zeros((len(values), 2)), attributes=pd.DataFrame({"a": values}))
    return data[rows].map(conditioned(like=None if like is None else data[like])).batch().c[:, 0].tolist()


def test_yes_and_no_are_1_and_minus_1_however_they_are_written_and_in_batches_of_any_size():
    for values in ([0, 1, np.nan, 0], [-1, 1, np.nan, -1], [False, True, None, False]):
        assert condition(values) == condition(values, slice(None)) == [-1, 1, 0, -1]
        for i, c in enumerate([-1, 1, 0, -1]):
            assert condition(values, rows=[i]) == condition(values, slice(None), [i]) == [c]


def test_measured_attributes_are_standardised_by_the_training_examples_and_small_ones_stay():
    assert condition([-1, 0.5, 0.25, np.nan], slice(None)) == [-1, 0.5, 0.25, 0]  # never −3
    ages = np.array([20.0, 30, 50, 80, np.nan])
    expected = np.nan_to_num((ages - ages[:3].mean()) / ages[:3].std())
    np.testing.assert_allclose(condition(ages, slice(3)), expected, rtol=1e-6)
    assert condition([7, 7, np.inf, np.nan], slice(None)) == [0, 0, 0, 0]
    for values in ([0.5, 0, 1], [-1, 1, 0], [3, 4, 5]):
        with pytest.raises(ValueError, match=r"but numbers: standardise.*conditioned\(like=split.train\)"):
            condition(values)
    two = Examples(np.zeros((3, 2)), attributes={"a": [3, 4, 5], "b": [1, 0, 1]})
    for other in (two.only("a"), two.only("b", "a"), Examples(np.zeros((3, 2)))):
        with pytest.raises(ValueError, match=r"but like= has \['a', 'b'\]: data.only\(\*names\) before map"):
            other.map(conditioned(like=two))
    with pytest.raises(ValueError, match="1 attributes, but like= has 2: the same, in one order"):
        conditioned(like=two)(two.only("a").batch())
    with pytest.raises(ValueError, match="like= is for attributes"):
        conditioned(like=Examples(np.zeros((3, 2))))


KINDS = {
    "float32": lambda t: t.astype(np.float32),
    "reversed rows": lambda t: t.iloc[::-1].iloc[::-1],
    "booleans": lambda t: t.astype(bool),
    "nullable integers": lambda t: t.astype("Int64"),
    "nullable booleans": lambda t: t.astype(bool).astype("boolean"),
    "objects": lambda t: t.astype(object),
    "categories": lambda t: t.astype("category"),
    "words": lambda t: t.replace({0: "no", 1: "Yes"}),
    "text": lambda t: t.astype(str),
    "dict": lambda t: t.to_dict("list"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_attributes_of_any_type_and_order_are_the_same_numbers_by_name(kind):
    plain = pd.DataFrame({"a": [0, 1, 1, 0], "b": [1, 1, 0, 0], "c": [1, 0, 1, 1]})
    given = KINDS[kind](plain)
    for order in (["a", "b", "c"], ["c", "b", "a"], ["b", "a"]):
        some = {k: given[k] for k in order} if isinstance(given, dict) else given[order]
        data = of(np.zeros((4, 2)), attributes=some)
        assert data.batch().y.tolist() == plain[order].to_numpy().tolist()
        assert data.map(conditioned()).batch().c.tolist() == (2 * plain[order] - 1).to_numpy().tolist()
        assert data.only("b").batch().y[:, 0].tolist() == data.attribute("b").tolist() == [1, 1, 0, 0]
    if not isinstance(given, dict):
        gone = given.astype(object).mask(plain == 1, None)
        assert np.isnan(Examples(np.zeros((4, 2)), attributes=gone).attribute("a")[1:3]).all()


def test_parts_have_their_attributes_in_one_order():
    table = pd.DataFrame({"a": [0.0, 1, 0], "b": [1.0, 1, 0]})
    train, valid = (Examples(np.zeros((3, 2)), attributes=table[order]) for order in (["b", "a"], ["a", "b"]))
    parts = Split(train, valid, valid[:1])
    assert [list(p.attributes) for p in (parts.train, parts.valid, parts.test)] == [["b", "a"]] * 3
    assert parts.valid.batch().y.tolist() == parts.train.batch().y.tolist()
    assert parts.train is train and parts.all.attributes.to_numpy().tolist() == [
        [1, 0],
        [1, 1],
        [0, 0],
    ] * 2 + [[1, 0]]


def test_words_become_an_attribute_each_and_what_is_no_attribute_is_named():
    data = Examples(np.zeros((4, 2)), attributes={"hair": ["red", None, "grey", "red"]})
    assert list(data.attributes) == ["hair=grey", "hair=red"]
    np.testing.assert_array_equal(data.attributes, [[0, 1], [np.nan] * 2, [1, 0], [0, 1]])
    for wrong, says in (
        ({"when": pd.to_datetime(["2020", "2021", "2022", "2023"])}, "'when' is dates"),
        ({"text": [f"word {i}" for i in range(30)]}, "'text' is dates, or 30 different words"),
        (pd.DataFrame(np.zeros((4, 2)), columns=["a", "a"]), "two attributes have the same name, of a, a"),
    ):
        with pytest.raises(ValueError, match=says):
            Examples(np.zeros((len(pd.DataFrame(wrong)), 2)), attributes=wrong)


def test_pixels_of_0_and_1_are_asked_about():
    masks = u8(9, 1, 8, 8) % 2
    for kind in (np.uint8, np.int64):
        with pytest.raises(
            ValueError, match=r"only 0 and 1 of 255.*x.astype\(bool\) or x \* 255.*if they really"
        ):
            of(masks.astype(kind))
    with pytest.warns(UserWarning, match="nearly black"):
        Images(masks)
    assert of(masks.astype(bool)).batch().x.max() == of(masks * 255).batch().x.max() == 1


@pytest.mark.parametrize("same", [True, False], ids=["one store", "three"])
def test_the_parts_as_one_set(same):
    x, y = u8(9, 1, 4, 4), np.arange(9)
    whole = Images(x, y)
    parts = [whole[a] if same else Images(x[a], y[a]) for a in (slice(4), slice(4, 4), slice(4, 9))]
    together = Split(*parts).all
    assert together.labels.tolist() == y.tolist() and np.array_equal(together.pixels, x)


# ---- of ------------------------------------------------------------------------------------------------


def u8(*shape):
    return RNG.integers(0, 256, shape).astype(np.uint8)


def f32(*shape):
    return RNG.random(shape, dtype=np.float32)


class Photos(Dataset):
    """Items as torchvision's: a PIL picture and a class."""

    def __init__(self, *sizes):
        self.pixels = [u8(*size, 3) for size in sizes]

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, i):
        from PIL import Image

        return Image.fromarray(self.pixels[i]), i


TABLE = pd.DataFrame(
    {"age": [31, 52, None], "sex": ["m", "f", "m"], "ill": [True, False, True], "born": ["1990", "1970", "x"]}
)


@pytest.mark.parametrize(
    "data, keywords, shown",
    [
        (u8(9, 28, 28), {}, r"Images(9 × (1, 28, 28), grey pictures, uint8 from 0 to 255)"),
        (f32(9, 28, 28), {}, "Images(9 × (1, 28, 28), grey pictures, float32 from"),
        (u8(9, 28, 28, 3), {}, "Images(9 × (3, 28, 28), pictures, channels last, uint8"),
        (f32(9, 3, 28, 28), {}, "Images(9 × (3, 28, 28), pictures, channels first"),
        (u8(9, 3, 32, 3), {"layout": "NHWC"}, "Images(9 × (3, 3, 32), pictures, channels last"),
        (u8(9, 8, 8).astype(np.uint16) * 257, {}, "Images(9 × (1, 8, 8), grey pictures, uint16"),
        (u8(9, 8, 8) > 99, {}, "Images(9 × (1, 8, 8), grey pictures, bool"),
        (torch.rand(9, 3, 8, 8).bfloat16(), {}, "Images(9 × (3, 8, 8), pictures, channels first, float32"),
        (f32(9, 4), {}, "Examples(9 × (4,), table, float32"),
        (np.arange(36).reshape(9, 4), {}, "Examples(9 × (4,), table, int64 from 0 to 35)"),
        (f32(9, 4).astype(">f4"), {}, "Examples(9 × (4,), table, >f4"),
        (f32(9, 2, 50), {}, "Examples(9 × (2, 50), series, channels first"),
        (f32(9, 50, 20), {"layout": "NTC"}, "Examples(9 × (20, 50), series, channels last"),
        (f32(9, 1, 8, 8, 8), {}, "Examples(9 × (1, 8, 8, 8), volumes, channels first"),
        (f32(9, 8, 8, 8), {"layout": "NDHW"}, "Examples(9 × (1, 8, 8, 8), grey volumes"),
        ([f32(3, 8, 8)] * 9, {}, "Images(9 × (3, 8, 8), pictures, channels first"),
        (f32(3, 4), {"labels": ["b", "a", "b"]}, "Examples(3 × (4,), 2 classes, table"),
        (TABLE, {"labels": "sex"}, "2 classes, table, float64 from 0 to 52, 1 missing, left out: born)"),
        (TABLE, {}, "Examples(3 × (2,), table, float64 from 0 to 52, 1 missing, left out: sex, born)"),
        (load_iris(), {}, "Examples(150 × (4,), 3 classes, table, float64 from 0.1 to 7.9)"),
        (load_iris(as_frame=True), {}, "Examples(150 × (4,), 3 classes, table, float64 from 0.1 to 7.9)"),
        (load_digits(), {}, "its pictures: of(bunch.images / bunch.images.max(), bunch.target)"),
        (load_diabetes(), {}, "Examples(442 × (10,), 1 attributes, table"),
        (several_targets(), {}, "Examples(20 × (3,), 3 attributes, table"),
        (TensorDataset(torch.rand(9, 3, 8, 8), torch.arange(9)), {}, "Images(9 × (3, 8, 8), 9 classes, pict"),
        (DataLoader(TensorDataset(torch.rand(9, 5)), 4, shuffle=True), {}, "Examples(9 × (5,), table"),
        (Photos((20, 20), (20, 20)), {}, "Images(2 × (3, 20, 20), 2 classes, pictures, channels last, uint8"),
    ],
)  # fmt: skip
def test_what_was_understood_is_shown(data, keywords, shown, capfd):
    made = of(data, **keywords)
    assert shown in repr(made) and capfd.readouterr() == ("", "")
    batch = made[:3].batch()
    assert batch.x.shape[1:] == made.shape and batch.x.dtype == torch.float32
    assert made.store.dtype == np.uint8 or "uint8" not in shown
    assert made.note and not made[:3].note  # of a part it might not be true


def test_numbers_arrive_where_they_belong(tmp_path):
    x = u8(7, 5, 6, 3)
    for given in (x, torch.from_numpy(x), list(x), mapped(x, tmp_path), Photos()):
        if isinstance(given, Photos):
            given.pixels = list(x)
        np.testing.assert_array_equal(of(given).pixels, x.transpose(0, 3, 1, 2))
    assert isinstance(of(mapped(x, tmp_path)).store, np.memmap)  # turned, and not read
    made = of(TABLE, labels="sex")
    np.testing.assert_array_equal(made.values, [[31, 1], [52, 0], [np.nan, 1]])
    assert list(made.names) == ["m", "f", "m"]
    iris, digits = of(load_iris()), load_digits()
    assert list(iris.names[[0, 50, 100]]) == ["setosa", "versicolor", "virginica"]
    cancer = load_breast_cancer()
    assert list(of(cancer).names) == list(cancer.target_names[cancer.target])
    np.testing.assert_array_equal(of(cancer).labels, cancer.target)  # not in the names' order
    assert of(digits.images / digits.images.max(), digits.target).shape == (1, 8, 8)
    np.testing.assert_allclose(of(load_diabetes()).attribute("target 0"), load_diabetes().target)
    assert of(f32(4, 2), labels=[-1, 1, 1, -1]).names.tolist() == ["-1", "1", "1", "-1"]
    again = of(made, attributes=pd.DataFrame({"a": [0, 1, 0]}))
    assert again.attribute("a").tolist() == [0, 1, 0] and again.labels is made.labels


@pytest.mark.parametrize(
    "data, keywords, says",
    [
        (u8(9, 3, 32, 3), {}, r'(9, 3, 32, 3) can be read in several ways: say layout="NCHW"'),
        (f32(9, 8, 8, 8), {}, 'layout="NCHW" (pictures, channels first), or "NHWC" (pictures,'),
        (f32(9, 62, 47), {}, '"NHW" (grey pictures)'),
        (f32(9, 28, 28) - 0.5, {}, "several ways"),
        (f32(9, 28, 28) * 255, {}, "divide by 255, or give them as uint8"),
        (f32(9, 3, 28, 28) * 6e4, {}, "divide by 65535, or give them as uint16"),
        (u8(9, 8, 8).astype(int), {}, "x.astype(np.uint8)"),
        (u8(9, 8, 8), {"layout": "NCHW"}, "no layout 'NCHW' for an array of shape (9, 8, 8). Known: NCT, "),
        (f32(9), {}, "x[:, None]"),
        (f32(9, 1, 2, 3, 4, 5), {}, "datasets.Examples(x)"),
        (np.array(["a", "b"]), {}, "these are strings"),
        (np.array([f32(3), f32(4)], dtype=object), {}, "these are objects"),
        (np.zeros((3, 4), complex), {}, "these are complex numbers"),
        (np.zeros((3, 4), "M8[s]"), {}, "these are dates"),
        ([f32(3, 4, 4), f32(3, 5, 5)], {}, "examples are of different shapes, as (3, 4, 4) and (3, 5, 5)"),
        (Photos((20, 20), (20, 21)), {}, "examples are of different shapes, as (20, 20, 3) and (20, 21, 3)"),
        (DataLoader(TensorDataset(torch.rand(9, 5)), collate_fn=list), {}, "collate_fn of its own"),
        ((f32(9, 4), np.zeros(9)), {}, "of a pair of(x, labels=y)"),
        (Split(*[Images(u8(2, 1, 2, 2))] * 3), {}, "of a Split one part, as split.train"),
        ({"a": 1}, {}, "no examples can be made of dict"),
        (TABLE, {"labels": "sexx"}, "there is no column 'sexx'; there are age, sex, ill, born"),
        (TABLE[["sex"]], {}, "no column holds numbers; there are sex"),
        (f32(3, 4), {"labels": [0.5, 1, 2]}, "got 0.5"),
        (f32(3, 4), {"labels": ["a", None, "b"]}, "1 labels are missing"),
        (f32(3, 4), {"labels": np.zeros((3, 2))}, "labels are (N,)"),
        (__file__, {}, "is a file: read it first"),
    ],
)  # fmt: skip
def test_two_readings_and_what_cannot_be_read_are_refused(data, keywords, says):
    with pytest.raises((ValueError, TypeError), match=re.escape(says)):
        of(data, **keywords)


def test_a_folder_of_photos_is_read_with_its_classes(no_data, tmp_path):
    for i, pixels in enumerate(u8(6, 70, 80, 3)):
        from PIL import Image

        folder = tmp_path / "photos" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    made = of(tmp_path / "photos")
    assert list(made.names) == ["a", "a", "a", "b", "b", "b"] and made.shape == (3, 64, 64)
    assert "photos, the central squares at 64×64" in repr(made)
    assert of(tmp_path / "photos", labels=list("uvwuvw")).names.tolist() == list("uvwuvw")


# ---- split ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("groups", [3, 8, 100])
def test_a_split_keeps_groups_together_and_loses_nobody(groups, seed):
    by = RNG.permutation(np.concatenate([np.arange(groups), RNG.integers(0, groups, 200)]))
    names = np.array([f"p{g}" for g in by], dtype=object)
    x = np.arange(len(by), dtype=np.float32)[:, None]
    parts = split(x, labels=by, by=names, valid=0.2, test=0.3, seed=seed)
    sets = [set(p.labels) for p in (parts.train, parts.valid, parts.test)]
    assert all(sets) and not (sets[0] & sets[1] or sets[0] & sets[2] or sets[1] & sets[2])
    values = np.concatenate([p.values for p in (parts.train, parts.valid, parts.test)])
    assert sorted(values[:, 0]) == sorted(x[:, 0])
    np.testing.assert_array_equal(parts.valid.labels, by[parts.valid.values[:, 0].astype(int)])
    if groups == 100:
        assert abs(len(parts.test) / len(x) - 0.3) < 0.03 and abs(len(parts.valid) / len(x) - 0.2) < 0.03
    again = split(x, labels=by, by=names, valid=0.2, test=0.3, seed=seed)
    np.testing.assert_array_equal(again.test.values, parts.test.values)
    other = split(x, valid=0.2, test=0.3, seed=seed + 1)
    assert not np.array_equal(other.test.values, split(x, valid=0.2, test=0.3, seed=seed).test.values)


def test_a_column_can_name_the_groups():
    table = pd.DataFrame({"x": np.arange(12.0), "who": list("aabbccddeeff"), "kind": ["u", "v"] * 6})
    parts = split(table, "kind", by="who", valid=0.2, test=0.2)
    assert parts.shape == (1,) and sorted(len(p) for p in (parts.train, parts.valid, parts.test)) == [2, 2, 8]
    for part in (parts.train, parts.valid, parts.test):
        assert (part.values[::2, 0] + 1 == part.values[1::2, 0]).all()


@pytest.mark.parametrize(
    "keywords, says",
    [
        ({"by": [0] * 9}, "3 parts need as many groups"),
        ({"by": [0] * 8}, "9 examples, but 8 in by"),
        ({"valid": 0.6, "test": 0.5}, "below 1 together"),
        ({"test": 0}, "above 0"),
    ],
)
def test_a_split_that_leaves_a_part_empty_is_refused(keywords, says):
    with pytest.raises(ValueError, match=says):
        split(f32(9, 4), **keywords)


def test_a_table_of_ones_own_from_the_file_to_the_reconstruction():
    """What a newcomer types: names of columns, missing numbers, units that differ."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    z = rng.normal(size=(300, 1))
    table = pd.DataFrame(
        z @ [[1000.0, 0.01, -3.0]] + rng.normal(size=(300, 3)) * [100, 0.001, 0.3] + [5000, 0, 9]
    )
    table = table.mask(rng.random(table.shape) < 0.05).assign(who=np.arange(300) // 3)
    parts = split(table, by="who")
    model = models.autoencoder(
        parts.shape,
        1,
        net="linear",
        posterior="deterministic",
        likelihood="gaussian",
        standardise=parts.train,
    )
    for _ in training.train(
        model, parts.train, losses.reconstruction, training.adam(model, 0.02), epochs=60, device="cpu"
    ):
        pass
    batch: Batch = parts.test.batch()
    error = torch.where(batch.known, model.reconstruct(batch.x) - batch.x, torch.nan)
    spread = torch.where(batch.known, batch.x, torch.nan)
    explained = 1 - error.square().nanmean(0) / (spread - spread.nanmean(0)).square().nanmean(0)
    assert (explained > 0.9).all()  # of each variable, in its own units


def test_what_is_rare_stands_more_often_in_an_oversampled_set_and_nothing_is_lost():
    table = pd.DataFrame({"hat": [1.0] * 4 + [0.0] * 96, "man": [1.0] * 80 + [0.0] * 20, "age": range(100)})
    table.loc[50, ["hat", "man"]] = np.nan
    data = datasets.of(np.arange(100, dtype=np.float32)[:, None], attributes=table)
    counts = np.bincount(data.oversampled(1.0).values[:, 0].astype(int))
    known = 99 / 2
    assert counts[:4].tolist() == [round(known / 4)] * 4 and set(counts[80:]) == {round(known / 20)}
    assert set(counts[4:80]) == {1}  # the common, and row 50, of which nothing is known but its age
    assert np.bincount(data.oversampled().values[:, 0].astype(int))[0] == round((known / 4) ** 0.5)
    assert len(data.oversampled(0.0)) == 100
    labelled = datasets.of(np.zeros((100, 2), np.float32), labels=[0] * 90 + [1] * 10)
    assert np.bincount(labelled.oversampled(1.0).labels).tolist() == [90, 50]
    with pytest.raises(ValueError, match="neither labels nor attributes"):
        datasets.of(np.zeros((10, 2), np.float32)).oversampled()
