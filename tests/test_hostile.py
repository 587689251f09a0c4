"""Somebody else's files, strange names, wrong words, too much, silence: what was lost or wrong once."""

import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from verbs import call

from aelib import datasets, files, losses, models, plots, runs
from aelib.datasets import DataError
from aelib.errors import say, shown
from aelib.runs import RunError, checkpoint, fit, fitting
from aelib.runs.checkpoint import MANIFEST, STATE, WEIGHTS

SMALL = ["--net", "linear", "--latent", "2", "--epochs", "1"]
STRANGE = ("$\\frac{$", "_hidden", "esc\x1b[31mred", "new\nline", os.fsdecode(b"caf\xe9"))
DIGITS = datasets.load("digits")


def contents(folder):
    return {f.relative_to(folder): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def photos(folder, classes=("a", "b"), n=15, seed=0):
    """n photos of noise in each class."""
    rng = np.random.default_rng(seed)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(n):
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A tiny run on the digits, to be read."""
    path = tmp_path_factory.mktemp("attacks") / "run"
    assert call("train", "digits", *SMALL, "--out", path) == 0
    assert call("index", path) == 0
    return path


@pytest.fixture
def here(tmp_path, monkeypatch, no_data):
    """A folder to be in."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def go(path, **keywords):
    torch.manual_seed(0)
    model = models.autoencoder(DIGITS.shape, 2, net="linear")
    keywords = {"epochs": 3, "batch_size": 64, "valid": DIGITS.valid, "device": "cpu"} | keywords
    return model, fit(model, DIGITS.train[:256], losses.elbo, run=path, **keywords)


# ---- somebody else's files ---------------------------------------------------------------------------------

NOTES = {
    "config.yaml": "mine: 1\n", "history.csv": "a,b\n", "notes.md": "hi", ".draft.part": "x",
    ".notes.part/page": "y", "checkpoints/epoch-0001/model.h5": "z", "index.json": "[]",
}  # fmt: skip


@pytest.mark.parametrize("names", [list(NOTES), *([n] for n in NOTES if n[0] != ".")], ids=lambda n: n[0])
def test_no_training_begins_in_somebodys_folder(names, tmp_path, capsys):
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(NOTES[name])
    before = contents(tmp_path)
    assert call("train", "digits", *SMALL, "--out", tmp_path) == 1
    assert "holds what no training wrote" in capsys.readouterr().err
    with pytest.raises(RunError, match="holds what no training wrote"):
        runs.save(tmp_path, models.autoencoder((1, 8, 8), 2))
    assert call("index", tmp_path) == 1
    assert contents(tmp_path) == before and not (tmp_path / ".lock").exists()


def test_what_is_hidden_stays_in_a_runs_folder_and_in_a_new_one(tmp_path):
    for name in (".DS_Store", ".draft.part", ".notes.part/page"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    (tmp_path / ".config.yaml.123.part").write_text("half")  # of a training that was killed as it began
    (tmp_path / "checkpoints").mkdir()
    go(tmp_path, epochs=1)
    assert contents(tmp_path)[Path(".notes.part/page")] == contents(tmp_path)[Path(".draft.part")] == b"mine"
    assert not (tmp_path / ".config.yaml.123.part").exists()


@pytest.mark.parametrize(
    "verb, words, name",
    [
        ("sample", [], "x.png"), ("report", [], "x.html"), ("embed", [], "x.npz"), ("embed", [], "x.parquet"),
        ("export", [], ""), ("reconstruct", ["p.png"], "x.png"),
        ("interpolate", ["p.png", "q.png"], "x.png"), ("search", ["p.png"], "x.png"),
    ],
)  # fmt: skip
def test_no_verb_replaces_what_aelib_did_not_write(verb, words, name, run, here, capsys):
    notes = here / "notes"
    notes.mkdir()
    for file in ("x.png", "x.html", "x.npz", "x.parquet", "encoder.onnx", "decoder.onnx"):
        (notes / file).write_text("mine, about aelib")
    for file in ("p.png", "q.png"):
        Image.new("L", (9, 9), ord(file[0])).save(file)
    before = contents(notes)
    assert call(verb, run, *words, "--out", notes / name) == 1
    assert "aelib did not write it" in capsys.readouterr().err and contents(notes) == before


def test_what_aelib_wrote_is_replaced(run, here, monkeypatch):
    for _ in range(2):
        for verb, name in (("sample", "x.png"), ("report", "x.html")):
            assert call(verb, run, "--out", name) == 0
        assert call("sample", run, "--n=1", "--out=one.png") == call("sample", run) == call("embed", run) == 0
    Image.new("L", (9, 9)).save("one.png")
    assert call("sample", run, "--n=1", "--out=one.png") == 1


def test_an_index_is_not_written_over_somebodys(tmp_path):
    (tmp_path / "index.json").write_text("mine")
    from aelib.retrieval import index_run

    with pytest.raises(RunError, match="of another program"):
        index_run(tmp_path, DIGITS.head(20), model=models.autoencoder(DIGITS.shape, 2, net="linear"))
    assert (tmp_path / "index.json").read_text() == "mine"


def test_comments_in_a_runs_configuration_stay(here):
    assert call("train", "digits", *SMALL, "--out=run") == 0
    config = here / "run" / "config.yaml"
    text = "# why I chose this\n" + config.read_text()
    config.write_text(text)
    assert call("train", "--config=run/config.yaml", "--out=run") == 0 and config.read_text() == text
    text = text.replace("epochs: 1\n", "epochs: 1  # enough\n")
    config.write_text(text)
    assert call("resume", "run", "--epochs=2") == 0
    assert config.read_text() == text.replace("epochs: 1 ", "epochs: 2 ")
    assert runs.Run("run").settings()["epochs"] == 2


# ---- strange names -----------------------------------------------------------------------------------------


def lone(c):
    """Half of a character, or a byte that is no UTF-8."""
    return "\ud800" <= c <= "\udfff"


@example("caf\udce9").via("a byte that is no UTF-8")
@example("‮esrever")
@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(st.characters(exclude_categories=[])))
def test_a_name_is_fit_where_it_is_shown(name):
    said = shown(name)
    assert all(c.isprintable() or c in "‌‍" for c in said) and shown(said) == said
    written = shown(name, "file")
    assert written.encode() is not None and (written != name) == any(map(lone, name))
    if name.isprintable():  # as "" is
        assert said == shown(name, "file") == name
    label = shown(name, "figure")
    assert label[:1] != "_" and label.replace("\\$", "").count("$") == 0


def test_strange_names_are_trained_shown_and_found(here, capsys):
    photos(here / "p", STRANGE, 30)
    assert call("train", "p", "--size=8", *SMALL) == 0
    for verb, *more in (["report"], ["embed"], ["embed", "--out=c.parquet"], ["index"]):
        assert call(verb, "runs/p", *more) == 0
    page = (here / "runs/p/report.html").read_text()
    assert "\x1b" not in page
    for name in STRANGE:
        assert shown(name).replace("&", "&amp;") in page, "a class is missing from the legend"
    table = next((here / "runs/p").rglob("metadata.tsv")).read_text().split("\n")
    assert set(table) - {""} == set(map(shown, STRANGE)) and len(table) == 15 + 1
    assert set(pd.read_parquet("c.parquet")["class"]) == {shown(name, "file") for name in STRANGE}
    capsys.readouterr()
    for name in STRANGE:
        assert call("search", "runs/p", here / "p" / name / "3.png", "--k=3") == 0
        said = capsys.readouterr().out
        assert len(said.splitlines()) == 3 and shown(f"p/{name}/3.png") in said and "\x1b" not in said
    first, second = (here / "p" / name / "0.png" for name in STRANGE[2:4])
    assert call("interpolate", "runs/p", first, second) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize("name", STRANGE[2:])
def test_a_folder_with_a_strange_name_is_trained_on(name, here, capsys):
    photos(here / name)
    assert call("train", name, "--size=8", *SMALL) == 0
    run = here / "runs" / shown(name)
    assert call("report", run) == 0
    printed = capsys.readouterr()
    assert "\x1b" not in printed.out + printed.err
    if any(map(lone, name)):
        assert call("train", "digits", *SMALL, "--out", name + "run") == 1
        assert "no UTF-8" in capsys.readouterr().err and not (here / f"{name}run").exists()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_lacks_letters_costs_nothing(encoding, run, here, monkeypatch):
    for file in ("ü.png", "日.png"):
        Image.new("L", (9, 9)).save(file)
    terminal = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", terminal)
    assert call("interpolate", run, "ü.png", "日.png", "--out=way.png") == 0
    terminal.flush()
    said = terminal.buffer.getvalue().decode(encoding)
    assert "\\u65e5.png" in said and Path("way.png").exists()


# ---- words that are so -------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["moved", "deleted"])
def test_a_folder_that_disappears_while_it_is_trained_is_made_again(what, tmp_path, monkeypatch):
    due, ticks, run = fitting.Keeper.due, iter(range(100)), tmp_path / "run"

    def meddling(self):
        if next(ticks) == 6:
            (shutil.move(run, tmp_path / "elsewhere") if what == "moved" else shutil.rmtree(run))
            os.kill(os.getpid(), signal.SIGTERM)
        return due(self)

    with monkeypatch.context() as m, pytest.raises(SystemExit), pytest.warns(UserWarning, match="made again"):
        m.setattr(fitting.Keeper, "due", meddling)
        go(run)
    model, history = go(run)
    other, same = go(tmp_path / "whole")
    assert [r["valid/loss"] for r in history] == [r["valid/loss"] for r in same]
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    assert runs.Run(run).about() and runs.Run(run).settings()


def test_a_run_goes_on_from_anywhere_and_with_photos_that_were_moved(here, monkeypatch, capsys):
    photos(here / "p")
    assert call("train", "p", "--size=8", *SMALL, "--out=run") == 0
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert call("resume", "../run", "--epochs=2") == call("report", "../run") == 0
    shutil.move(here / "p", here / "moved")
    for verb in ("resume", "report", "evaluate"):
        capsys.readouterr()
        assert call(verb, "../run") == 1
        said = capsys.readouterr().err
        assert str(here / "p") in said and "aelib resume ../run FOLDER" in said
    assert call("resume", "../run", "../moved", "--epochs=3") == call("report", "../run", "../moved") == 0
    assert len(runs.Run("../run").history()) == 3
    photos(here / "other", seed=1)
    assert call("resume", "../run", "../other", "--epochs=4") == 1
    assert "holds another training" in capsys.readouterr().err


def test_labels_that_were_moved_are_named(here, capsys):
    photos(here / "p")
    rows = "".join(f"{name}/{i}.png,{i}\n" for name in "ab" for i in range(15))
    (here / "l.csv").write_text(f"file,who\n{rows}")
    assert call("train", "p", "--size=8", *SMALL, "--labels=l.csv", "--by=who", "--out=run") == 0
    capsys.readouterr()
    assert call("evaluate", "run", "--json") == 0
    before = capsys.readouterr().out
    shutil.move("l.csv", "moved.csv")
    for verb, *words in (["evaluate", "--json"], ["sample"], ["export"], ["index"], ["resume", "--epochs=2"]):
        assert call(verb, "run", *words) == 1 and "l.csv cannot be read" in capsys.readouterr().err
        assert call(verb, "run", *words, "--labels=moved.csv") == 0
        if verb == "evaluate":
            assert capsys.readouterr().out == before
    (here / "other.csv").write_text(f"file,who\n{rows.replace('b/', 'z/')}")
    assert call("resume", "run", "--labels=other.csv", "--epochs=3") == 1
    assert "holds another training" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--quick"], ["--epochs=1"]])
def test_a_run_that_has_ended_says_so_and_stays_as_long_as_it_was(words, here, capsys):
    options = ["train", "digits", *SMALL[:-2], "--out=run"]
    assert call(*options, "--epochs=3") == 0
    assert "nothing was trained" not in capsys.readouterr().out
    before = contents(here / "run")
    assert call(*options, *words) == 0
    assert (
        "run has 3 epochs: nothing was trained. More: aelib resume run --epochs 6" in capsys.readouterr().out
    )
    assert runs.Run("run").settings()["epochs"] == 3
    assert contents(here / "run") == before
    assert call("resume", "run") == 0 and "nothing was trained" in capsys.readouterr().out


def failing(monkeypatch, code):
    def fails(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fails)


def test_what_was_not_saved_is_not_called_whole(tmp_path, monkeypatch):
    with monkeypatch.context() as m, pytest.raises(RunError, match=r"disk is full.*Nothing is saved yet"):
        failing(m, errno.ENOSPC)
        go(tmp_path / "run")
    go(tmp_path / "run", epochs=1)
    failing(monkeypatch, errno.ENOSPC)
    with pytest.raises(RunError, match=r"disk is full.*What was saved before is whole"):
        go(tmp_path / "run")


PLACES = ["file/x", "/proc/none/x", "x" * 300]
WRITING = {
    "train": (["digits", *SMALL], ""), "sample": ([], ".png"), "report": ([], ".html"), "embed": ([], ".npz"),
    "export": ([], ""),
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES, ids=["in a file", "in no folder", "a long name"])
@pytest.mark.parametrize("verb", WRITING)
def test_where_nothing_can_be_written_is_said_with_its_place(verb, place, run, here, capsys):
    (here / "file").write_text("x")
    words, suffix = WRITING[verb]
    assert call(verb, *([run] if verb != "train" else []), *words, "--out", place + suffix) == 1
    said = capsys.readouterr().err
    assert "Errno" not in said and place[:200] in said


def test_an_error_of_the_disk_is_said_in_words(tmp_path, monkeypatch):
    for code in errno.errorcode:
        failing(monkeypatch, code)
        with pytest.raises(files.WriteError, match=r"file cannot be written: \S") as said:
            files.write_file(tmp_path / "file", b"")
        assert "Errno" not in str(said.value) and not list(tmp_path.iterdir())


PRECISIONS = ["16-true", "16-mixed", "bf16-true", "64-true", "64", "transformer-engine"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_that_is_offered_trains_or_says_why_not(precision, here, capsys):
    code = call("train", "digits", *SMALL, "--net=mlp", "--precision", precision, "--out=run")
    said = capsys.readouterr().err
    assert code == 0 or (code == 1 and "aelib:" in said and "Traceback" not in said)
    assert (code == 0) == (precision != "transformer-engine") and (code or call("report", "run") == 0)


# ---- too much ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words, says",
    [
        (["--devices=99", "--accelerator=cpu"], "--devices 99: cpu has"),
        (["--nodes=2", "--accelerator=cpu"], "nothing says where the other --nodes are"),
    ],
)
def test_devices_and_machines_that_are_not_there_are_refused_at_once(words, says, here, monkeypatch, capsys):
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    monkeypatch.setattr(subprocess, "Popen", None)
    assert call("train", "digits", *SMALL, *words, "--out=run") == 1
    assert says in capsys.readouterr().err and not list(here.iterdir())


def test_a_state_that_unpacks_to_more_than_it_is_is_refused_before(tmp_path):
    go(tmp_path, epochs=1)
    folder = runs.Run(tmp_path).folder("last")
    state = torch.load(folder / STATE, weights_only=True)
    torch.save(state | {"others": [torch.zeros(2**22)]}, buffer := io.BytesIO())
    with zipfile.ZipFile(buffer) as big, zipfile.ZipFile(folder / STATE, "w", zipfile.ZIP_DEFLATED) as small:
        for name in big.namelist():
            small.writestr(name, big.read(name))
    sums = {name: checkpoint.digest(folder / name) for name in (WEIGHTS, STATE)}
    (folder / MANIFEST).write_text(json.dumps({"sha256": sums}))
    with pytest.raises(RunError, match="no state that aelib wrote"):
        runs.Run(tmp_path).history()


@pytest.mark.parametrize(
    "verb, words",
    [
        ("sample", ["--n=100000000"]), ("sample", ["--n=0"]), ("sample", ["--n=30000", "--zoom=64"]),
        ("interpolate", ["p.png", "p.png", "--steps=100000000"]),
    ],
)  # fmt: skip
def test_more_pictures_than_a_file_holds_are_refused_before_they_are_made(
    verb, words, run, here, monkeypatch, capsys
):
    Image.new("L", (9, 9)).save("p.png")
    monkeypatch.setattr("aelib.latent.decode", None)
    monkeypatch.setattr("aelib.latent.sample", None)
    assert call(verb, run, *words) == 1
    assert "fewer" in capsys.readouterr().err or words == ["--n=0"]


def test_memory_that_is_lacking_is_said_in_words(run, here, monkeypatch, capsys):
    def lacking(*_, **__):
        return torch.empty(2**60)

    monkeypatch.setattr(plots, "png", lacking)
    assert call("sample", run, "--out=x.png") == 1
    assert "not enough memory" in capsys.readouterr().err


# ---- signals, and a terminal that is gone ------------------------------------------------------------------


def gone():
    """A stream that nobody reads."""
    ours, theirs = os.pipe()
    os.close(ours)
    return os.fdopen(theirs, "w")


def test_a_training_whose_progress_nobody_reads_goes_on(tmp_path, monkeypatch):
    with monkeypatch.context() as m:
        m.setattr(sys, "stderr", gone())
        m.setattr(sys, "stdout", gone())
        assert call("train", "digits", *SMALL, "--epochs=3", "--out", tmp_path / "run") == 0
    assert len(runs.Run(tmp_path / "run").history()) == 3
    say("again", stream := gone())
    say("and again", stream)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no such signals")
@pytest.mark.parametrize("name", ["SIGHUP", "SIGUSR1"])
def test_a_closed_terminal_and_a_clusters_signal_save(name, tmp_path, monkeypatch):
    monkeypatch.setenv("AELIB_SIGNAL", "SIGUSR1")
    due, ticks = fitting.Keeper.due, iter(range(100))

    def asked(self):
        if next(ticks) == 6:
            os.kill(os.getpid(), getattr(signal, name))
        return due(self)

    with monkeypatch.context() as m, pytest.raises(SystemExit) as ended:
        m.setattr(fitting.Keeper, "due", asked)
        m.setattr(sys, "stderr", gone())
        go(tmp_path / "run")
    assert ended.value.code == 128 + getattr(signal, name)
    model, _ = go(tmp_path / "run")
    whole, _ = go(tmp_path / "whole")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), whole.parameters(), strict=True))


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no such signals")
def test_signals_are_named_and_nohup_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("AELIB_SIGNAL", "USR1")
    with pytest.raises(ValueError, match="Did you mean 'SIGUSR1'"):
        go(tmp_path)
    for name in ("SIGKILL", "SIGSTOP"):  # which no program can catch
        monkeypatch.setenv("AELIB_SIGNAL", name)
        with pytest.raises(ValueError, match=f"no signal to be caught '{name}'.*Known: SIG.*SIGUSR1"):
            go(tmp_path)
    monkeypatch.delenv("AELIB_SIGNAL")
    assert set(fitting.signals()) == {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert set(fitting.signals()) == {signal.SIGINT, signal.SIGTERM}
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_devices_process_ends_with_the_one_that_started_it():
    """However that one ends: here it is killed."""
    child = (
        "import os; from aelib.cli.train import _ending_with; _ending_with(int(os.environ['AELIB_PARENT']))"
    )
    code = (
        "import os, subprocess, sys, time\nos.environ['PARENT'] = str(os.getpid())\n"
        f"print(subprocess.Popen([sys.executable, '-c', {child!r}]).pid, flush=True)\ntime.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    os.kill(pid, 0)
    parent.kill()
    parent.communicate()
    for _ in range(600):
        try:
            if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
                return
            os.kill(pid, 0)
        except OSError:
            return
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("it still runs")


# ---- our own files -----------------------------------------------------------------------------------------


def test_what_aelib_writes_among_photos_is_none(here, monkeypatch, capsys):
    monkeypatch.chdir(photos(here / "p"))
    assert call("train", ".", "--size=8", *SMALL) == call("index", "runs/p") == 0
    shutil.copytree("a", "@eaDir")
    assert call("search", "runs/p", "a/0.png", "--out=found.png") == call("report", "runs/p") == 0
    for verb in ("resume", "index"):
        capsys.readouterr()
        with pytest.warns(UserWarning, match=r"found\.png \(no photo.*which aelib made"):
            assert call(verb, "runs/p") == 0
    assert "30 pictures are indexed" in capsys.readouterr().out
    assert call("train", ".", "--size=8", *SMALL, "--out=.") == 1, "photos are no run"


@pytest.mark.parametrize("suffix", ["heic", "HEIF", "jxl", "dng", "psd", "exr"])
def test_a_format_that_is_not_read_is_listed(suffix, here):
    photos(here / "p", ("a",), 3)
    (here / "p" / f"one.{suffix}").write_bytes(b"\0\0\0\x18ftypheic" + bytes(50))
    with pytest.warns(UserWarning, match=rf"1 of 4 photos.*one\.{suffix}"):
        assert list(datasets.load("p", size=8).unreadable) == [f"one.{suffix}"]
    shutil.rmtree("p/a")
    with pytest.raises(DataError, match=r"no photo in .* can be read"):
        datasets.load("p", size=8)
