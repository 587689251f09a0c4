"""The cache of decoded pixels: what is damaged is found, named and decoded again, never trained on."""

import json
import multiprocessing
import os
import re
import shutil
import signal
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aelib import datasets
from aelib.datasets import DataError, cache, decoding

N = 40


@pytest.fixture
def photos(no_data, tmp_path, monkeypatch):
    """40 photos of one grey level each, two of which cannot be read; decoded in blocks of 8."""
    monkeypatch.setattr(decoding, "BLOCK", 8)
    (tmp_path / "photos").mkdir()
    for i in range(N):
        Image.new("RGB", (12, 12), (i + 1,) * 3).save(tmp_path / "photos" / f"{i:02d}.png")
    for i in (3, 21):
        (tmp_path / "photos" / f"{i:02d}.png").write_text("bad")
    return tmp_path / "photos"


def load(photos):
    """The folder, and what was said but that two cannot be read."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        split = datasets.load("folder", path=photos, size=8)
    return split, [str(w.message) for w in said if "2 of 40 photos" not in str(w.message)]


def right(split):
    assert sorted(split.unreadable) == ["03.png", "21.png"]
    found = {f: p for part in (split.train, split.valid, split.test)
             for f, p in zip(part.files, part.pixels, strict=True)}  # fmt: skip
    assert len(found) == N - 2
    return all((p == int(f[:2]) + 1).all() for f, p in found.items())


def files(no_data):
    (pixels,), (record,) = no_data.rglob("*.npy"), no_data.rglob("*.record")
    return pixels, record


@pytest.fixture
def counted(monkeypatch):
    """How many photos were decoded, block by block."""
    blocks, ask = [], decoding._Workers.ask
    monkeypatch.setattr(
        decoding._Workers, "ask", lambda self, job: (blocks.append(len(job[1])), ask(self, job))[1]
    )
    return blocks


def test_the_record_says_what_the_pixels_are(photos, no_data):
    assert right(load(photos)[0])
    pixels, record = files(no_data)
    assert np.load(pixels).shape == (N, 3, 8, 8)  # NumPy's own format
    head, *blocks, end = map(json.loads, record.read_text().splitlines())
    assert head[1]["folder"] == str(photos) and head[2] == [N, 3, 8, 8]
    assert sorted(first for first, *_ in blocks) == [0, 8, 16, 24, 32] and set(end) == {"sha256", "file"}
    assert {first + i: why for first, _, _, unread in blocks for i, why in unread} == {
        3: "not a photo", 21: "not a photo",
    }  # fmt: skip


def put(file, at, data):
    """Write some bytes in the middle of a file."""
    whole = bytearray(file.read_bytes())
    whole[at : at + len(data)] = data
    file.write_bytes(whole)


def other_shape(pixels, record):
    np.save(pixels, np.load(pixels).reshape(N, 3, 4, 16))


def without_the_unreadable(pixels, record):
    record.write_text(re.sub(r'\[\[\d, "not a photo"\]\]', "[]", record.read_text()))


def cut_lines(pixels, record):
    lines = record.read_bytes().splitlines(keepends=True)
    record.write_bytes(b"".join(lines[:2] + lines[-1:]))


def cut_off(pixels, record):
    lines = record.read_bytes().splitlines(keepends=True)
    record.write_bytes(b"".join(lines[:-2]) + lines[-2][:5])


def in_silence(pixels, record):
    """A disk that changes a byte does not note the time."""
    when = pixels.stat()
    put(pixels, 128 + 9 * 192, b"\xff")
    os.utime(pixels, ns=(when.st_atime_ns, when.st_mtime_ns))


DAMAGE = {  # what is done, what is said, how many photos are decoded again
    "pixels deleted": (lambda p, r: p.unlink(), "file of pixels is missing", N),
    "pixels cut": (lambda p, r: p.write_bytes(p.read_bytes()[:1000]), "cannot be opened", N),
    "pixels emptied": (lambda p, r: p.write_bytes(b""), "cannot be opened", N),
    "pixels zeroed": (lambda p, r: put(p, 128, bytes(192 * 30)), "4 of 5 blocks", 32),
    "one byte": (lambda p, r: put(p, 128 + 192 * 10, b"\xff"), "1 of 5 blocks", 8),
    "one byte in silence": (in_silence, "1 of 5 blocks", 8),
    "another shape": (other_shape, r"its pixels are \(40, 3, 4, 16\)", N),
    "no array": (lambda p, r: put(p, 0, b"<html>"), "cannot be opened", N),
    "record deleted": (lambda p, r: r.unlink(), "its record is missing", N),
    "record emptied": (lambda p, r: r.write_bytes(b""), None, N),
    "record cut": (cut_off, None, 8),
    "lines cut out": (cut_lines, "its record was changed", 32),
    "unreadable cut out": (without_the_unreadable, "its record was changed", 16),
    "another record": (lambda p, r: put(r, 30, b"#"), "its record was changed", N),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found_named_and_decoded_again(photos, no_data, counted, name):
    harm, message, again = DAMAGE[name]
    load(photos)
    harm(*files(no_data))
    counted.clear()
    split, said = load(photos)
    assert right(split) and sum(counted) == again
    if message is None:  # it cannot be told from a decoding that was interrupted
        assert not said
    else:
        assert len(said) == 1 and re.search(f"npy is damaged: .*{message}", said[0])
    counted.clear()
    assert right(load(photos)[0]) and not counted and not load(photos)[1]


def test_any_byte_that_changes_is_found_or_changes_nothing(photos, no_data):
    """Each of 60 bytes of the pixels' file and of the record, flipped, with the time of change put back."""
    load(photos)
    rng = np.random.default_rng(0)
    whole = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files(no_data)}
    silent = 0
    for file, (data, when) in whole.items():
        for at in rng.choice(len(data), 60, replace=False):
            for other, (bytes_, when_) in whole.items():
                other.write_bytes(bytes_)
                os.utime(other, ns=(when_, when_))
            put(file, int(at), bytes([data[at] ^ (1 << int(rng.integers(8)))]))
            os.utime(file, ns=(when, when))
            split, said = load(photos)
            assert right(split) and len(said) <= 1
            silent += file.suffix == ".npy" and at >= 128 and not said
    assert silent == 0


def test_a_large_set_is_looked_at_in_part_unless_somebody_touched_it(photos, no_data, monkeypatch):
    monkeypatch.setattr(cache, "LOOKED_AT", 192)  # one block of five
    looked, same = [], cache._same
    monkeypatch.setattr(cache, "_same", lambda *a: (looked.append(a[1][0]), same(*a))[1])
    load(photos)
    looked.clear()
    for _ in range(60):
        load(photos)
    assert len(looked) == 60 and len(set(looked)) == 5  # another one each time
    pixels = files(no_data)[0]
    looked.clear()
    os.utime(pixels, (1, 1))
    assert right(load(photos)[0]) and len(looked) == 5
    looked.clear()
    assert right(load(photos)[0]) and len(looked) == 1  # the new time is noted
    put(pixels, 128, b"\xff")
    split, said = load(photos)
    assert right(split) and "1 of 5 blocks" in said[0]


def test_a_damaged_line_of_an_interrupted_record_is_done_again(photos, no_data, counted):
    """As after a power cut: the record's line reached the disk, the pixels did not."""
    load(photos)
    pixels, record = files(no_data)
    lines = record.read_bytes().splitlines(keepends=True)
    record.write_bytes(b"".join(lines[:4]) + b'[[1]]\n{"a": 1\n[0, 99, 0, []]\nnull\n' + lines[4][:7])
    put(pixels, 128 + 192 * json.loads(lines[1])[0], bytes(192 * 8))
    counted.clear()
    split, said = load(photos)
    assert right(split) and not said and sum(counted) == N - 16


@pytest.mark.filterwarnings("ignore:.*use of fork")
def test_ctrl_c_ends_every_process_and_the_next_load_goes_on(photos, no_data, counted, capfd):
    context = multiprocessing.get_context("fork")

    def interrupted():
        os.setpgid(0, 0)  # a terminal sends Ctrl-C to all processes of a group
        update = decoding.tqdm.update
        decoding.tqdm.update = lambda bar, n: (update(bar, n), time.sleep(0.3))[0]
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            load(photos)
        except KeyboardInterrupt:
            os._exit(7)

    process = context.Process(target=interrupted)
    process.start()
    while not (found := list(no_data.rglob("*.record"))) or found[0].read_bytes().count(b"\n") < 2:
        assert process.is_alive()
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    process.join(30)
    assert process.exitcode == 7 and "Traceback" not in "".join(capfd.readouterr())
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)  # nobody of the group is left
    counted.clear()
    assert right(load(photos)[0]) and 0 < sum(counted) < N


@pytest.fixture
def as_nobody():
    """A function that runs another as a user who may write nothing here."""
    if not hasattr(os, "seteuid") or os.geteuid() != 0:
        pytest.skip("only root can become another")

    def run(f):
        os.seteuid(65534)
        try:
            return f()
        finally:
            os.seteuid(0)

    return run


def test_a_complete_cache_of_somebody_else_is_used_and_none_is_named(photos, monkeypatch, as_nobody):
    with tempfile.TemporaryDirectory(dir="/tmp") as shared:
        monkeypatch.setenv("AELIB_CACHE", f"{shared}/cache")
        Path(shared).chmod(0o755)
        photos = shutil.copytree(photos, Path(shared, "photos"))
        load(photos)
        assert right(as_nobody(lambda: load(photos)[0]))
        (pixels,) = Path(shared).rglob("*.npy")
        os.utime(pixels, (1, 1))
        assert right(as_nobody(lambda: load(photos)[0]))  # a copy: looked at, the new time is not noted
        put(pixels, 128, b"\xff")
        with pytest.warns(UserWarning, match="damaged"), pytest.raises(DataError, match="Set AELIB_CACHE"):
            as_nobody(lambda: datasets.load("folder", path=photos, size=8))
        with pytest.raises(DataError, match=r"cannot be written to \(Permission denied.*Set AELIB_CACHE"):
            as_nobody(lambda: datasets.load("folder", path=photos, size=9))
        assert right(load(photos)[0])  # its owner repairs it
