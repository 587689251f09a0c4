"""Folders of photos: every mode against Pillow, every kind of bad file, and what may happen on the way."""

import json
import multiprocessing
import os
import re
import subprocess
import sys
import time
import tracemalloc
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
import tqdm.notebook
from benchmarks import decoding as cost
from PIL import Image, ImageOps, features

from aelib import datasets, plots, retrieval
from aelib.datasets import DataError, cache, decoder, decoding, download

RNG = np.random.default_rng(0)


def picture(width=40, height=30, mode="RGB"):
    return Image.fromarray(RNG.integers(0, 256, (height, width, 4), np.uint8)).convert("RGB").convert(mode)


def fill(root, n, folders=("",), suffix="png"):
    """n photos of 12×12, one grey level each, told from each other by it. Returns {name: level}."""
    levels = {}
    for i in range(n):
        file = root / folders[i % len(folders)] / f"{i:04d}.{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        levels[file.relative_to(root).as_posix()] = i % 256
        Image.new("RGB", (12, 12), (i % 256,) * 3).save(file)
    return levels


@pytest.fixture
def root(no_data, tmp_path):
    (tmp_path / "photos").mkdir()
    return tmp_path / "photos"


def load(root, **options):
    return datasets.load("folder", path=root, **{"size": 8, **options})


def whole(split):
    """{name of file: pixels} of all parts."""
    parts = (split.train, split.valid, split.test)
    return {str(f): p for part in parts if len(part) for f, p in zip(part.files, part.pixels, strict=True)}


def litter(cache):
    return [p.name for p in cache.rglob("*") if p.is_file() and p.suffix not in (".npy", ".record", ".lock")]


# ---- one photo -------------------------------------------------------------------------------------------


def expected(file, size, channels=3):
    """The same by other ways of Pillow: `ImageOps`, at full size, with the background pasted under."""
    with Image.open(file) as photo:
        side = min(photo.size)
        left, top = (photo.width - side) // 2, (photo.height - side) // 2
        photo = ImageOps.exif_transpose(photo.crop((left, top, left + side, top + side)))
        if photo.mode.startswith("I"):
            photo = Image.fromarray((np.asarray(photo).astype(int) // 256).astype(np.uint8))
        if photo.has_transparency_data:
            above = photo.convert("RGBA")
            photo = Image.new("RGB", photo.size, "white")
            photo.paste(above, mask=above.getchannel("A"))
        photo = photo.convert("RGB" if channels == 3 else "L")
        photo = photo.resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(photo).reshape(size, size, channels).transpose(2, 0, 1)


def decoded(file, size, channels=3):
    shape = (channels, size, size)
    return np.frombuffer(decoder.decode(file, shape), np.uint8).reshape(shape)


FORMATS = [
    ("L", "jpg"), ("RGB", "jpg"), ("CMYK", "jpg"), ("1", "png"), ("L", "png"), ("LA", "png"), ("P", "png"),
    ("RGB", "png"), ("RGBA", "png"), ("P", "gif"), ("RGBA", "webp"), ("RGB", "bmp"), ("CMYK", "tif"),
    ("YCbCr", "tif"),
]  # fmt: skip


@pytest.mark.parametrize("mode, suffix", FORMATS)
@pytest.mark.parametrize("width, height", [(1, 1), (7, 3), (20, 33), (64, 64), (129, 40)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_photo_of_any_mode_and_size_is_what_pillow_makes_of_it(
    tmp_path, mode, suffix, width, height, channels
):
    file = tmp_path / f"a.{suffix}"
    photo = picture(width, height, mode if mode in ("CMYK", "YCbCr", "L", "1", "P") else "RGB")
    if mode in ("LA", "RGBA"):
        photo = photo.convert(mode)
        photo.putalpha(picture(width, height, "L"))
    photo.save(file)
    for size in (1, 16, 45):
        if suffix == "jpg" and min(width, height) >= 4 * size:
            continue  # decoded small: the test of large ones
        tolerance = 1 if mode in ("LA", "RGBA") else 0  # two ways to round a mixture with white
        difference = decoded(file, size, channels).astype(int) - expected(file, size, channels)
        assert np.abs(difference).max() <= tolerance


def test_transparent_colours_of_palettes_and_of_png_are_white(tmp_path):
    photo = Image.new("P", (8, 8), 1)
    photo.putpalette([255, 0, 0, 0, 0, 255])
    photo.putpixel((0, 0), 0)
    photo.save(tmp_path / "a.png", transparency=1)
    Image.new("RGB", (8, 8), (9, 9, 9)).save(tmp_path / "b.png", transparency=(9, 9, 9))
    assert decoded(tmp_path / "a.png", 8)[:, 0, 0].tolist() == [255, 0, 0]
    assert (decoded(tmp_path / "a.png", 8)[:, 1:] == 255).all() and (
        decoded(tmp_path / "b.png", 8) == 255
    ).all()


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_sixteen_bits_keep_their_upper_half(tmp_path, suffix):
    grey = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(grey).save(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(decoded(tmp_path / f"a.{suffix}", 8, 1)[0], grey >> 8)
    np.testing.assert_array_equal(decoded(tmp_path / f"a.{suffix}", 8)[1], grey >> 8)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_photos_stand_upright(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture(41, 30).save(tmp_path / f"a.{suffix}", exif=exif)
    difference = decoded(tmp_path / f"a.{suffix}", 20).astype(int) - expected(tmp_path / f"a.{suffix}", 20)
    # Pillow rounds between its passes along rows and along columns, so turning first differs in a level or so
    assert np.abs(difference).max() <= (0 if orientation < 5 else 10)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_damaged_note_of_the_camera_does_not_cost_the_photo(tmp_path):
    picture().save(tmp_path / "a.jpg", exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff" + bytes(range(40)))
    assert decoded(tmp_path / "a.jpg", 8).shape == (3, 8, 8)


def test_of_an_animation_the_first_frame_is_taken(tmp_path):
    frames = [Image.new("RGB", (9, 9), c) for c in ("red", "lime", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert decoded(tmp_path / "a.gif", 4)[:, 1, 1].tolist() == [255, 0, 0]


@pytest.mark.parametrize("width, height", [(20_000, 60), (30, 20_000), (1, 1), (1, 500)])
def test_panoramas_and_single_pixels_are_photos(tmp_path, width, height):
    Image.new("RGB", (width, height), (50, 100, 150)).save(tmp_path / "a.png")
    assert (decoded(tmp_path / "a.png", 8) == np.array([50, 100, 150])[:, None, None]).all()


@pytest.mark.parametrize("mode, orientation", [("RGB", 1), ("L", 1), ("CMYK", 1), ("RGB", 6), ("L", 3)])
def test_a_large_jpeg_decoded_small_looks_the_same(tmp_path, mode, orientation):
    x, y = np.meshgrid(np.linspace(0, 12, 1100), np.linspace(0, 9, 900))
    waves = np.stack([np.sin(x + k) * np.cos(y * (k + 1)) for k in range(3)], 2)
    photo, exif = Image.fromarray((waves * 120 + 128).astype(np.uint8)).convert(mode), Image.Exif()
    exif[0x0112] = orientation
    photo.save(tmp_path / "a.jpg", quality=95, exif=exif)
    for size in (32, 100, 224):
        difference = decoded(tmp_path / "a.jpg", size).astype(int) - expected(tmp_path / "a.jpg", size)
        assert np.abs(difference).mean() < 0.7
    with Image.open(tmp_path / "a.jpg") as photo:
        photo.draft(None, (64, 64))
        assert photo.size == (138, 113)  # an eighth: it was worth it


# ---- training and queries --------------------------------------------------------------------------------

SIXTEEN = ("I;16", "I;16B", "I;16L", "I;16N")
MODES = sorted({*Image.MODES, *SIXTEEN, "LA", "La", "PA", "RGBX", "RGBa"})
CONTAINERS = {
    "png": "PNG", "tif": "TIFF", "jpg": "JPEG", "gif": "GIF", "bmp": "BMP", "webp": "WEBP", "pgm": "PPM",
    "jp2": "JPEG2000", "tga": "TGA", "avif": "AVIF", "jpe": "JPEG", "dib": "DIB",
}  # fmt: skip


def every_mode(root):
    """A photo of each mode that Pillow knows, in each format that holds it; grey ramps, some transparent."""
    x, y = np.meshgrid(np.linspace(0, 1, 70), np.linspace(0, 1, 50))
    for mode in MODES:
        if mode in SIXTEEN:
            photo = Image.frombytes(mode, (70, 50), (x * 65535).astype(">u2" if "B" in mode else "<u2"))
        elif mode in ("I", "F"):
            photo = Image.fromarray((x * 60000).astype(np.int32 if mode == "I" else np.float32))
        elif mode == "LAB":
            photo = Image.frombytes(
                "LAB", (70, 50), np.stack([x * 255, y * 255, 255 - y * 255], 2).astype(np.uint8)
            )
        else:
            photo = Image.fromarray((np.stack([x, y, 1 - x, y], 2) * 255).astype(np.uint8), "RGBA")
            try:
                photo = photo.convert(mode)
            except ValueError:
                photo = photo.convert({"La": "LA", "PA": "P", "HSV": "RGB"}.get(mode, "RGB")).convert(mode)
        for suffix, kind in CONTAINERS.items():
            file = root / f"{mode.replace(';', '_')}.{suffix}"
            try:
                photo.save(file, kind)
            except (OSError, KeyError, ValueError, SystemError):
                file.unlink(missing_ok=True)  # this format has no such mode
    return sorted(p.name for p in root.iterdir())


@pytest.mark.filterwarnings("ignore:.*could not be read", "ignore:.*mode.* parameter is deprecated")
def test_photos_of_every_mode_are_the_same_in_training_and_as_queries(root):
    names = every_mode(root)
    assert {n.split(".")[0] for n in names} >= {
        "1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I", "F", "I_16", "RGBX", "PA",
    }  # fmt: skip
    assert {n.split(".")[1] for n in names} >= set(CONTAINERS) - {"avif", "webp", "jp2"}
    large, turned = picture(1100, 900), Image.Exif()
    turned[0x0112] = 6
    large.save(root / "large.jpg")
    large.save(root / "turned.jpg", exif=turned)
    picture(33, 20).save(root / "turned.png", exif=turned)
    Image.new("RGB", (9, 9), (9, 9, 9)).save(root / "see-through.png", transparency=(9, 9, 9))
    for size, channels in [(1, 3), (7, 1), (32, 3), (32, 1), (61, 3)]:
        split = load(root, size=size, channels=channels)
        assert set(split.unreadable) == {"F.tif", "F.pgm"}  # other formats keep eight bits of it
        for part in (split.train, split.valid, split.test):
            for file, x in zip(part.files, part.batch().x, strict=True):
                assert torch.equal(x, retrieval.photo(root / file, split.shape)[0]), file
        for file in split.unreadable:
            with pytest.raises(ValueError, match="32 bits"):
                retrieval.photo(root / file, split.shape)
        for file in names:
            if size > 12 and file.split(".")[0] not in ("F", "LAB"):
                difference = decoded(root / file, size, channels).astype(int) - expected(
                    root / file, size, channels
                )
                assert np.abs(difference).max() <= 1, file


def test_a_photo_of_sixteen_bits_finds_itself(root):
    ramps = [
        np.roll(np.linspace(0, 65535, 400).astype(np.uint16).reshape(20, 20), k) for k in range(0, 400, 20)
    ]
    for i, ramp in enumerate(ramps):
        Image.fromarray(ramp).save(root / f"{i:02d}.png")
    split = load(root, channels=1)
    coder = retrieval.Coder(torch.nn.Flatten())
    index = retrieval.Index(retrieval.codes(coder, split.train), "euclidean")
    for i, file in enumerate(split.train.files):
        rows, distances = index.ask(coder(retrieval.photo(root / file, split.shape)), 1)
        assert rows.item() == i and distances.item() < 0.01


# ---- a folder --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 10, 101])
def test_every_photo_is_in_one_part_under_its_name(root, n):
    levels = fill(root, n, ("", "a/b", "c d"))
    split = load(root)
    found = whole(split)
    assert {name: int(p.mean()) for name, p in found.items()} == levels
    assert sum(map(len, (split.train, split.valid, split.test))) == n and len(split.train)
    assert len(split.test) == len(split.valid) == (max(1, round(n / 10)) if n > 2 else 0)
    assert split.train.labels is None and not split.unreadable
    assert split.shape == (3, 8, 8) and load(root, channels=1, size=5).shape == (1, 5, 5)


def test_subfolders_are_classes_and_each_part_has_them_all(root):
    fill(root, 120, ("b", "a/deep/er", "a-1"))
    split = load(root)
    for part, n in ((split.train, 96), (split.valid, 12), (split.test, 12)):
        assert list(part.classes) == ["a", "a-1", "b"]  # as torchvision's ImageFolder orders them
        assert [str(f).split("/")[0] for f in part.files] == part.names.tolist()
        assert np.bincount(part.labels).tolist() == [n // 3] * 3
    (root / "outside.png").write_bytes((root / "b" / "0000.png").read_bytes())
    assert load(root).train.labels is None


def test_the_split_follows_from_names_and_seed_alone(root, tmp_path):
    fill(root, 60, ("", "x"))
    first = {part: set(getattr(load(root), part).files) for part in ("train", "valid", "test")}
    copy = tmp_path / "copy"
    for file in sorted(root.rglob("*.png"), reverse=True):  # made in another order, at another time
        target = copy / file.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    again, other = load(copy), load(root, seed=1)
    assert {part: set(getattr(again, part).files) for part in first} == first
    assert set(other.test.files) != first["test"]
    assert list(again.train.files) == sorted(again.train.files)


def test_names_in_any_script_and_of_no_encoding_are_kept(root):
    names = ["żółw łąka.png", "寿司/鮪.png", "new\nline.png", "a'b\"c.png", os.fsdecode(b"\xff\xfe.png")]
    for name in names:
        (root / name).parent.mkdir(exist_ok=True)
        picture().save(root / name)
    (root / os.fsdecode(b"\xe9 bad.jpg")).write_text("no")
    with pytest.warns(UserWarning, match="1 of 6 photos"):
        split = load(root)
    assert set(whole(split)) == set(names)
    assert list(split.unreadable) == [os.fsdecode(b"\xe9 bad.jpg")]


def test_what_is_no_photo_by_its_name_or_hidden_is_passed_over(root):
    fill(root, 3)
    (root / "Thumbs.db").write_bytes(b"x")
    (root / "._0001.jpg").write_bytes(b"resource fork")
    (root / ".trash").mkdir()
    picture().save(root / ".trash" / "old.png")
    picture().save(root / "LOUD.JPG")
    os.mkfifo(root / "pipe.jpg")  # to open it would be to wait for ever
    assert set(whole(load(root))) == {"0000.png", "0001.png", "0002.png", "LOUD.JPG"}


@pytest.mark.parametrize("suffix", ["jpe", "mpo", "jp2", "tga", "avif", "dib", "apng", "pnm"])
def test_what_pillow_reads_is_read(root, suffix):
    if suffix == "avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    kind = {"jpe": "JPEG", "mpo": "JPEG", "jp2": "JPEG2000", "apng": "PNG", "pnm": "PPM"}
    picture().save(root / f"a.{suffix.upper()}", kind.get(suffix, suffix.upper()))
    assert set(whole(load(root))) == {f"a.{suffix.upper()}"}


def test_photos_in_formats_that_are_not_read_are_listed(root):
    fill(root, 3)
    for name in ("a.HEIC", "b.heif", "c.jxl"):
        (root / name).write_bytes(b"\0\0\0\x18ftypheic")
    picture().save(root / "d.dng", "TIFF")  # Pillow would read the thumbnail
    picture().save(root / "no_suffix", "JPEG")
    picture().save(root / "neither", "WEBP")
    (root / "heic").write_bytes(b"\0\0\0\x18ftypheic")
    (root / "README").write_text("no photo")
    os.mkfifo(root / "pipe")
    with pytest.warns(UserWarning, match="5 of 10 photos"):
        split = load(root)
    assert set(whole(split)) == {"0000.png", "0001.png", "0002.png", "no_suffix", "neither"}
    assert split.unreadable["a.HEIC"] == "HEIC is a format that is not read: make it a JPEG or PNG"
    assert set(split.unreadable) == {"a.HEIC", "b.heif", "c.jxl", "d.dng", "heic"}


def test_thumbnails_runs_and_pictures_that_aelib_made_are_no_photos(root):
    levels = fill(root, 12, ("a", "b"))
    for folder in ("@eaDir", "a/@eaDir", "__MACOSX", ".thumbnails", "runs/first/tensorboard", "tensorboard"):
        (root / folder).mkdir(parents=True)
        picture().save(root / folder / "sprite.png")
    for at in (root / "runs" / "first", root):  # the second trained with --out in the photos' own folder
        (at / "run.json").write_text("{}")
        (at / "config.yaml").write_text("")
    split = load(root)
    assert set(whole(split)) == set(levels) and list(split.train.classes) == ["a", "b"]
    (root / "a" / "found.png").write_bytes(plots.png(split.train[:4], 2))
    (root / "a" / "one.png").write_bytes(plots.png(split.train[:1]))
    with pytest.warns(UserWarning, match=r"1 of 14 photos.*found\.png \(no photo, but many pictures in one"):
        assert set(whole(load(root))) == {*levels, "a/one.png"}


def test_links_are_followed_once(root, tmp_path):
    fill(root, 3)
    fill(tmp_path / "elsewhere", 2)
    (root / "more").symlink_to(tmp_path / "elsewhere")
    (root / "again").symlink_to(root)
    (root / "more" / "back").symlink_to(root / "more")
    assert set(whole(load(root))) == {"0000.png", "0001.png", "0002.png", "more/0000.png", "more/0001.png"}


def test_a_change_is_seen(root, monkeypatch):
    fill(root, 5)
    jobs = []
    ask = decoding._Workers.ask
    monkeypatch.setattr(decoding._Workers, "ask", lambda self, job: (jobs.append(job), ask(self, job))[1])
    before = whole(load(root))
    load(root, seed=4)
    assert len(jobs) == 1
    Image.new("RGB", (12, 12), "white").save(root / "0002.png")
    after = whole(load(root))
    assert len(jobs) == 2 and (after["0002.png"] == 255).all() and (before["0002.png"] == 2).all()


@pytest.mark.parametrize(
    "path, message",
    [
        ("photo", r"Did you mean .*photos\?"),
        ("photos/summr", r"Did you mean .*summer\?"),
        ("photos/summer/deep", "no folder 'deep'"),
        ("photos/empty", r"no photo in .*ends in \.jpg"),
        ("photos/a.png", "is a file: give the folder"),
        ("photos/bad", "no photo in .* can be read"),
    ],
)
def test_a_wrong_path_is_named_with_the_nearest(root, path, message):
    for name in ("summer", "empty", "bad"):
        (root / name).mkdir()
    picture().save(root / "a.png")
    (root / "bad" / "b.jpg").write_text("no")
    with pytest.raises(DataError, match=message):
        load(root.parent / path)
    assert not litter(root.parent / "cache")


@pytest.mark.parametrize("options", [{"size": 0}, {"channels": 2}])
def test_options_are_checked(root, options):
    fill(root, 3)
    with pytest.raises(ValueError):
        load(root, **options)


# ---- what cannot be read ---------------------------------------------------------------------------------


def truncated(file):
    picture(300, 200).save(file, "JPEG")
    file.write_bytes(file.read_bytes()[:3000])


def bomb(file):
    """A PNG of a few bytes that says it has 20,000 × 20,000 pixels."""
    Image.new("1", (1, 1)).save(file, "PNG")
    data = bytearray(file.read_bytes())
    data[16:24] = (20_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    file.write_bytes(data)


BAD = {
    "truncated.jpg": (truncated, "truncated"),
    "text.jpg": (lambda f: f.write_text("not a photo"), "not a photo"),
    "empty.png": (lambda f: f.write_bytes(b""), "empty file"),
    "bomb.png": (bomb, "decompression bomb"),
    "nowhere.jpg": (lambda f: f.symlink_to("/no/such/photo"), "No such file"),
    "loop.jpg": (lambda f: f.symlink_to(f), "symbolic link"),
    "float.tif": (lambda f: Image.new("F", (4, 4)).save(f), "32 bits"),
    "cut.gif": (lambda f: f.write_bytes(b"GIF89a\x01\x00"), "."),
    "page.png": (lambda f: f.write_bytes(b"\x89PNG\r\n\x1a\n<html>"), "."),
}


def test_photos_that_cannot_be_read_are_left_out_and_listed(root, no_data):
    levels = fill(root, 40, ("", "sub"))
    for name, (make, _) in BAD.items():
        make(root / "sub" / name)
    with pytest.warns(UserWarning, match=f"{len(BAD)} of {40 + len(BAD)} photos.* could not be read") as said:
        split = load(root)
    assert len(said) == 1 and "\n" not in str(said[0].message)
    assert {name: int(p.mean()) for name, p in whole(split).items()} == levels
    assert set(split.unreadable) == {f"sub/{name}" for name in BAD}
    for name, (_, why) in BAD.items():
        assert (
            re.search(why, split.unreadable[f"sub/{name}"])
            and str(root) not in split.unreadable[f"sub/{name}"]
        )
    with pytest.warns(UserWarning, match="could not be read"):
        assert load(root).unreadable == split.unreadable  # from the cache
    assert split.head(4).unreadable == split.unreadable


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_listed(root):
    fill(root, 4, ("", "closed"))
    (root / "0000.png").chmod(0)
    (root / "closed").chmod(0)
    with pytest.warns(UserWarning, match="2 of 3"):
        unreadable = load(root).unreadable
    (root / "closed").chmod(0o700)
    assert unreadable == {"0000.png": "Permission denied", "closed/": "a folder that cannot be opened"}


def test_one_bad_photo_among_thousands_is_one_line(root):
    folder = root / "many"
    fill(folder, 1)
    for i in range(1, 3000):
        os.link(folder / "0000.png", folder / f"{i:04d}.png")
    (folder / "1234.png").unlink()
    truncated(folder / "1234.png")
    with pytest.warns(UserWarning, match=r"^1 of 3,000 photos .*: many/1234\.png \(image file is truncated"):
        split = load(root)
    assert sum(map(len, (split.train, split.valid, split.test))) == 2999


# ---- what may happen on the way --------------------------------------------------------------------------


@pytest.fixture
def worker(monkeypatch, tmp_path):
    """Replaces the decoding process by one that first runs this line, in which `d` is its module."""

    def inject(line):
        script = tmp_path / "worker.py"
        script.write_text(
            "import importlib.util as u\n"
            f"spec = u.spec_from_file_location('d', {decoder.__file__!r})\n"
            f"d = u.module_from_spec(spec); spec.loader.exec_module(d)\n{line}\nd.serve()\n"
        )
        monkeypatch.setattr(decoding.decoder, "__file__", str(script))

    return inject


def test_a_photo_that_kills_the_decoder_is_one_that_cannot_be_read(root, worker, monkeypatch):
    monkeypatch.setattr(decoding, "BLOCK", 8)
    worker("f = d.decode\nd.decode = lambda p, *a: d.os._exit(3) if b'0005' in p else f(p, *a)")
    levels = fill(root, 20)
    with pytest.warns(UserWarning, match="1 of 20"):
        split = load(root)
    assert list(split.unreadable) == ["0005.png"]
    del levels["0005.png"]
    assert {name: int(p.mean()) for name, p in whole(split).items()} == levels


def test_a_full_disk_is_named_and_leaves_nothing(root, no_data, worker, monkeypatch):
    monkeypatch.setattr(decoding, "BLOCK", 8)
    fill(root, 30)
    full = r"disk of .* is full: .* 30 .*AELIB_CACHE"
    with monkeypatch.context() as m, pytest.raises(DataError, match=full):
        m.setattr(cache.shutil, "disk_usage", lambda path: type("U", (), {"free": 1000}))
        load(root)
    assert not list(no_data.rglob("*.npy")) and not list(no_data.rglob("*.record"))
    # space that was there at first is used up by another: writing fails in a process
    worker("def full(*a): raise OSError(28, 'No space left on device')\nd.open = full")
    with pytest.raises(DataError, match=r"disk of .* is full"):
        load(root)
    assert not list(no_data.rglob("*.npy")) and not list(no_data.rglob("*.record"))


@pytest.mark.parametrize("forbidden", ["", "1"])
def test_a_notebook_shows_a_bar_unless_bars_are_forbidden(root, monkeypatch, forbidden):
    shown = []
    monkeypatch.setattr(tqdm.notebook, "display", shown.append)
    monkeypatch.setattr(decoding, "tqdm", tqdm.notebook.tqdm)  # what `tqdm.auto` is there
    monkeypatch.setenv("TQDM_DISABLE", forbidden)
    fill(root, 12)
    load(root)
    assert bool(shown) is not bool(forbidden)


@pytest.mark.parametrize("half_a_line", [False, True])
def test_an_interrupted_decoding_goes_on_where_it_was(root, no_data, monkeypatch, half_a_line):
    monkeypatch.setattr(decoding, "BLOCK", 4)
    levels = fill(root, 40)
    (root / "0001.png").write_text("bad")
    jobs = []
    ask = decoding._Workers.ask

    def counted(self, job):
        jobs.append(len(job[1]))
        if sum(jobs) > 20:
            time.sleep(0.3)
        return ask(self, job)

    monkeypatch.setattr(decoding._Workers, "ask", counted)
    with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt):
        update = decoding.tqdm.update

        def stop(bar, n):
            update(bar, n)
            if bar.n >= 16 or (bar.disable and sum(jobs) >= 16):
                raise KeyboardInterrupt

        m.setattr(decoding.tqdm, "update", stop)
        load(root)
    (record,) = no_data.rglob("*.record")
    noted = record.read_bytes().count(b"\n") - 1
    assert noted >= 1 and b"sha256" not in record.read_bytes()
    if half_a_line:
        record.write_bytes(record.read_bytes()[:-3])
    jobs.clear()
    with pytest.warns(UserWarning, match="1 of 40"):
        found = whole(load(root))
    assert sum(jobs) == 40 - 4 * (noted - half_a_line)
    del levels["0001.png"]
    assert {name: int(p.mean()) for name, p in found.items()} == levels
    assert not litter(no_data)


@pytest.mark.filterwarnings("ignore:.*use of fork")
def test_processes_at_once_do_the_work_once_and_a_killed_one_breaks_nothing(root, no_data, monkeypatch):
    monkeypatch.setattr(decoding, "BLOCK", 8)
    fill(root, 1)
    picture(700, 560).save(root / "0000.png")
    for i in range(1, 160):
        os.link(root / "0000.png", root / f"{i:04d}.png")
    context = multiprocessing.get_context(
        "fork"
    )  # three times importing torch would take longer than all else
    answers = context.SimpleQueue()

    def load_and_tell():
        jobs, ask = [], decoding._Workers.ask
        decoding._Workers.ask = lambda self, job: (jobs.append(len(job[1])), ask(self, job))[1]
        answers.put((int(load(root, size=64).train.pixels.sum()), sum(jobs)))

    first, *both = (context.Process(target=load_and_tell) for _ in range(3))
    first.start()
    while not (found := list(no_data.rglob("*.record"))) or found[0].read_bytes().count(b"\n") < 2:
        assert first.is_alive()
        time.sleep(0.01)
    for process in both:
        process.start()
    first.kill()
    for process in (first, *both):
        process.join(60)
    (sum_a, jobs_a), (sum_b, jobs_b) = answers.get(), answers.get()
    assert sum_a == sum_b and 0 in (jobs_a, jobs_b) and 0 < jobs_a + jobs_b < 160
    assert len(list(no_data.rglob("*.npy"))) == 1 and not litter(no_data)
    assert len(set(load(root, size=64).train.pixels.reshape(-1, 3 * 64 * 64).sum(1).tolist())) == 1


def test_building_a_set_does_not_hold_its_pixels(root):
    fill(root, 400)
    load(root)  # what is imported on the way is not meant
    tracemalloc.start()
    split = load(root, size=160)
    next(split.train.batches(8, seed=0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert split.train.store.nbytes > 30e6 and peak < 3e6
    assert isinstance(split.train.store, np.memmap) and not split.train.store.flags.writeable


def test_batches_of_a_file_are_copies_and_say_nothing(root):
    fill(root, 12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train = load(root).train
        batch = next(train.batches(4))
    batch.x.zero_()
    assert next(train.batches(4)).x.sum() > 0


def test_the_decoding_process_does_not_import_torch():
    code = f"import sys, runpy; runpy.run_path({decoder.__file__!r}); print({{'torch'}} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


# ---- Food-101 and COCO -----------------------------------------------------------------------------------


@pytest.fixture
def food(no_data, tmp_path, monkeypatch):
    """Food-101's layout, with two dishes of 20 + 5 photos, and one photo more that no list names."""
    root = tmp_path / "data" / "food-101"
    names = {"train": [], "test": []}
    for i, dish in enumerate(("apple_pie", "spaghetti_carbonara")):
        (root / "images" / dish).mkdir(parents=True)
        for k in range(25):
            Image.new("RGB", (64, 64), (10 * i, k, 7)).save(root / "images" / dish / f"{k}.jpg")
            names["train" if k < 20 else "test"].append(f"{dish}/{k}")
    picture().save(root / "images" / dish / "99.jpg")
    (root / "meta").mkdir()
    for part, lines in names.items():
        (root / "meta" / f"{part}.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.setenv("AELIB_DATA", str(tmp_path / "data"))
    return root


def test_food_has_readable_classes_and_the_official_test_part(food):
    split = datasets.load("food-101", size=16)
    assert list(split.train.classes) == ["Apple pie", "Spaghetti carbonara"]
    assert [np.bincount(p.labels).tolist() for p in (split.train, split.valid, split.test)] == [
        [18, 18], [2, 2], [5, 5],
    ]  # fmt: skip
    assert len(whole(split)) == 50 and "spaghetti_carbonara/99.jpg" not in whole(split)
    assert {Path(f).stem for f in split.test.files} == set(map(str, range(20, 25)))
    assert (split.train.pixels[:, 0].mean((1, 2)) > 5).tolist() == [
        n.startswith("S") for n in split.train.names
    ]


@pytest.mark.parametrize(
    "harm, message",
    [
        (lambda r: (r / "images/apple_pie/3.jpg").unlink(), r"lacks 1 of 50 photos, first apple_pie/3\.jpg"),
        (lambda r: (r / "meta" / "test.txt").unlink(), "lacks train.txt and test.txt"),
    ],
)  # fmt: skip
def test_a_damaged_food_is_named(food, no_data, harm, message):
    harm(food)
    with pytest.raises(DataError, match=message):
        datasets.load("food-101")
    assert not list(no_data.rglob("*.npy"))


def test_a_bad_photo_of_food_is_left_out(food):
    (food / "images" / "apple_pie" / "3.jpg").write_bytes(b"")
    with pytest.warns(UserWarning, match="1 of 50"):
        split = datasets.load("food-101")
    assert sum(map(len, (split.train, split.valid, split.test))) == 49


def test_food_and_coco_that_are_not_there_say_what_to_do(no_data):
    with pytest.raises(DataError, match="AELIB_OFFLINE"):
        datasets.load("food-101")
    with pytest.raises(DataError, match=r"Get http.*train2017\.zip.*AELIB_DATA"):
        datasets.load("coco")


def test_coco_is_two_folders(no_data, tmp_path, monkeypatch):
    for part, n in (("train2017", 20), ("val2017", 7)):
        fill(tmp_path / "data" / "coco" / part, n, suffix="jpg")
    monkeypatch.setenv("AELIB_DATA", str(tmp_path / "data"))
    split = datasets.load("coco", size=16)
    assert [len(p) for p in (split.train, split.valid, split.test)] == [18, 2, 7] and split.shape == (
        3,
        16,
        16,
    )


@pytest.mark.data
def test_real_food_is_whole_and_what_pillow_reads():
    if download.find("food-101/images") is None:
        pytest.skip("no food-101 in AELIB_DATA")
    split = datasets.load("food-101", size=64)
    root = download.find("food-101/images")
    counts = [np.bincount(p.labels, minlength=101) for p in (split.train, split.valid, split.test)]
    assert all(len(set(c.tolist())) == 1 for c in counts) and len(split.train.classes) == 101
    assert not split.unreadable
    torchvision = pytest.importorskip("torchvision.datasets")
    theirs = torchvision.Food101(root.parents[1], split="test")
    ours = {
        f: (int(k), p) for f, k, p in zip(split.test.files, split.test.labels, split.test.pixels, strict=True)
    }
    assert len(theirs) == len(ours)
    for i in range(0, len(theirs), 97):
        label, pixels = ours[Path(theirs._image_files[i]).relative_to(root).as_posix()]
        assert label == theirs._labels[i]
        np.testing.assert_array_equal(pixels, expected(theirs._image_files[i], 64))


@pytest.mark.filterwarnings("ignore:.*use of fork")
def test_the_cost_is_measured_and_written(no_data, tmp_path, monkeypatch, capsys):
    for name, value in {
        "COMPARED": 6,
        "SCALES": (3, 5),
        "KINDS": 2,
        "ROUNDS": 1,
        "FILE": tmp_path / "r.json",
    }.items():
        monkeypatch.setattr(cost, name, value)
    cost.main()
    record = json.loads((tmp_path / "r.json").read_text())
    assert record["ratio"] > 0 and set(record["photos_a_second"]) == {"3", "5"}
    assert record["photos"].startswith("6 JPEGs of 640×480")
