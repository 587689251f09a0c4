"""Faults and bad input: nothing saved is lost, nothing is executed, and every error says what to do."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from verbs import call

from aelib import cli, datasets, files, losses, metrics, models, runs, training
from aelib.datasets import Batch, Images
from aelib.runs import RunError, checkpoint, fit, fitting
from aelib.runs.checkpoint import MANIFEST, STATE, WEIGHTS
from aelib.training import DivergedError, History, adam

DIGITS = datasets.load("digits")
DATA, VALID = DIGITS.train[:128], DIGITS.valid[:40]
KILLED = Path(__file__).with_name("killed.py")


def vae(latent=3, hidden=(16,), **names):
    torch.manual_seed(0)
    return models.autoencoder(DIGITS.shape, latent, net="mlp", hidden=hidden, **names)


def go(path, model=None, optimizers=None, data=DATA, **keywords):
    model = model or vae()
    keywords = {"epochs": 3, "batch_size": 32, "valid": VALID, "device": "cpu"} | keywords
    return model, fit(model, data, losses.elbo, optimizers, run=path, **keywords)


def same(a, b):
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def without_seconds(history):
    return [{k: v for k, v in record.items() if k != "seconds"} for record in history]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that ended by itself: folder, model, history."""
    path = tmp_path_factory.mktemp("faults") / "whole"
    return path, *go(path)


@pytest.fixture
def copied(finished, tmp_path):
    """Its folder, to be harmed."""
    return shutil.copytree(finished[0], tmp_path / "run")


def sign(folder):
    """Make the checksums of a checkpoint those of its files: an attacker can do so too."""
    sums = {name: checkpoint.digest(folder / name) for name in (WEIGHTS, STATE)}
    (folder / MANIFEST).write_text(json.dumps({"sha256": sums}))


# ---- killed, and asked to stop -----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("what", [("random", 25), ("every", 9), ("ask", 8)], ids=lambda w: w[0])
def test_a_training_that_is_killed_ends_bit_equal(what, tmp_path):
    """25 random moments here; `python tests/killed.py FOLDER random 100` does a hundred."""
    mode, n = what
    memory = Path("/dev/shm")  # what a killed process has written stays there as it does on a disk
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as folder:
        done = subprocess.run(
            [sys.executable, KILLED, folder, mode, str(n)], capture_output=True, text=True, check=False
        )
    assert done.returncode == 0 and "ended bit-equal" in done.stdout, done.stderr[-3000:]


def test_a_second_ctrl_c_is_obeyed_at_once_and_one_that_comes_late_too(tmp_path, monkeypatch, finished):
    steps = []

    def twice(model, batch):
        steps.append(1)
        if len(steps) == 6:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        return losses.elbo(model, batch)

    with pytest.raises(KeyboardInterrupt):
        fit(vae(), DATA, twice, epochs=3, batch_size=32, valid=VALID, run=tmp_path / "twice", device="cpu")
    model, history = go(tmp_path / "twice")
    assert same(model, finished[1]) and without_seconds(history) == without_seconds(finished[2])
    end = fitting.Events.end  # after the last save, when nobody looks any more

    def late(self, epoch):
        end(self, epoch)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(fitting.Events, "end", late)
    with pytest.raises(SystemExit) as ended:
        go(tmp_path / "late")
    assert ended.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert same(runs.load(tmp_path / "late", which="last", device="cpu"), finished[1])


def test_a_signal_in_the_middle_of_a_print_is_no_error(tmp_path, monkeypatch, finished):
    class Reentrant:
        def write(self, text):
            raise RuntimeError("reentrant call inside <_io.BufferedWriter>")

        flush = isatty = lambda self: False

    due = fitting.Keeper.due
    monkeypatch.setattr(
        fitting.Keeper, "due", lambda self: (os.kill(os.getpid(), signal.SIGINT), due(self))[1]
    )
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt, match="everything is saved"):
        patch.setattr(sys, "stderr", Reentrant())
        go(tmp_path)


def test_a_training_in_a_thread_can_be_kept_too(tmp_path, finished):
    """Only the main thread may catch signals."""
    thread = threading.Thread(target=go, args=[tmp_path])
    thread.start()
    thread.join()
    assert same(runs.load(tmp_path, which="last", device="cpu"), finished[1])


# ---- disks -------------------------------------------------------------------------------------------------


class Failing:
    """The k-th of some operations on files fails."""

    def __init__(self, monkeypatch, code=errno.ENOSPC):
        self.left, self.code = 0, code
        for name in ("mkdir", "fsync", "replace"):
            monkeypatch.setattr(os, name, partial(self.call, getattr(os, name)))
        monkeypatch.setattr(files, "open", partial(self.call, open), raising=False)

    def call(self, operation, *a, **k):
        # that a folder cannot be made which is there already hurts nobody
        harmless = operation.__name__ == "mkdir" and not str(a[0]).endswith(".part")
        self.left -= not harmless
        if self.left == 0 and not harmless:
            raise OSError(self.code, os.strerror(self.code))
        return operation(*a, **k)


@pytest.mark.parametrize(
    "code, message", [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "Read-only file system")]
)
def test_a_save_that_fails_at_any_operation_loses_nothing(code, message, copied, finished, monkeypatch):
    model, history, run = vae(latent=3), History(finished[2]), runs.Run(copied)
    model.load_state_dict(finished[1].state_dict())
    with torch.no_grad():
        next(model.parameters()).add_(1)
    history.append(finished[2][-1] | {"epoch": 4})
    before = runs.load(copied, which="epoch-0003", device="cpu")
    with monkeypatch.context() as patch:
        disk = Failing(patch, code)
        for k in range(1, 100):
            disk.left = k
            try:
                run.save(model, adam(model), history)
            except RunError as e:
                assert message in str(e) and "What was saved before is whole" in str(e)
                disk.left = 0
                last = runs.load(copied, which="last", device="cpu")
                assert same(last, before) or same(last, model)
                assert same(runs.load(copied, which="epoch-0003", device="cpu"), before)
                assert not list(copied.rglob("*.part"))
            else:
                break
    assert k > 8 and same(runs.load(copied, which="last", device="cpu"), model)


def test_a_training_whose_disk_fills_up_goes_on_bit_equal(tmp_path, monkeypatch, finished):
    for k in (1, 3, 4, 5, 9, 12, 14, 17, 25, 30):
        with monkeypatch.context() as patch, pytest.raises(RunError, match="disk is full"):
            Failing(patch).left = k
            go(tmp_path / str(k))
        model, history = go(tmp_path / str(k))
        assert same(model, finished[1]) and without_seconds(history) == without_seconds(finished[2])


@pytest.fixture
def small_disk(tmp_path):
    """A disk of as many kilobytes as asked for."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def size(kilobytes):
        again = "remount," if folder.is_mount() else ""
        command = ["mount", "-t", "tmpfs", "-o", f"{again}size={kilobytes}k", "tmpfs", folder]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("only root may mount a small disk")
        return folder

    yield size
    if folder.is_mount():
        subprocess.run(["umount", folder], check=True)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # TensorBoard's thread
def test_on_a_disk_that_is_really_full(small_disk, finished):
    disk = small_disk(60)
    for kilobytes in (80, 100, 130, 160, 4000):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "no more events")
            with pytest.raises(RunError, match="disk is full"):
                go(disk / "run", epochs=40)
        assert not list(disk.rglob("*.part"))
        small_disk(kilobytes)
    model, history = go(disk / "run")
    again = len(history) == 3  # it may have come further than the one to compare with
    assert not again or same(model, finished[1])
    assert without_seconds(history)[:3] == without_seconds(finished[2])


def test_events_that_cannot_be_written_do_not_end_a_training(tmp_path, monkeypatch, finished):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    from torch.utils.tensorboard import SummaryWriter

    monkeypatch.setattr(SummaryWriter, "add_image", full)
    with pytest.warns(UserWarning, match="no more events in .*No space left.*training goes on") as said:
        model, _ = go(tmp_path)
    assert len(said) == 1 and same(model, finished[1])


def test_a_folder_that_cannot_be_written_to(tmp_path, finished):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "run", "/proc/none/run"):
        with pytest.raises(RunError, match="cannot be written to"):
            go(path)
        with pytest.raises(RunError, match="cannot be written to"):
            runs.save(path, vae())


@pytest.mark.skipif(not hasattr(os, "seteuid") or os.geteuid() != 0, reason="only root can become another")
def test_a_run_that_may_only_be_read_is_read(finished):
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        run = shutil.copytree(finished[0], Path(folder, "run"))
        os.seteuid(65534)
        try:
            assert same(runs.load(run, which="last", device="cpu"), finished[1])
            with pytest.raises(RunError, match="cannot be written to: Permission denied"):
                go(run)
        finally:
            os.seteuid(0)


# ---- power cuts --------------------------------------------------------------------------------------------

HARMS = {
    "gone": lambda f: f.unlink(),
    "empty": lambda f: f.write_bytes(b""),
    "cut": lambda f: f.write_bytes(f.read_bytes()[: f.stat().st_size // 2]),
    "zeros": lambda f: f.write_bytes(bytes(f.stat().st_size)),
    "one bit": lambda f: f.write_bytes(bytes([f.read_bytes()[0] ^ 1]) + f.read_bytes()[1:]),
}


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("name", [WEIGHTS, STATE, MANIFEST])
def test_a_damaged_checkpoint_is_found_and_the_one_before_offered(harm, name, copied, finished):
    HARMS[harm](copied / "checkpoints" / "epoch-0003" / name)
    with pytest.raises(RunError, match=r'epoch-0003 is damaged.*whole: which="epoch-0002"'):
        runs.load(copied, which="last")
    assert isinstance(runs.load(copied, which="epoch-0002"), models.Autoencoder)
    with pytest.warns(UserWarning, match=r"epoch-0003 is damaged.*Going on from epoch-0002"):
        model, history = go(copied)
    assert same(model, finished[1]) and without_seconds(history) == without_seconds(finished[2])
    assert same(runs.load(copied, which="last", device="cpu"), model)


def test_where_no_checkpoint_is_whole_training_begins_again_and_says_so(copied, finished):
    for folder in (copied / "checkpoints").iterdir():
        (folder / STATE).write_bytes(b"")
    with pytest.raises(RunError, match="None of the others is whole"):
        runs.load(copied)
    with pytest.warns(UserWarning, match="beginning again"):
        model, _ = go(copied)
    assert same(model, finished[1])


def test_a_checkpoint_that_was_about_to_take_its_place_takes_it(tmp_path):
    """`save` replaces a checkpoint of the same name; killed in between, the new one is still there."""
    runs.save(tmp_path, vae())
    other = vae()
    with torch.no_grad():
        next(other.parameters()).add_(1)
    place = tmp_path / "checkpoints" / "epoch-0000"
    checkpoint.write(place.with_name("epoch-0009"), other, None, History())
    os.replace(place.with_name("epoch-0009"), place.with_name(".epoch-0000.123.part"))
    (place / MANIFEST).unlink()  # half removed
    with runs.Run(tmp_path).locked():
        assert same(runs.load(tmp_path, device="cpu"), other)
    assert not list(tmp_path.rglob("*.part"))


def test_a_history_that_is_cut_short_is_written_again(copied):
    whole = (copied / "history.csv").read_text()
    (copied / "history.csv").write_text(whole[:20])
    go(copied)
    assert (copied / "history.csv").read_text() == whole


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"format": Infinity}', '{"format": 1, "training": {}}', "\xff", "[" * 10**5],
)
def test_a_damaged_run_json_says_what_to_do(text, copied, finished):
    (copied / "run.json").write_text(text, "latin-1")
    with pytest.raises(RunError, match=r"run.json is damaged .*Delete it, and begin the same training again"):
        go(copied)
    (copied / "run.json").unlink()
    assert same(go(copied)[0], finished[1])


def test_a_value_that_changes_in_a_runs_own_files_is_found_and_a_comment_is_none(tmp_path, capsys):
    words = ["train", "digits", "--net=linear", "--latent=2", "--epochs=1", f"--out={tmp_path}", "--beta=3"]
    assert call(*words) == 0
    config, about = tmp_path / "config.yaml", tmp_path / "run.json"
    whole, known = config.read_text(), about.read_text()
    config.write_text(f"# mine\n{whole}")
    assert runs.Run(tmp_path).settings()["beta"] == 3
    config.write_text(whole.replace("beta: 3.0", "beta: 2.0"))
    assert call("resume", f"{tmp_path}", "--epochs=2") == 1
    assert "values were changed; the same `aelib train` again writes it" in capsys.readouterr().err
    assert call(*words) == 0 and config.read_text() == whole
    for old, new in (('"batch_size": ', '"batch_size": 1'), ('"sha256"', '"sha257"'), ('mat": 2', 'mat": 1')):
        about.write_text(known.replace(old, new))
        with pytest.raises(RunError, match=r"run.json is damaged \(it was changed\)"):
            runs.Run(tmp_path).about()
    first = json.loads(known)  # as of an aelib that wrote no sums
    about.write_text(json.dumps({k: v for k, v in first.items() if k != "sha256"} | {"format": 1}))
    assert runs.Run(tmp_path).about()["training"] == first["training"]


def test_a_configuration_that_is_cut_short_is_not_taken_for_whole(tmp_path, capsys):
    small = ["--net=linear", "--latent=2", "--epochs=1", f"--out={tmp_path}/run", "--beta=3"]
    cli.main(["train", "digits", *small])
    config = tmp_path / "run" / "config.yaml"
    whole = config.read_text()
    for cut in (0, 1, whole.index("beta"), whole.index("seed"), len(whole) - 3):
        config.write_text(whole[:cut])
        assert call("resume", f"{tmp_path}/run", "--epochs=2") == 1
        assert "config.yaml is damaged" in capsys.readouterr().err
    cli.main(["train", "digits", *small])  # with the same options it is written again
    assert config.read_text() == whole


# ---- one folder, several trainings -------------------------------------------------------------------------


def test_while_another_process_trains_there_nobody_else_does(tmp_path):
    code = (
        "import sys; from aelib import runs\n"
        "with runs.Run(sys.argv[1]).locked(): print('in', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout.read(3) == b"in\n"
    before = sorted(tmp_path.rglob("*"))
    for act in (go, lambda path: runs.save(path, vae())):
        with pytest.raises(RunError, match="another process trains in"):
            act(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
    other.kill()  # a lock does not outlive its process
    other.communicate()
    go(tmp_path)


def test_two_that_begin_at_once_are_one_that_trains_and_one_that_is_told(tmp_path, finished):
    told, gate = [], threading.Barrier(4)

    def begin():
        model = models.autoencoder(DIGITS.shape, 3, net="mlp", hidden=(16,))
        model.load_state_dict(start)
        gate.wait()
        try:
            go(tmp_path, model)
        except RunError as e:
            told.append(str(e))

    start = vae().state_dict()
    threads = [threading.Thread(target=begin) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(told) < 4 and all("another process trains" in t for t in told)
    assert same(runs.load(tmp_path, which="last", device="cpu"), finished[1])


def test_another_learning_rate_is_another_training(copied, finished, tmp_path):
    with pytest.raises(RunError, match=r"lr was 0\.001, is 0\.0001.*Choose another folder"):
        go(copied, m := vae(), adam(m, 1e-4), epochs=4)
    with pytest.raises(RunError, match=r"weight_decay was 0\.0, is 0\.5"):
        go(copied, m := vae(), adam(m, weight_decay=0.5), epochs=4)
    for optimizers, kind in ((training.muon, "Muon"), (lambda m: torch.optim.SGD(m.parameters(), 1), "SGD")):
        model = vae(latent=3)
        before = vae(latent=3)
        with pytest.raises(RunError, match=rf"was trained by .*AdamW.* not by .*{kind}"):
            go(copied, model, optimizers(model), epochs=4)
        assert same(model, before)  # it is left as it was
    with pytest.raises(RunError, match="another training"):
        runs.save(copied, vae())
    assert same(runs.load(copied, which="last", device="cpu"), finished[1])


def test_other_settings_are_another_training_and_the_configuration_stays_true(tmp_path, capsys):
    small = ["train", "digits", "--net=linear", "--latent=2", f"--out={tmp_path}/run"]
    cli.main([*small, "--epochs=1"])
    before = (tmp_path / "run" / "config.yaml").read_text()
    assert call(*small, "--epochs=2", "--beta=4", "--lr=0.1") == 1
    said = capsys.readouterr().err
    assert "beta was 1.0, is 4.0; lr was 0.0001, is 0.1" in said and "Choose another folder" in said
    assert (tmp_path / "run" / "config.yaml").read_text() == before
    cli.main([*small, "--epochs=2"])
    assert len(runs.Run(tmp_path / "run").history()) == 2


# ---- hostile files -----------------------------------------------------------------------------------------


class Evil:
    """A pickle that runs code when it is loaded."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("inside", [False, True])
def test_a_state_that_runs_code_is_refused_and_the_code_does_not_run(zipped, inside, copied, tmp_path):
    state = {"kinds": {}, "others": [], "optimizers": {}, "history": [], "unfinished": None}
    folder, evil = copied / "checkpoints" / "epoch-0003", Evil(tmp_path / "canary")
    torch.save(
        state | {"history": [evil]} if inside else evil,
        folder / STATE,
        _use_new_zipfile_serialization=zipped,
    )
    sign(folder)
    torch.load(folder / STATE, weights_only=False)  # it would
    assert (tmp_path / "canary").exists()
    (tmp_path / "canary").unlink()
    for act in (lambda: go(copied), lambda: runs.Run(copied).history()):
        with pytest.raises(RunError, match="nothing of it was executed"):
            act()
    runs.load(copied, which="last")  # which reads the weights only
    assert not (tmp_path / "canary").exists()


STATES = {
    "nothing": {},
    "a list": [],
    "other kinds": {"kinds": 3},
    "no optimizer": {"optimizers": {}},
    "half an optimizer": {"optimizers": {"loss": [{"state": {}}]}},
    "optimizers that are text": {"optimizers": "loss"},
    "a history of numbers": {"history": [1, 2]},
    "a history without epochs": {"history": [{"loss": 1}]},
    "a number as history": {"history": 5},
    "unfinished, of what": {"unfinished": {"what": 1}},
    "others": {"others": [torch.zeros(3)]},
    "others that are none": {"others": 7},
}


@pytest.mark.parametrize("name", STATES)
def test_a_state_with_anything_else_in_it_is_refused(name, copied):
    folder, odd = copied / "checkpoints" / "epoch-0003", STATES[name]
    whole = torch.load(folder / STATE, weights_only=True)
    torch.save(whole | odd if odd else odd, folder / STATE)
    sign(folder)
    with pytest.raises(RunError):
        go(copied, epochs=4)


def header(text):
    return lambda f: f.write_bytes(len(text).to_bytes(8, "little") + text)


ABSURD = {
    "a header of exabytes": lambda f: f.write_bytes((2**62).to_bytes(8, "little") + b"{}"),
    "a header that is no JSON": header(b"x" * 40),
    "tensors outside the file": header(b'{"a":{"dtype":"F32","shape":[99],"data_offsets":[0,396]}}'),
    "a shape that overflows": header(
        b'{"a":{"dtype":"F32","shape":[9223372036854775807,4],"data_offsets":[0,4]}}    \0\0\0\0'
    ),
    "a pickle": lambda f: torch.save({"a": torch.zeros(1)}, f),
    "text": lambda f: f.write_text("weights"),
}


@pytest.mark.parametrize("name", ABSURD)
def test_weights_that_are_none_are_refused(name, copied):
    folder = copied / "checkpoints" / "epoch-0003"
    ABSURD[name](folder / WEIGHTS)
    sign(folder)
    for into in (None, vae()):
        with pytest.raises(RunError, match="no file of weights"):
            runs.load(copied, into, which="last")
    with pytest.raises(RunError, match="no file of weights"):
        runs.load(folder / WEIGHTS)


RECIPES = [
    {"latent": 10**15}, {"hidden": [10**9]}, {"shape": [1, 10**9, 10**9]}, {"shape": [2**62, 2**62, 4]},
    {"latent": -1}, {"latent": "3"}, {"latent": 1e400}, {"net": "os.system"}, {"net": ["mlp"]},
    {"norm": "eval"}, {"norm": {"a": 1}}, {"hidden": "12"}, {"shape": None}, {"shape": "abc"},
    {"conditions": 10**12}, {"new option": 1}, {"posterior": None}, {"likelihood": 4}, {"latent": 4},
    {"conditions": 1.5},
]  # fmt: skip


@pytest.mark.parametrize("change", [*RECIPES, 5, [], "mlp", True], ids=str)
def test_a_recipe_with_anything_else_in_it_is_refused_at_no_cost(change, tmp_path):
    model = vae()
    recipe = model.recipe | change if isinstance(change, dict) else change
    save_file(model.state_dict(), tmp_path / "m.safetensors", {"recipe": json.dumps(recipe)})
    with pytest.raises(RunError):
        runs.load(tmp_path / "m.safetensors")
    save_file(model.state_dict(), tmp_path / "m.safetensors", {"recipe": "[" * 10**5})
    with pytest.raises(RunError, match="no file of weights"):
        runs.load(tmp_path / "m.safetensors")


def test_files_of_a_newer_aelib_say_so(copied):
    about = json.loads((copied / "run.json").read_text())
    about |= {"format": 99, "versions": {"aelib": "7.1"}}
    (copied / "run.json").write_text(json.dumps(about))
    with pytest.raises(RunError, match=r"written by aelib 7\.1, in format 99.*Install the newer one"):
        go(copied)


def test_a_checkpoint_of_another_model_is_named(copied):
    with pytest.raises(RunError, match=r"of another model: .*is \(.*not \("):
        runs.load(copied, into=vae(latent=5))
    with pytest.raises(RunError, match=r"another model: .*is missing"):
        runs.load(copied, into=vae(hidden=(16, 16)))
    with pytest.raises(RunError, match=r"is not of this model|is missing"):
        runs.load(copied, into=nn.Linear(2, 2))
    for bad in ("../../etc", "epoch-0001/..", "", "epoch-0003\n"):
        with pytest.raises(RunError, match="has no checkpoint"):
            runs.load(copied, which=bad)


# ---- data --------------------------------------------------------------------------------------------------


def test_nan_in_the_data_is_named_with_its_step_and_what_was_saved_stays(tmp_path):
    seen = []

    def broken(batch):
        seen.append(1)
        x = torch.full_like(batch.x, float("nan")) if len(seen) == 7 else batch.x  # of 4 steps an epoch
        return Batch(x, batch.target)

    with pytest.raises(DivergedError, match=r"became nan in epoch 2, step 3 of 4\. Look for NaN in the data"):
        go(tmp_path, data=DATA.map(broken))
    assert len(runs.Run(tmp_path).history()) == 1
    last = runs.load(tmp_path, which="last")
    assert all(p.isfinite().all() for p in last.parameters())


def test_a_function_that_returns_no_batch_is_told():
    with pytest.raises(TypeError, match=r"returns a Batch; .* returned NoneType"):
        fit(vae(), DATA.map(lambda b: None), losses.elbo, epochs=1)


@pytest.mark.parametrize("likelihood", models.LIKELIHOODS)
@pytest.mark.parametrize("level", [0, 255])
def test_pictures_of_one_colour_are_learnt_without_infinities(likelihood, level):
    for shape, net in (((1, 8, 8), "mlp"), ((3, 5, 1), "conv"), ((1, 1, 1), "linear"), ((1, 8, 8), "fcn")):
        data = Images(np.full((20, *shape), level, np.uint8))
        model = models.autoencoder(shape, 2, net=net, likelihood=likelihood)
        history = fit(model, data, losses.elbo, epochs=2, batch_size=7, valid=data[:3], device="cpu")
        assert np.isfinite(history.table().to_numpy()).all()
        assert model.reconstruct(data[:2].batch().x).isfinite().all()


def test_one_image_one_class_and_batches_larger_than_the_data(tmp_path):
    one = DIGITS.train[:1]
    model, history = go(tmp_path, data=one, batch_size=10**6, valid=one[:0])
    assert len(history) == 3 and "valid/loss" not in history[0]
    assert same(runs.load(tmp_path, which="last", device="cpu"), model)
    zeros = DIGITS.train[DIGITS.train.labels == 0]
    assert fit(vae(), zeros, losses.elbo, epochs=1)[0]["train/loss"] > 0
    for judge in (
        lambda: training.assess(model, one[:0], losses.elbo),
        lambda: metrics.evaluate(model, one[:0]),
    ):
        with pytest.raises(ValueError, match="no images"):
            judge()


def test_labels_without_a_class_are_refused():
    pixels = np.zeros((3, 1, 2, 2), np.uint8)
    for labels in ([0, 1, 2], [-1, 0, 1]):
        with pytest.raises(ValueError, match=r"labels go from .* 2 classes: 0 to 1"):
            Images(pixels, np.array(labels), ("a", "b"))


def test_a_learning_rate_of_zero_changes_nothing_and_a_huge_one_ends_in_words(tmp_path):
    model = vae()
    go(tmp_path / "zero", model, adam(model, 0.0))
    assert same(model, vae())
    with pytest.raises(DivergedError, match="learning rate ten times smaller"):
        go(tmp_path / "huge", m := vae(likelihood="gaussian"), torch.optim.SGD(m.parameters(), 1e10))


@pytest.mark.parametrize(
    "keywords, message",
    [
        ({"batch_size": 0}, "batch_size is at least 1"), ({"batch_size": -3}, "batch_size is at least 1"),
        ({"clip": -1.0}, "above 0"), ({"clip": float("nan")}, "above 0"), ({"clip": 0}, "above 0"),
        ({"epochs": -1}, "epochs is at least 1"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        fit(vae(), DATA, losses.elbo, **{"epochs": 1} | keywords)


def test_sizes_and_schedules_that_make_no_sense_are_refused():
    for hidden in ((0,), (16, -1)):
        with pytest.raises(ValueError, match="at least 1 wide"):
            vae(hidden=hidden)
    with pytest.raises(ValueError, match="latent is at least 1"):
        vae(latent=0)
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="share of the training"):
            training.warm_up(share)


def test_objectives_without_a_term_called_loss_are_kept_too(tmp_path):
    """Which checkpoint is the best, nobody has said: then it is the last."""

    def two(model, batch):
        terms = losses.elbo(model, batch)
        return {"a": terms["nll"], "b": terms["kl"]}

    model = vae()
    optimizers = {"a": adam(model.decoder), "b": adam(model.encoder)}
    fit(model, DATA, two, optimizers, epochs=4, run=tmp_path, device="cpu")
    assert runs.Run(tmp_path).folder("best").name == "epoch-0004"


# ---- a large folder ----------------------------------------------------------------------------------------

SPOILT = {
    "half": lambda b: b[: len(b) // 2],
    "head": lambda b: b[:20],
    "empty": lambda b: b"",
    "text": lambda b: b"<html>404 Not Found</html>",
    "zeros": lambda b: bytes(len(b)),
}


@pytest.mark.slow
def test_ten_thousand_photos_with_one_in_a_hundred_damaged_train_and_each_is_listed(tmp_path, no_data):
    import io

    rng, pictures = np.random.default_rng(0), []
    for _ in range(50):
        Image.fromarray(rng.integers(0, 255, (16, 16, 3), np.uint8)).save(file := io.BytesIO(), "JPEG")
        pictures.append(file.getvalue())
    spoilt = {int(i): list(SPOILT)[k % len(SPOILT)] for k, i in enumerate(rng.choice(10_000, 100, False))}
    names = [f"{'été' if i % 2 else 'winter'}/{i:05d}.jpg" for i in range(10_000)]
    for folder in ("été", "winter"):
        (tmp_path / "photos" / folder).mkdir(parents=True)
    for i, name in enumerate(names):
        whole = pictures[i % 50]
        (tmp_path / "photos" / name).write_bytes(SPOILT[spoilt[i]](whole) if i in spoilt else whole)
    with pytest.warns(UserWarning, match=r"100 of 10,000 photos .* could not be read"):
        split = datasets.load("folder", path=tmp_path / "photos", size=8)
    assert set(split.unreadable) == {names[i] for i in spoilt} and all(split.unreadable.values())
    parts = (split.train, split.valid, split.test)
    assert sorted(f for part in parts for f in part.files) == sorted(set(names) - set(split.unreadable))
    model = models.autoencoder(split.shape, 4, net="linear")
    history = fit(model, split.train, losses.elbo, epochs=1, valid=split.valid, run=tmp_path / "run")
    assert np.isfinite(history[0]["valid/loss"])


# ---- the command line --------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path, monkeypatch, no_data):
    """An empty folder to be in."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


SMALL = ["train", "digits", "--net=linear", "--latent=2", "--epochs=1", "--out=run"]
MISTAKES = [
    ([], 2, "train"),
    ([*SMALL, "--latent=0"], 1, "latent is at least 1"),
    ([*SMALL, "--epochs=0"], 1, "epochs is at least 1"),
    ([*SMALL, "--batch-size=0"], 1, "batch_size is at least 1"),
    ([*SMALL, "--lr=-1"], 1, "learning rate"),
    ([*SMALL, "--lr=1e10"], 1, "learning rate ten times smaller"),
    ([*SMALL, "--lr=fast"], 2, "fast"),
    ([*SMALL, "--clip=-1"], 1, "above 0"),
    ([*SMALL, "--noise=-1"], 1, "noise"),
    ([*SMALL, "--warm-up=2"], 1, "share of the training"),
    ([*SMALL, "--net=mlp", "--hidden=[-5]"], 1, "at least 1 wide"),
    ([*SMALL, "--net=mlp", "--hidden=5,6"], 2, "hidden"),
    ([*SMALL, "--devices=0"], 1, "devices=0"),
    ([*SMALL, "--nodes=0"], 1, "num_nodes"),
    ([*SMALL, "--precision=23"], 1, "Precision '23' is invalid"),
    ([*SMALL, "--strategy=guess"], 2, "guess"),
    ([*SMALL, f"--seed={2**70}"], 1, "verflow"),
    ([*SMALL, "--latent=100000000000000"], 1, "memory"),
    ([*SMALL, "--posterior=deterministic", "--objective=elbo"], 1, "reconstruction"),
    ([*SMALL, "--out=file/run"], 1, "cannot be written to"),
    ([*SMALL, "--size=8"], 1, "digits has no option 'size'"),
    (["train", ""], 1, "no dataset or folder"),
    (["train", "folder"], 1, "name the folder itself, as my/photos"),
    (["train", "empty"], 1, "no photo in empty"),
    (["resume", "empty"], 1, "is no run"),
    (["resume", "nowhere"], 1, "is no run"),
    (["evaluate", "empty"], 1, "holds no checkpoint"),
    (["evaluate", "nowhere"], 1, "does not exist"),
    (["evaluate", "pretrained/vae-mnits"], 1, "vae-mnist"),
    (["train", "--config=nowhere.yaml"], 2, "does not exist"),
    (["train", "--config=empty"], 2, "not a file"),
]  # fmt: skip


@pytest.mark.parametrize(
    "words, code, says", MISTAKES, ids=lambda v: " ".join(v)[:60] if v and isinstance(v, list) else ""
)
def test_a_mistake_gets_words_and_no_traceback(words, code, says, here, capsys):
    (here / "empty").mkdir()
    (here / "file").write_text("")
    assert call(*words) == code
    said = capsys.readouterr()
    assert says in said.err and "Traceback" not in said.err and said.out == ""


LAUGHS = [f"{chr(i + 1)}: &{chr(i + 1)} [{','.join([f'*{chr(i)}'] * 9)}]" for i in range(97, 110)]
CONFIGS = {
    "code": (b"data: !!python/object/apply:os.system ['touch canary']", "python/object"),
    "a loaded module": (b"data: !!python/name:os.system", "python/name"),
    "no YAML": (b"data: [", "config"),
    "a list": (b"- 1\n- 2", "config"),
    "bytes": (b"\xff\xfe\x00\x01", "not a file of options"),
    "control characters": (b"data: \x07", "not a file of options"),
    "a billion laughs": ("\n".join(["a: &a [1,1]", *LAUGHS]).encode(), "repeats a part by *name"),
    "lists in lists in lists": (b"data: " + b"[" * 100_000, "nests lists too deeply"),
    "and closed ones": (b"hidden: " + b"[" * 9999 + b"]" * 9999, "nests lists too deeply"),
    "another option": (b"data: digits\nlatnet: 3", "latnet"),
    "an option twice": (b"data: digits\nlatent: 3\nlatent: 4", "latent is given twice"),
    "and as it is typed": (b"data: digits\nwarm_up: 0\n\"warm-up\": 0.1", "warm_up is given twice"),
    "another type": (b"data: digits\nlatent: {a: 1}", "latent"),
    "a number too many": (b"data: digits\nepochs: 1e400", "epochs"),
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_with_anything_else_in_it_is_refused(name, here, capsys):
    text, says = CONFIGS[name]
    (here / "c.yaml").write_bytes(text)
    assert call("train", "--config=c.yaml", "--epochs=1") in (1, 2)
    said = capsys.readouterr().err
    assert said.startswith("aelib") and says in said and "Traceback" not in said
    assert not (here / "canary").exists()


def test_one_and_two_photos_are_a_dataset(here, capsys):
    for n in (1, 2):
        (here / f"few{n}").mkdir()
        for i in range(n):
            Image.new("RGB", (5, 4), (90 * i, 0, 0)).save(here / f"few{n}" / f"{i}.png")
        assert call("train", f"few{n}", "--net=linear", "--latent=2", "--epochs=1", "--size=8") == 0
        assert call("evaluate", f"runs/few{n}") == 1  # there is nothing to test on
        assert "no images" in capsys.readouterr().err


def test_the_folder_one_is_in_has_a_name(here):
    Image.new("RGB", (5, 4)).save(here / "a.png")
    assert call("train", ".", "--net=linear", "--latent=2", "--epochs=1", "--size=8") == 0
    assert {p.name for p in (here / "runs").iterdir()} == {"here"}
