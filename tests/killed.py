"""Trains in processes that are killed, and checks that what goes on from there ends as if nothing had been.

    python tests/killed.py FOLDER random 100     kill -9 at 100 random moments, resumed trainings among them
    python tests/killed.py FOLDER ask 20         Ctrl-C and SIGTERM, in turn, at 20 random moments
    python tests/killed.py FOLDER every 1        kill -9 before every single change of the run's folder

torch is imported once; every training is a fork of this process.
"""

import contextlib
import gc
import os
import random
import shutil
import signal
import sys
import time
import warnings
from pathlib import Path

import torch
from torch.utils import tensorboard  # noqa: F401  # for the forks

from aelib import datasets, losses, models, runs
from aelib.datasets import noisy
from aelib.runs import checkpoint, fit
from aelib.training import cosine, warm_up

torch.set_num_threads(1)
DIGITS = datasets.load("digits")
VALID = DIGITS.valid[:60]
ALL = {signal.SIGINT, signal.SIGTERM}
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir"}


def training(folder, epochs=5, images=320):
    torch.manual_seed(0)
    model = models.autoencoder(DIGITS.shape, 4, net="mlp", hidden=(24,))
    schedule = {"beta": warm_up(0.5), "lr": cosine(0.1)}
    fit(
        model, DIGITS.train[:images].map(noisy(0.1)), losses.elbo, epochs=epochs, batch_size=32, valid=VALID,
        schedule=schedule, run=folder, device="cpu",
    )  # fmt: skip


def begun(folder, before=lambda: None, **keywords):
    """A training in a process of its own."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ALL)  # until the child can catch what they raise
    if pid := os.fork():
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ALL)
        return pid
    code = 1
    try:
        with open(os.devnull, "w") as null, contextlib.redirect_stderr(null):
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ALL)
            before()
            warnings.simplefilter("error")  # a kill damages nothing, so nobody is warned
            training(folder, **keywords)
            code = 0
    except KeyboardInterrupt:
        code = 130
    except SystemExit as e:
        code = e.code
    except BaseException:
        import traceback

        traceback.print_exc()
    os._exit(code)


def ended(pid):
    """Its exit code, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def left(folder):
    """All that a training leaves: weights, optimizer, history without seconds; tensors as bytes."""
    run = runs.Run(folder)
    last = run.folder("last")
    history = checkpoint.read_history(last)
    table = (folder / "history.csv").read_text()
    assert table == history.table().to_csv(), "history.csv is not the history"
    assert not list(folder.rglob("*.part")), "litter"
    state = torch.load(last / checkpoint.STATE, weights_only=True)["optimizers"]
    tensors = checkpoint.read_weights(last / checkpoint.WEIGHTS)[0]
    records = [{k: v for k, v in r.items() if k != "seconds"} for r in history]
    for name in run.names():
        checkpoint.check(run.checkpoints / name)
    return plain({"last": last.name, "weights": tensors, "optimizers": state, "history": records})


def plain(thing):
    """With bytes in place of tensors, so that == means bit-equal."""
    if isinstance(thing, torch.Tensor):
        return thing.dtype, thing.shape, thing.numpy().tobytes()
    if isinstance(thing, dict):
        return {k: plain(v) for k, v in thing.items()}
    return [plain(v) for v in thing] if isinstance(thing, (list, tuple)) else thing


def whole(folder):
    """What an uninterrupted training leaves, and the seconds that it takes."""
    start = time.perf_counter()
    assert ended(begun(folder)) == 0
    return left(folder), time.perf_counter() - start


def at_random(folder, kills, signals, draw):
    """Send signals at random moments until there were so many, resuming each time. Returns resumptions."""
    expected, seconds = whole(folder / "whole")
    sent = resumed = 0
    while sent < kills:
        path, again = folder / f"run{sent}", False
        while True:
            pid, number = begun(path), signals[sent % len(signals)]
            resumed += again
            time.sleep(draw.uniform(0, seconds))
            if sent < kills:
                os.kill(pid, number)  # a process that has ended waits for waitpid: nobody else is hit
                code = ended(pid)
                if code == 0:
                    break
                allowed = {signal.SIGKILL: {-9}, signal.SIGINT: {130}, signal.SIGTERM: {-15, 143}}[number]
                assert code in allowed, f"{path}: signal {number} ended it with {code}"
                sent, again = sent + 1, True
            else:
                assert ended(pid) == 0
                break
        assert left(path) == expected, f"{path} ended otherwise than a training that was not killed"
        shutil.rmtree(path)
    return resumed


def at_every_change(folder, step):
    """Kill a training before the 1st, the (1 + step)th, … change of its folder, each time in a new one."""
    short = {"epochs": 3, "images": 64}
    assert ended(begun(folder / "whole", **short)) == 0
    expected = left(folder / "whole")
    for k in range(1, 10_000, step):
        path = folder / f"run{k}"

        def before(path=str(path), k=k):
            count = 0

            def hook(event, arguments):
                nonlocal count
                changes = event in CHANGES or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR))
                if changes and (path in str(arguments[0]) or arguments[-1] != -1):
                    count += 1
                    if count == k:
                        os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(hook)

        code = ended(begun(path, before, **short))
        assert code in (0, -9), code
        if code == -9:
            assert ended(begun(path, **short)) == 0, f"killed before change {k}, it does not go on"
        assert left(path) == expected, f"killed before change {k}, it ends otherwise"
        shutil.rmtree(path)
        if code == 0:
            return k // step
    raise AssertionError("it never ended")


if __name__ == "__main__":
    place, what, n = Path(sys.argv[1]), sys.argv[2], int((*sys.argv[3:], "0")[0])
    began = time.perf_counter()
    gc.freeze()  # else every fork's collector would copy what was imported
    if what == "every":
        kills = at_every_change(place, n)
        print(f"{kills} kills, one before every change of the folder or every {n}th", end="")
    else:
        numbers = [signal.SIGKILL] if what == "random" else [signal.SIGINT, signal.SIGTERM]
        count = at_random(place, n, numbers, random.Random(0))
        print(f"{n} signals at random moments, {count} resumptions", end="")
    print(f"; every training ended bit-equal. {time.perf_counter() - began:.0f} s")
