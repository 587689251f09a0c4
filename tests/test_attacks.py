"""Any word of a command line, any byte of a file: an answer, or a sentence; no traceback, no other answer.

The examples are the same each time. To search for longer, with others (10,000 command lines):
AELIB_FUZZ=100 pytest tests/test_attacks.py -k line
"""

import inspect
import json
import os
import shutil
import sys
import typing
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_fuzz import fuzzed
from verbs import call

from aelib import cli, datasets, export, pretrained, report, retrieval, runs
from aelib.runs import checkpoint
from aelib.training import History

SMALL = ["--size=8", "--net=linear", "--latent=2", "--epochs=1"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with photos of two classes, a run on them with an index, and what else a line may name."""
    folder, rng = tmp_path_factory.mktemp("attacks"), np.random.default_rng(0)
    with pytest.MonkeyPatch.context() as m:
        m.setenv("AELIB_CACHE", str(folder / "cache"))
        m.delenv("AELIB_DATA", raising=False)
        m.chdir(folder)
        for i in range(12):
            file = folder / "photos" / "ab"[i % 2] / f"{i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 255, (9, 8, 3), np.uint8)).save(file)
        assert call("train", "photos", *SMALL, "--out=run") == 0 and call("index", "run") == 0
        shutil.copy(folder / "photos" / "a" / "0.png", "a.png")
        (folder / "bad.png").write_bytes(b"bad")
        (folder / "labels.csv").write_text("file,who\n" + "".join(f"{i}.png,{i % 3}\n" for i in range(12)))
        (folder / "c.yaml").write_text("seed: 3\n")
        (folder / "odd.yaml").write_text("{latent: [}")
        (folder / "empty").mkdir()
        yield folder


# ---- command lines ---------------------------------------------------------------------------------------

NUMBERS = ["0", "1", "2", "-1", "3.5", "nan", "inf", "-inf", "1e400", str(2**70), "null", "", "ten", "[1, 2]",
           "[]", "[0]", "[10000000000000]", "{}", "0x10", "1_0", "１", "true", str(10**15)]  # fmt: skip
PLACES = ["run", "run/config.yaml", "photos", "empty", "none", "a.png", "bad.png", "digits", "lfw", "folder",
          "", ".", "labels.csv", "pretrained/vae-mnits", "/proc/none", "a\udcff", "\x1b[2J", "$\\frac{$",
          "-"]  # fmt: skip
VALUES = {
    "out": ["o.png", "o.html", "o.npz", "o.parquet", "new/o.png", "run", "run/o.png", "", "a.png", "/proc/o"],
    "by": ["who", "folder", "nobody", ""],
    "which": ["best", "last", "epoch-0001", "epoch-1", "../..", ""],
    "precision": ["32-true", "16-mixed", "bf16-mixed", "64-true", "23", ""],
    "devices": ["0", "-1", "1", "x", "1e400", ""], "nodes": ["0", "-1", "1", "x", "null"],
}  # fmt: skip
CONFIGS = st.sampled_from(["c.yaml", "odd.yaml", "none.yaml", "run", "a.png", ""])
# no "/" and no "~", which would lead out of the folder; NUL cannot be in a command line
TEXT = st.text(st.characters(exclude_characters="/~\0"), max_size=6)
JUNK = TEXT | st.sampled_from(["--", "-", "-h", "--help", "--version", "--=", "--x=1", "--out", "=", "@c",
                               "--config", "--print_config", "--json", "--no-json", "--json=2"])  # fmt: skip


def values(name, kind):
    """Words for a parameter: mostly of its kind, sometimes of another, or any."""
    if name in ("devices", "nodes"):  # two would start this test again, in another process
        return st.sampled_from(VALUES[name])
    known = VALUES.get(name) or [str(v) for v in typing.get_args(kind) if isinstance(v, str)]
    numeric = "int" in str(kind) or "float" in str(kind)
    own = st.sampled_from(known or (["1", "2", "8", *NUMBERS] if numeric else PLACES))
    return st.one_of(own, own, own, st.sampled_from(NUMBERS), TEXT)


@st.composite
def lines(draw):
    """A verb with its words and some of its options, with values that may be right."""
    verb = draw(JUNK if draw(st.integers(0, 19)) == 0 else st.sampled_from([*cli.VERBS]))
    if verb not in cli.VERBS:
        return [verb, *draw(st.lists(JUNK, max_size=3))]
    words, options = [], []
    for name, p in inspect.signature(cli.VERBS[verb]).parameters.items():
        if p.default is p.empty or (name == "data" and draw(st.booleans())):
            own = {"run": ["run"], "data": ["photos", "digits"]}.get(name, ["a.png"])
            words.append(draw(st.one_of(st.sampled_from(own), st.sampled_from(own), st.sampled_from(PLACES))))
        elif name not in ("data",):
            options.append((name, values(name, p.annotation)))
    chosen = draw(st.lists(st.sampled_from(options), max_size=3)) if options else []
    for name, strategy in chosen:
        option = f"--{draw(st.sampled_from([name, name.replace('_', '-')]))}"
        value = draw(strategy)
        words += draw(st.sampled_from([[f"{option}={value}"]] * 6 + [[option, value], [option]]))
    words += [f"--config={draw(CONFIGS)}"] if draw(st.integers(0, 9)) == 0 else []
    words += draw(st.lists(JUNK, max_size=1)) if draw(st.integers(0, 9)) == 0 else []
    return [verb, *(draw(st.permutations(words)) if draw(st.integers(0, 9)) == 0 else words)]


@pytest.mark.filterwarnings("ignore")
def test_any_line_is_done_or_answered_in_words(trained, tmp_path, monkeypatch, capsys):
    """The longest work is left out: the training itself, the report's figures, the export's files."""
    monkeypatch.setenv("AELIB_CACHE", str(trained / "cache"))
    shutil.copytree(trained, tmp_path / "here", ignore=shutil.ignore_patterns("cache"))
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(runs, "fit", lambda *a, **k: History())
    seen = lambda run, data=None, file=None, which=None, labels=None: (  # noqa: E731
        pretrained.load_with_data(run, data, which=which, labels=labels),
        file,
    )[1]
    monkeypatch.setattr(report, "of_run", seen)
    monkeypatch.setattr(export, "onnx", lambda *a: {})
    codes = dict.fromkeys((0, 1, 2), 0)
    sys.stderr.reconfigure(errors="backslashreplace")  # as that of every process

    @fuzzed(100)
    @given(lines())
    def check(words):
        code = call(*words)
        said = capsys.readouterr()
        assert code in codes and "Traceback" not in said.err, said.err
        assert code == 0 or said.err.startswith(("aelib", "\naelib")) or "\naelib" in said.err, said.err
        codes[code] += 1

    check()
    print(f"{sum(codes.values()):,} lines: {codes[0]:,} done, {codes[1]:,} impossible, {codes[2]:,} wrong")
    assert min(codes.values()) >= 5


# ---- files -----------------------------------------------------------------------------------------------


def with_byte(data, at, byte):
    return data[:at] + bytes([byte]) + data[at + 1 :]


DAMAGES = {
    "a bit": lambda data, at, rng: with_byte(data, at, data[at] ^ (1 << int(rng.integers(8)))),
    "a byte": lambda data, at, rng: with_byte(data, at, (data[at] + int(rng.integers(1, 256))) % 256),
    "cut": lambda data, at, rng: data[:at],
    "emptied": lambda data, at, rng: b"",
    "zeroed": lambda data, at, rng: bytes(len(data)),
    "gone": None,
}
TIMES = int(os.environ.get("AELIB_FUZZ", "1"))


def test_any_damage_to_a_file_of_a_run_or_of_the_cache_is_said_or_changes_no_answer(
    trained, monkeypatch, capsys
):
    monkeypatch.setenv("AELIB_CACHE", str(trained / "cache"))
    monkeypatch.chdir(trained)

    def answers():
        """What each verb prints, or None where it ends with words."""
        found = []
        for words in (["evaluate", "run", "--json"], ["search", "run", "a.png", "--json"], ["resume", "run"]):
            code = call(*words)
            said = capsys.readouterr()
            assert code in (0, 1) and "Traceback" not in said.err, (words, said.err)
            assert code == 0 or "aelib: " in said.err, (words, said.err)
            found.append(said.out if code == 0 and words[0] != "resume" else None if code else "")
        return found

    right, rng, count = answers(), np.random.default_rng(TIMES), dict.fromkeys(("said", "harmless"), 0)
    assert None not in right
    files = sorted(p for top in ("run", "cache") for p in (trained / top).rglob("*") if p.is_file())
    files = [p for p in files if p.suffix != ".lock" and p.name != ".lock"]
    assert {p.name for p in files} >= {
        "config.yaml", "run.json", "trained.bin", "history.csv", "manifest.json", "state.pt",
        "model.safetensors", "index.json", "index.safetensors",
    } and {p.suffix for p in files} >= {".npy", ".record"}  # fmt: skip
    shutil.copytree(trained, trained.parent / "whole")
    for file in files:
        data, kept = file.read_bytes(), file.stat()
        some = rng.permutation([*DAMAGES] * TIMES)[: 1 if TIMES == 1 else None]
        for name in some:
            if (harm := DAMAGES[name]) is None:
                file.unlink()
            else:
                file.write_bytes(harm(data, int(rng.integers(len(data))), rng))
                os.utime(file, ns=(kept.st_atime_ns, kept.st_mtime_ns))  # as a disk does, that changes a bit
            with warnings.catch_warnings(record=True):
                warnings.simplefilter("always")
                now = answers()
            for was, found in zip(right, now, strict=True):
                assert found in (None, was), (file, name)
            count["said" if None in now else "harmless"] += 1
            for top in ("run", "cache"):  # what was repaired, or written again
                shutil.rmtree(trained / top)
                shutil.copytree(trained.parent / "whole" / top, trained / top)
    print(f"{sum(count.values()):,} damages of {len(files)} files: {count}")
    assert min(count.values()) > 5


def test_a_thousand_single_bytes_of_files_with_a_sum_are_found(trained):
    run = shutil.copytree(trained / "run", trained / "copy")
    photos = datasets.load("folder", path=trained / "photos", size=8).all
    query = trained / "a.png"
    readers = {
        "run.json": lambda: runs.Run(run).about(),
        "config.yaml": lambda: runs.Run(run).settings(),
        "trained.bin": lambda: runs.Run(run).trained(photos).tolist(),
        "index.json": lambda: retrieval.search_run(run, query).files,
        "index.safetensors": lambda: retrieval.search_run(run, query).files,
    } | {
        str(f.relative_to(run)): lambda folder=f.parent: checkpoint.check(folder)
        for f in (run / "checkpoints").rglob("*") if f.is_file()
    }  # fmt: skip
    assert len(readers) == 8
    rng, found, same = np.random.default_rng(TIMES), 0, 0
    for name, read in readers.items():
        data, right = (run / name).read_bytes(), read()
        for _ in range(125 * TIMES):
            at = int(rng.integers(len(data)))
            (run / name).write_bytes(with_byte(data, at, (data[at] + int(rng.integers(1, 256))) % 256))
            try:
                assert read() == right, (name, at)  # a space or a comment: it says the same
                same += 1
            except runs.RunError:
                found += 1
        (run / name).write_bytes(data)
    print(f"{found + same:,} bytes: {found:,} found, {same:,} say the same as before")
    assert found > 30 * same


# ---- names -----------------------------------------------------------------------------------------------

NAMES = st.binary(min_size=1, max_size=12).map(
    lambda b: b.replace(b"/", b"_").replace(b"\0", b"_")
) | st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8).map(
    str.encode
)


@pytest.mark.filterwarnings("ignore:.*pixel for pixel")
def test_photos_and_classes_of_any_name_are_found_under_it(tmp_path, no_data):
    Image.new("RGB", (4, 4), "red").save(tmp_path / "a.png")
    photo = (tmp_path / "a.png").read_bytes()

    @fuzzed(15)
    @given(st.lists(st.tuples(NAMES, NAMES), min_size=3, max_size=8, unique=True))
    def check(pairs):
        folder = os.fsencode(tmp_path / "photos")
        shutil.rmtree(folder, ignore_errors=True)
        names = {os.path.join(b"c" + top, b"p" + name + b".png") for top, name in pairs}
        for name in names:
            os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
            with open(os.path.join(folder, name), "wb") as file:
                file.write(photo)
        if len(names) < 3:
            return
        split = datasets.load("folder", path=tmp_path / "photos", size=4)
        assert {os.fsencode(f) for f in split.all.files} == names and not split.unreadable
        tops = {os.path.dirname(name) for name in names}
        if len(tops) > 1:
            assert {os.fsencode(str(c)) for c in split.train.classes} == tops
        json.dumps([str(f) for f in split.all.files])

    check()
