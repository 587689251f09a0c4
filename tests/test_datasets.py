import copy
import dataclasses
import gzip
import http.server
import importlib
import multiprocessing
import os
import pickle
import socket
import struct
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from aelib import datasets
from aelib.datasets import Batch, DataError, Images, binarised, conditioned, download, flipped, noisy
from aelib.datasets.batch import kept

photos_module = importlib.import_module("aelib.datasets.photos")


def images(n, shape=(1, 4, 4)):
    rng = np.random.default_rng(n)
    return Images(
        rng.integers(0, 256, (n, *shape), np.uint8), labels=np.arange(n), classes=[str(i) for i in range(n)]
    )


@pytest.mark.parametrize("n, size", [(1, 1), (1, 9), (7, 3), (10, 4), (129, 128), (100, 100), (5, 1)])
@pytest.mark.parametrize("seed", [None, 3])
def test_batches_hold_every_image_once_and_differ_by_at_most_one(n, size, seed):
    data = images(n)
    batches = list(data.batches(size, seed))
    lengths = [len(b) for b in batches]
    assert max(lengths) - min(lengths) <= 1 and max(lengths) <= size and len(lengths) == -(-n // size)
    order = torch.cat([b.y for b in batches])
    assert sorted(order.tolist()) == list(range(n))
    pixels = torch.cat([b.x for b in batches])
    np.testing.assert_array_equal((pixels * 255).round().numpy().astype(np.uint8), data.pixels[order.numpy()])


def test_order_is_a_function_of_the_seed():
    data = images(50)
    order = [torch.cat([b.y for b in data.batches(8, seed)]).tolist() for seed in (1, 1, 2)]
    assert order[0] == order[1] != order[2]


def test_rows_select_images_labels_and_attributes_together():
    data = images(20)[5:15][np.arange(10) % 2 == 0][[0, 4]]
    assert data.labels.tolist() == [5, 13] and list(data.names) == ["5", "13"]
    np.testing.assert_array_equal(data.pixels, images(20).pixels[[5, 13]])
    with pytest.raises(TypeError, match=r"data\[3:4\]"):
        data[3]


def test_no_copy_takes_along_what_was_worked_out_for_the_original():
    data = images(3)
    assert data.batch().y.tolist() == [0, 1, 2]
    changed = dataclasses.replace(data, labels=np.array([2, 1, 0]))
    assert changed.batch().y.tolist() == [2, 1, 0] and data.batch().y.tolist() == [0, 1, 2]
    fields = {f.name for f in dataclasses.fields(data)}
    for again in (copy.copy(data), copy.deepcopy(data), pickle.loads(pickle.dumps(data))):
        assert vars(again).keys() == fields and again.batch().y.tolist() == [0, 1, 2]
    assert kept(data) and not kept(copy.copy(data))
    worked_out = weakref.ref(next(iter(kept(data).values()))[0])
    del data
    assert worked_out() is None  # the memory goes with the set


def test_corruption_is_not_zero_changes_x_only_and_is_drawn_anew():
    clean = images(30).batch().x
    data = images(30).map(noisy(0.2))
    a, b = data.batch(), data.batch()
    assert torch.equal(a.target, clean) and torch.equal(b.target, clean)
    assert (a.x - clean).abs().mean() > 0.05
    assert not torch.equal(a.x, b.x)
    assert a.x.min() >= 0 and a.x.max() <= 1
    assert images(30).batch().target is not None
    with pytest.raises(ValueError, match="changes nothing"):
        noisy(0.0)


def test_noise_has_the_standard_deviation_asked_for():
    x = torch.full((4, 1, 100, 100), 0.5)
    assert noisy(0.1)(Batch(x)).x.std().item() == pytest.approx(0.1, rel=0.03)


def test_flips_mirror_half_of_the_images_and_their_targets_with_them():
    data = images(400, (1, 3, 5)).map(flipped)
    clean, b = images(400, (1, 3, 5)).batch().x, data.batch()
    same = (b.x == clean).flatten(1).all(1)
    mirrored = (b.x == clean.flip(-1)).flatten(1).all(1)
    assert (same | mirrored).all() and 150 < same.sum() < 250
    assert torch.equal(b.x, b.target)
    noisy_first = images(400, (1, 3, 5)).map(noisy(0.1)).map(flipped).batch()
    same = (noisy_first.target == clean).flatten(1).all(1)
    restored = torch.where(same.view(-1, 1, 1, 1), noisy_first.x, noisy_first.x.flip(-1))
    assert (restored - clean).abs().mean() < 0.1


def test_binarised_pixels_are_one_with_their_grey_level_as_probability_anew_each_time():
    x = torch.linspace(0, 1, 5).view(1, 1, 1, 5).expand(20_000, -1, -1, -1)
    a, b = binarised(Batch(x)), binarised(Batch(x))
    assert set(a.x.unique().tolist()) == {0.0, 1.0} and torch.equal(a.x, a.target)
    assert not torch.equal(a.x, b.x)
    torch.testing.assert_close(a.x.mean(0).flatten(), x[0].flatten(), atol=0.02, rtol=0)
    assert (a.x[..., 0] == 0).all() and (a.x[..., -1] == 1).all()


def test_conditions_are_what_is_known_about_each_image():
    labelled = images(5).map(conditioned(5))
    b = labelled.batch()
    assert b.c.shape == (5, 5) and torch.equal(b.c.argmax(1), b.y) and (b.c.sum(1) == 1).all()
    table = pd.DataFrame({"a": [1.0, 0.0, np.nan], "b": [0.0, 1.0, 1.0]})
    b = Images(np.zeros((3, 1, 2, 2), np.uint8), attributes=table).map(conditioned()).batch()
    assert b.c.tolist() == [[1, -1], [-1, 1], [0, 1]]
    x = torch.zeros(3, 1, 2, 2)
    for batch, f, message in (
        (Batch(x), conditioned(3), "neither labels nor attributes"),
        (Batch(x, y=torch.zeros(3, dtype=torch.long)), conditioned(), "say how many classes"),
        (Batch(x, y=torch.zeros(3, 2)), conditioned(2), "use conditioned\\(\\)"),
    ):
        with pytest.raises(ValueError, match=message):
            f(batch)


def test_pixels_of_the_wrong_kind_are_refused():
    for pixels, says in (
        (np.zeros((3, 1, 4, 4), np.int64), r"uint8, uint16, .*; got int64"),
        (np.zeros((3, 4), np.uint8), r"pictures are \(N, C, H, W\); got \(3, 4\).*Examples"),
        (np.zeros((3, 28, 28, 3), np.uint8), r"the channels stand last: write datasets.of\(pixels\)"),
        (np.full((3, 1, 4, 4), 200.0), "go up to 200: divide by 255, or give them as uint8"),
    ):
        with pytest.raises(ValueError, match=says):
            Images(pixels)
    with pytest.raises(ValueError, match="need one per image"):
        Images(np.zeros((3, 1, 4, 4), np.uint8), labels=np.zeros(2, int))
    with pytest.raises(ValueError, match="at least one example"):
        next(images(3).batches(0))


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'mnist'"):
        datasets.load("mnits")
    split = datasets.load("drawn-faces", n=40)
    with pytest.raises(KeyError, match="Did you mean 'Smiling'"):
        split.train.attribute("smilling")


@pytest.mark.parametrize(
    "name, shape", [("digits", (1, 8, 8)), ("faces-sample", (1, 25, 25)), ("drawn-faces", (3, 64, 64))]
)
def test_embedded_datasets_need_nothing(no_data, monkeypatch, name, shape):
    monkeypatch.setattr(socket, "create_connection", lambda *a, **k: pytest.fail("went to the network"))
    split = datasets.load(name)
    assert split.shape == shape
    assert all(len(part) > 0 for part in (split.train, split.valid, split.test))


def test_faces_sample_are_faces_only():
    # scikit-image's second hundred are patches without faces: faces resemble their own mean
    data = datasets.load("faces-sample")
    pixels = np.concatenate([data.train.pixels, data.valid.pixels, data.test.pixels]).reshape(100, -1) / 255
    mean = pixels.mean(0) - pixels.mean()
    alike = [np.corrcoef(p, mean)[0, 1] for p in pixels]
    assert np.mean(alike) > 0.4


# ---- drawn faces ---------------------------------------------------------------------------------------


def test_drawn_faces_are_a_function_of_the_seed():
    a, b, c = (datasets.load("drawn-faces", n=60, seed=s).train for s in (0, 0, 1))
    np.testing.assert_array_equal(a.pixels, b.pixels)
    assert not np.array_equal(a.pixels, c.pixels)


def test_drawn_faces_share_no_person_between_parts():
    split = datasets.load("drawn-faces", n=600)
    who = [set(part.labels) for part in (split.train, split.valid, split.test)]
    assert not (who[0] & who[1] or who[0] & who[2] or who[1] & who[2])
    assert sum(map(len, (split.train, split.valid, split.test))) == 600


def test_each_drawn_attribute_can_be_seen():
    """The same faces drawn with and without an attribute differ, and only where it is drawn."""
    from aelib.datasets.drawn import ATTRIBUTES, _paint

    g = torch.Generator().manual_seed(0)
    shape, pose = torch.rand(16, 24, generator=g), torch.rand(16, 24, generator=g)
    for i, name in enumerate(ATTRIBUTES):
        without = torch.zeros(16, len(ATTRIBUTES))
        with_it = without.clone()
        with_it[:, i] = 1
        changed = (_paint(with_it, shape, pose, 64) - _paint(without, shape, pose, 64)).abs().amax(1) > 0.04
        share = changed.float().mean((1, 2))
        assert (share > 0.002).all(), f"{name} changes nothing"
        assert (share < 0.6).all(), f"{name} changes the whole face"


@pytest.mark.parametrize("size", [8, 33, 64])
def test_drawn_faces_of_any_size(size):
    assert datasets.load("drawn-faces", n=24, size=size).shape == (3, size, size)
    with pytest.raises(ValueError, match="n ≥ 12"):
        datasets.load("drawn-faces", n=3)


# ---- LFW: a small tree in the official layout ----------------------------------------------------------

PEOPLE = {"Ann_A": 3, "Bob_B": 1, "Cid_C": 2, "Dee_D": 1, "Eve_E": 2, "Fay_F": 1, "Gus_G": 1, "Hal_H": 1}


@pytest.fixture
def lfw_tree(monkeypatch, tmp_path, no_data):
    root = tmp_path / "data" / "lfw" / "lfw-deepfunneled"
    rng = np.random.default_rng(0)
    for person, n in PEOPLE.items():
        (root / person).mkdir(parents=True)
        for i in range(1, n + 1):
            coarse = Image.fromarray(rng.integers(0, 256, (10, 10, 3), np.uint8))
            coarse.resize((250, 250)).save(root / person / f"{person}_{i:04d}.jpg", quality=95)
    (root.parent / "lfw-names.txt").write_text("".join(f"{p}\t{n}\n" for p, n in PEOPLE.items()))
    rows = ["# a comment", "#\tperson\timagenum\tMale\tSmiling"]
    rows += [f"Ann A\t{i}\t-1.5\t{0.5 if i == 2 else -0.25}" for i in (1, 2, 3)] + ["Bob B\t1\t2.0\t-3"]
    (root.parent / "lfw_attributes.txt").write_text("\n".join(rows) + "\n")
    monkeypatch.setenv("AELIB_DATA", str(tmp_path / "data"))
    return root


def whole(split):
    return {part: getattr(split, part) for part in ("train", "valid", "test")}


def test_lfw_reads_names_attributes_and_the_crop(lfw_tree):
    split = datasets.load("lfw", size=(20, 30), split="random")
    parts = whole(split).values()
    assert sum(map(len, parts)) == sum(PEOPLE.values()) and split.shape == (3, 20, 30)
    for part in parts:
        for i in range(len(part)):
            name, number = part.names[i], None
            for k in range(1, PEOPLE[name] + 1):
                with Image.open(lfw_tree / name / f"{name}_{k:04d}.jpg") as photo:
                    crop = photo.crop((80, 80, 170, 170)).resize((30, 20), Image.Resampling.BICUBIC)
                if np.array_equal(np.asarray(crop).transpose(2, 0, 1), part.pixels[i]):
                    number = k
            assert number, f"no photo of {name} is image {i}"
            assert part.files[i] == f"{name}/{name}_{number:04d}.jpg"
            male, smiling = part.attributes.iloc[i]
            if name == "Ann_A":
                assert male == 0 and smiling == (number == 2)
            elif name == "Bob_B":
                assert male == 1 and smiling == 0
            else:
                assert np.isnan(male) and np.isnan(smiling)


@pytest.mark.parametrize("seed", range(5))
def test_people_split_never_shares_a_person(lfw_tree, seed):
    parts = [set(p.names) if len(p) else set() for p in whole(datasets.load("lfw", seed=seed)).values()]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])


def test_lfw_is_decoded_once_and_again_when_a_photo_is_added(lfw_tree, monkeypatch):
    datasets.load("lfw")
    calls = []
    decode = photos_module.decode
    monkeypatch.setattr(photos_module, "decode", lambda *a: (calls.append(1), decode(*a))[1])
    datasets.load("lfw")
    assert not calls
    datasets.load("lfw", size=32)
    datasets.load("lfw", channels=1)
    assert len(calls) == 2
    time.sleep(0.02)
    source = lfw_tree / "Ann_A" / "Ann_A_0001.jpg"
    (lfw_tree / "Ann_A" / "Ann_A_0004.jpg").write_bytes(source.read_bytes())
    (lfw_tree.parent / "lfw-names.txt").unlink()
    assert sum(len(p) for p in whole(datasets.load("lfw")).values()) == sum(PEOPLE.values()) + 1


def _load_in_process(queue):
    queue.put(sum(int(p.pixels.sum()) for p in whole(datasets.load("lfw")).values()))


def test_two_processes_at_once_get_the_same_and_leave_no_litter(lfw_tree, no_data):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    both = [context.Process(target=_load_in_process, args=(queue,)) for _ in range(2)]
    for p in both:
        p.start()
    sums = [queue.get(timeout=60) for _ in both]
    for p in both:
        p.join()
    assert sums[0] == sums[1]
    assert len(list((no_data / "decoded").glob("*.npy"))) == 1
    assert len(list((no_data / "decoded").glob("*.record"))) == 1


def test_an_interrupted_decoding_is_gone_on_with(lfw_tree, no_data, monkeypatch):
    def stop(*a):
        raise KeyboardInterrupt

    with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt):
        m.setattr(photos_module, "decode", stop)
        datasets.load("lfw")
    (record,) = (no_data / "decoded").glob("*.record")
    assert b"sha256" not in record.read_bytes()
    assert datasets.load("lfw").train.pixels.any((1, 2, 3)).all()


@pytest.mark.parametrize(
    "harm, message",
    [
        (lambda r: (r / "Cid_C" / "Cid_C_0002.jpg").write_bytes(b"not a photo"), "0002.jpg cannot be"),
        (lambda r: (r / "Cid_C" / "Cid_C_0001.jpg").unlink(), "lacks 1 of 12 photos, first Cid_C/Cid_C_0001"),
        (
            lambda r: (r / "Cid_C" / "Cid_C_0002.jpg").rename(r / "Cid_C" / "Cid_C_2.jpg"),
            "lacks 1 of 12 photos, first Cid_C/Cid_C_0002.jpg",
        ),
        (lambda r: (r / "Ann_A" / "Bob_B_0001.jpg").write_bytes(b""), "Ann_A/Bob_B_0001.jpg is not expected"),
        (
            lambda r: ((r / "Hal_H" / "Hal_H_0001.jpg").unlink(), (r / "Hal_H").rmdir()),
            "lacks 1 of 12 photos, first Hal_H",
        ),
        (lambda r: (r.parent / "lfw_attributes.txt").write_text("<html>gone</html>"), "not LFW"),
    ],
    ids=["corrupt", "missing", "misnamed", "strange", "half-unpacked", "wrong attributes"],
)  # fmt: skip
def test_a_damaged_lfw_is_named_with_what_to_do(lfw_tree, no_data, harm, message):
    harm(lfw_tree)
    with pytest.raises(DataError, match=message) as e:
        datasets.load("lfw")
    assert any(word in str(e.value) for word in ("again", "unpack"))
    assert not list(no_data.rglob("*.part"))


def test_a_truncated_photo_is_named(lfw_tree):
    photo = lfw_tree / "Ann_A" / "Ann_A_0002.jpg"
    photo.write_bytes(photo.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"Ann_A_0002\.jpg cannot be decoded"):
        datasets.load("lfw")


def test_without_attributes_lfw_warns_and_goes_on(lfw_tree):
    (lfw_tree.parent / "lfw_attributes.txt").unlink()
    with pytest.warns(UserWarning, match="Going on without attributes"):
        split = datasets.load("lfw")
    assert split.train.attributes is None


@pytest.mark.parametrize("options", [{"split": "peopel"}, {"channels": 2}, {"size": 0}])
def test_lfw_options_are_checked(lfw_tree, options):
    with pytest.raises(ValueError):
        datasets.load("lfw", **options)


def test_aelib_data_that_is_no_folder_is_named(monkeypatch, no_data):
    monkeypatch.setenv("AELIB_DATA", "/no/such/folder")
    with pytest.raises(DataError, match="AELIB_DATA=/no/such/folder is not a folder"):
        datasets.load("mnist")


def test_a_cache_that_cannot_be_written_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    monkeypatch.setenv("AELIB_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DataError, match="Set AELIB_CACHE"):
        datasets.load("folder", path=tmp_path)


# ---- MNIST's format ------------------------------------------------------------------------------------


def idx(array):
    return struct.pack(f">{1 + array.ndim}i", 0x0800 + array.ndim, *array.shape) + array.tobytes()


@pytest.mark.parametrize("zipped", [True, False])
def test_idx_files_are_read(tmp_path, zipped):
    from aelib.datasets.mnist import read_idx

    a = np.random.default_rng(0).integers(0, 256, (5, 4, 3), np.uint8)
    path = tmp_path / ("a.gz" if zipped else "a")
    path.write_bytes(gzip.compress(idx(a)) if zipped else idx(a))
    np.testing.assert_array_equal(read_idx(path, 3), a)


@pytest.mark.parametrize(
    "harm", [lambda b: b[:-20], lambda b: b"<html>", lambda b: b"", lambda b: b[:30] + b"xx" + b[32:]]
)
def test_damaged_idx_files_are_named(tmp_path, harm):
    from aelib.datasets.mnist import read_idx

    path = tmp_path / "a.gz"
    path.write_bytes(harm(gzip.compress(idx(np.zeros((5, 40, 3), np.uint8)))))
    with pytest.raises(DataError, match=r"a\.gz is damaged or cut short"):
        read_idx(path, 3)


# ---- downloads, from a server on this machine ----------------------------------------------------------

GOOD = b"a file of the right bytes" * 1000
GOOD_HASH = "md5:" + __import__("hashlib").md5(GOOD).hexdigest()


class _Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/missing":
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(GOOD)))
        self.end_headers()
        self.wfile.write({"/good": GOOD, "/half": GOOD[:9000], "/wrong": GOOD[::-1]}[self.path])

    def log_message(self, *a):
        pass


@pytest.fixture
def server(no_data, monkeypatch):
    monkeypatch.delenv("AELIB_OFFLINE", raising=False)
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()


def get(*urls):
    return download.download("set/file.bin", urls, GOOD_HASH, otherwise="datasets.load('digits')")


def test_a_download_goes_to_the_next_mirror_and_is_verified(server, no_data):
    path = get(f"{server}/missing", f"{server}/wrong", f"{server}/half", f"{server}/good")
    assert path == no_data / "set" / "file.bin" and path.read_bytes() == GOOD


@pytest.mark.parametrize("bad, reason", [("half", "half"), ("wrong", "checksum"), ("missing", "404")])
def test_a_bad_download_leaves_no_file_and_names_what_works_instead(server, no_data, bad, reason):
    with pytest.raises(DataError, match=reason) as e:
        get(f"{server}/{bad}")
    assert "datasets.load('digits') needs none" in str(e.value)
    assert not [p for p in no_data.rglob("*") if p.is_file() and p.suffix != ".lock"]


def test_an_unreachable_host_fails_within_seconds(server):
    with socket.socket() as s:  # a port that nobody listens on
        s.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{s.getsockname()[1]}/x"
    start = time.perf_counter()
    with pytest.raises(DataError, match="cannot be reached"):
        get(url)
    assert time.perf_counter() - start < 30


def test_a_host_that_says_nothing_fails_within_seconds(server, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT_SECONDS", 0.5)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        with pytest.raises(DataError, match=r"no answer within 0\.5 s"):
            get(f"http://127.0.0.1:{s.getsockname()[1]}/x")


def test_offline_means_no_download(no_data, monkeypatch):
    monkeypatch.setenv("AELIB_OFFLINE", "1")
    with pytest.raises(DataError, match="AELIB_OFFLINE"):
        datasets.load("mnist")
    with pytest.raises(DataError, match="drawn-faces"):
        datasets.load("lfw")


def test_an_archive_that_leaves_its_folder_is_refused(tmp_path):
    import io
    import tarfile

    with tarfile.open(tmp_path / "a.tgz", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../outside.txt"), io.BytesIO())
    (tmp_path / "in").mkdir()
    with pytest.raises(DataError, match="cannot be unpacked"):
        download.unpack(tmp_path / "a.tgz", tmp_path / "in" / "lfw")
    assert not (tmp_path / "outside.txt").exists() and not (tmp_path / "in" / "lfw").exists()
    (tmp_path / "b.tgz").write_bytes((tmp_path / "a.tgz").read_bytes()[:40])
    with pytest.raises(DataError, match="Delete it and load again"):
        download.unpack(tmp_path / "b.tgz", tmp_path / "in" / "lfw")


# ---- the real data -------------------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.parametrize("name, official", [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
def test_real_mnist_is_what_torchvision_reads(tmp_path, name, official):
    import torchvision

    raw = tmp_path / official / "raw"
    raw.mkdir(parents=True)
    for f in Path(os.environ["AELIB_DATA"], official, "raw").glob("*.gz"):
        (raw / f.stem).write_bytes(gzip.decompress(f.read_bytes()))
    ours = datasets.load(name)
    theirs = [getattr(torchvision.datasets, official)(tmp_path, train=t) for t in (True, False)]
    pixels = np.concatenate([ours.train.pixels, ours.valid.pixels])
    np.testing.assert_array_equal(pixels[:, 0], theirs[0].data.numpy())
    np.testing.assert_array_equal(ours.test.pixels[:, 0], theirs[1].data.numpy())
    np.testing.assert_array_equal(ours.test.labels, theirs[1].targets.numpy())
    assert [c.split("/")[0] for c in theirs[1].classes][1][:3].lower() in ("1 -", "tro")


@pytest.mark.data
def test_real_lfw_is_whole():
    people, random = datasets.load("lfw"), datasets.load("lfw", split="random")
    for split in (people, random):
        counts = [len(p) for p in whole(split).values()]
        assert sum(counts) == 13233 and abs(counts[2] - 1333) < 10 and abs(counts[1] - 900) < 10
    assert [len(p) for p in whole(random).values()] == [11000, 900, 1333]
    assert not set(people.train.names) & set(people.test.names)
    assert set(random.train.names) & set(random.test.names)
    attributes = random.train.attributes
    assert attributes.shape[1] == 73 and 0.3 < attributes["Smiling"].mean() < 0.6
    x = random.test.pixels.reshape(1333, -1) / 255
    mean = random.train.pixels[::10].reshape(1100, -1).mean(0) / 255
    assert ((x - mean) ** 2).mean() == pytest.approx(0.0281, rel=0.05)
