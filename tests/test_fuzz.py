"""Bytes that nobody has thought of: each ends in a result or in words, never in a crash.

The examples are the same each time. To search for longer, with others:
AELIB_FUZZ=50 pytest tests/test_fuzz.py
"""

import gzip
import io
import json
import os
import shutil
import warnings

import numpy as np
import pytest
import torch
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from aelib import cli, datasets, losses, models, runs
from aelib.datasets import DataError, decoder
from aelib.datasets.mnist import read_idx
from aelib.runs import RunError, checkpoint
from aelib.runs.checkpoint import MANIFEST, STATE, WEIGHTS
from aelib.training import History

TIMES = int(os.environ.get("AELIB_FUZZ", "1"))


def fuzzed(examples):
    return settings(
        max_examples=examples * TIMES, derandomize=TIMES == 1, database=None, deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


@st.composite
def harms(draw):
    """A function that harms bytes: bits turned, numbers overwritten, pieces cut, doubled and inserted."""
    operation = st.tuples(
        st.sampled_from(["turn", "put", "cut", "end", "double", "insert"]),
        st.floats(0, 1, exclude_max=True),
        st.sampled_from([b"\0", b"\xff", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"])
        | st.binary(min_size=1, max_size=8),
    )
    listed = draw(st.lists(operation, min_size=1, max_size=6))
    head = draw(st.booleans())  # most of what can go wrong stands at the beginning

    def harm(data):
        for kind, where, what in listed:
            at = int(where * min(len(data), 200 if head else len(data)))
            if kind == "turn" and data:
                data = data[:at] + bytes([data[at] ^ (1 << what[0] % 8)]) + data[at + 1 :]
            elif kind == "put":
                data = data[:at] + what + data[at + len(what) :]
            elif kind == "cut":
                data = data[:at] + data[at + len(what) :]
            elif kind == "end":
                data = data[: int(where * len(data))]
            elif kind == "double":
                data = data[: at + 40] + data[at:]
            else:
                data = data[:at] + what + data[at:]
        return data

    return harm


# ---- photos ------------------------------------------------------------------------------------------------


def photo(kind, **options):
    pixels = np.random.default_rng(0).integers(0, 255, (18, 24, 3), np.uint8)
    image = Image.fromarray(pixels)
    if kind == "GIF":
        options = {"save_all": True, "append_images": [image.rotate(90 * i) for i in (1, 2)]}
    if "mode" in options:
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257) if options.pop("mode") else image
    if options.pop("palette", False):
        image = image.quantize(16)
    if options.pop("exif", False):
        note = Image.Exif()
        note[0x0112], note[0x010E] = 6, "by the sea"
        options["exif"] = note
    image.save(file := io.BytesIO(), kind, **options)
    return file.getvalue()


PHOTOS = {
    "jpeg": photo("JPEG", exif=True),
    "progressive": photo("JPEG", progressive=True, quality=40),
    "cmyk": photo("JPEG", subsampling=0),
    "png": photo("PNG", exif=True),
    "palette": photo("PNG", palette=True, transparency=3),
    "16 bits": photo("PNG", mode=16),
    "gif": photo("GIF"),
    "tiff": photo("TIFF", compression="tiff_lzw"),
    "webp": photo("WEBP"),
    "bmp": photo("BMP"),
    "ppm": photo("PPM"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.parametrize("kind", PHOTOS)
def test_a_photo_is_decoded_or_listed_with_a_reason(kind, place):
    (place / "pixels").write_bytes(b"")

    @fuzzed(30)
    @given(harms(), st.sampled_from([(3, 5, 7), (1, 4, 4), (3, 1, 1)]))
    def check(harm, shape):
        (place / "a.jpg").write_bytes(harm(PHOTOS[kind]))
        job = (os.fsencode(place), [b"a.jpg"], str(place / "pixels"), 0, shape, None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            n, checksum, unread = decoder.block(job)
        pixels = (place / "pixels").read_bytes()
        assert n == 1 and checksum == decoder.checksum(pixels[: np.prod(shape)], unread)
        assert len(pixels) >= np.prod(shape)
        if unread:
            ((number, why),) = unread
            assert number == 0 and why and "\n" not in why and str(place) not in why
            assert not any(pixels[: np.prod(shape)])

    check()


NOTES = {  # of how the camera was held: type, count and four bytes of TIFF
    "text": (2, 4, b"up\0\0"), "bytes": (7, 4, b"\6\0\0\0"), "two numbers": (3, 2, b"\6\0\6\0"),
    "zero": (3, 1, bytes(4)), "99": (3, 1, b"\x63\0\0\0"), "2³¹": (4, 1, b"\0\0\0\x80"),
    "-1": (9, 1, b"\xff" * 4), "a fraction": (11, 1, np.float32(6.5).tobytes()),
    "no number": (11, 1, np.float32("nan").tobytes()),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*too many entries")
@pytest.mark.parametrize("note", NOTES)
def test_a_camera_that_notes_nonsense_does_not_cost_the_photo(note, place):
    kind, count, value = NOTES[note]
    tag = (0x0112).to_bytes(2, "little") + kind.to_bytes(2, "little") + count.to_bytes(4, "little") + value
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + tag + bytes(4)
    Image.new("RGB", (4, 4), "white").save(place / "b.png", exif=exif)
    assert set(decoder.decode(os.fsencode(place / "b.png"), (3, 2, 2))) == {255}


# ---- checkpoints -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(place):
    data = datasets.load("digits").train[:64]
    model = models.autoencoder(data.shape, 2, net="linear")
    runs.fit(model, data, losses.elbo, epochs=2, run=place / "run", device="cpu")
    return place / "run" / "checkpoints" / "epoch-0002"


def signed(folder):
    sums = {name: checkpoint.digest(folder / name) for name in (WEIGHTS, STATE)}
    (folder / MANIFEST).write_text(json.dumps({"sha256": sums}))


@pytest.mark.parametrize("sign", [True, False])
@pytest.mark.parametrize("name", [WEIGHTS, STATE, MANIFEST])
def test_a_checkpoint_is_right_or_refused(name, sign, trained, tmp_path):
    folder = tmp_path / "run" / "checkpoints" / "epoch-0002"
    shutil.copytree(trained.parent.parent, tmp_path / "run")
    whole = {f: (folder / f).read_bytes() for f in (WEIGHTS, STATE, MANIFEST)}
    right = runs.load(tmp_path / "run", which="last", device="cpu").state_dict()
    history = runs.Run(tmp_path / "run").history()

    @fuzzed(40)
    @given(harms())
    def check(harm):
        for f, data in whole.items():
            (folder / f).write_bytes(harm(data) if f == name else data)
        if sign and name != MANIFEST:
            signed(folder)
        for read in (
            lambda: runs.load(tmp_path / "run", which="last", device="cpu").state_dict(),
            lambda: runs.Run(tmp_path / "run").history(),
        ):
            try:
                found = read()
            except RunError:
                continue
            if isinstance(found, History):
                assert found == history or (sign and all("epoch" in record for record in found))
            else:  # a signed file may hold other numbers, but only a model of the same shape
                assert {k: v.shape for k, v in found.items()} == {k: v.shape for k, v in right.items()}
                assert sign or all(torch.equal(v, right[k]) for k, v in found.items())

    check()


@pytest.mark.parametrize("name", ["run.json", "config.yaml"])
def test_a_runs_own_files_are_read_or_refused(name, trained, tmp_path):
    shutil.copytree(trained.parent.parent, tmp_path / "run")
    whole, run = (tmp_path / "run" / name).read_bytes(), runs.Run(tmp_path / "run")

    @fuzzed(60)
    @given(harms())
    def check(harm):
        (tmp_path / "run" / name).write_bytes(harm(whole))
        for read in (run.about, run.settings):
            try:
                assert isinstance(read(), dict)
            except RunError as e:
                assert str(tmp_path) in str(e)

    check()


# ---- the command line --------------------------------------------------------------------------------------

OPTIONS = ["data", "out", "size", "net", "posterior", "likelihood", "latent", "hidden", "objective", "beta",
           "warm_up", "noise", "flip", "batch_size", "optimizer", "lr", "schedule", "clip", "accelerator",
           "devices", "nodes", "strategy", "precision", "seed", "epochs", "config"]  # fmt: skip
SCALARS = (
    st.none() | st.booleans() | st.integers(-5, 70) | st.text(max_size=8)
    | st.sampled_from([10**15, -(2**70), 1e400, -0.5, 0.1, "conv", "mlp", "auto", "muon", "digits", "nan"])
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(), v, max_size=2), max_leaves=4
)  # fmt: skip


def config(text, folder, capsys):
    """`aelib train` with this file: its exit code and what it says; the training itself is left out."""
    (folder / "c.yaml").write_bytes(text)
    try:
        cli.main(["train", "--config=c.yaml", "digits", "--out=run", "--devices=1", "--nodes=1"])
        code = 0
    except SystemExit as e:
        code = e.code
    said = capsys.readouterr().err
    assert code in (0, 1, 2) and "Traceback" not in said and (code == 0 or "\naelib" in f"\n{said}"), said


@pytest.fixture
def untrained(monkeypatch, tmp_path, no_data):
    monkeypatch.setattr(runs, "fit", lambda *a, **k: History())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_options_with_any_value_are_used_or_refused(untrained, capsys):
    @fuzzed(60)
    @given(st.dictionaries(st.sampled_from(OPTIONS) | st.text(max_size=6), VALUES, max_size=4))
    @example({"hidden": [10**13]})
    @example({"latent": 2**62, "net": "linear"})
    def check(options):
        config(yaml.safe_dump(options, allow_unicode=True).encode(), untrained, capsys)

    check()


def test_a_configuration_of_any_bytes_is_used_or_refused(untrained, capsys):
    whole = b"net: linear\nlatent: 2\nhidden: [4, 5]\nlr: 0.1  # fast\nseed: 3\nout: 'a b'\n...\n"
    odd = st.text("[]{}:-&*!|>'\"%@ \n#?,ab1").map(str.encode)

    @fuzzed(60)
    @given(harms().map(lambda harm: harm(whole)) | st.binary(max_size=40) | odd)
    def check(text):
        config(text, untrained, capsys)

    check()


# ---- MNIST's files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [True, False])
def test_an_idx_file_is_read_or_refused(zipped, place):
    file = place / ("a.gz" if zipped else "a")
    pixels = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6)
    whole = b"".join(n.to_bytes(4, "big") for n in (0x0803, *pixels.shape)) + pixels.tobytes()

    @fuzzed(100)
    @given(harms(), st.booleans())
    def check(harm, inside):
        data = harm(whole) if inside else whole
        data = gzip.compress(data) if zipped else data
        file.write_bytes(data if inside else harm(data))
        try:
            found = read_idx(file, 3)
        except DataError as e:
            assert "Delete it and load again" in str(e)
        else:
            assert found.dtype == np.uint8 and found.ndim == 3 and found.size <= len(whole) + 300

    check()
