"""How cost grows: `python tests/benchmarks/scaling.py` measures µs an image of a step of `train`.

Against the side of the image, the size of the batch, the size of the code, the number of images (in a file
that is memory-mapped, by a process that may not hold it), and the number of devices. Pixels are random: time
does not depend on them. Each point is the median of five epochs of about a quarter of a second after a
warm-up; for the number of images, of steps. It writes materials/results/scaling.json and, of that,
materials/figures/scaling.png.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ in ("__main__", "__mp_main__"):
    # not this folder: its profile.py would be taken for Python's own module
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import json
import math
import multiprocessing
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

from benchmarks.machine import FIGURES, RESULTS, machine, now, status_mb, write  # isort: skip
import matplotlib as mpl
import numpy as np
import torch

from aelib import losses, models, plots, training
from aelib.datasets import Images
from aelib.datasets.decoding import processors
from benchmarks.epoch import Case, epochs

FILE, FIGURE = RESULTS / "scaling.json", FIGURES / "scaling.png"
COMMAND = "python tests/benchmarks/scaling.py"
REPEATS, LENGTH, BATCH = 5, 0.25, 128  # LENGTH: of an epoch, in seconds
NETS = ("mlp", "conv")
SIDES, SIDE_BATCH = (16, 32, 64, 128, 256), 32
BATCHES, CODES = (1, 4, 16, 64, 256, 1024, 4096), (2, 8, 32, 128, 512, 1024)
# shape of an image → numbers of images: the largest sets have 0.8 GB and 4.4 GB
SETS = {(1, 28, 28): (10**3, 10**4, 10**5, 10**6), (3, 64, 64): (10**3, 10**4, 10**5, 36 * 10**4)}
ALLOWED_MB = 1000  # a process may hold so much more than it holds when it begins
Shape = tuple[int, int, int]
# sweep, what is across, what is drawn and how it is called, and the labels of the axes
PANELS: tuple[tuple[str, str, dict[str, str], str, str], ...] = (
    (
        "side",
        "value",
        {"us": ""},
        f"side of the image, pixels (3 channels, batch {SIDE_BATCH})",
        "µs an image",
    ),
    ("batch", "value", {"us": ""}, "images in a batch (28×28)", "µs an image"),
    ("code", "value", {"us": ""}, f"size of the code (28×28, batch {BATCH})", "µs an image"),
    ("devices", "value", {"us": ""}, f"devices that share a batch of {BATCH} (28×28)", "µs an image"),
    ("images", "value", {"us": ""}, "images in the file", "µs an image, a step"),
    (
        "images",
        "value",
        {"draw_us": "", "cold_us": ", from disk"},
        "images in the file",
        "µs to draw an image",
    ),
    ("images", "gb", {"held_mb": ""}, "size of the file, GB", "memory held, MB"),
)
COLOURS = {
    (net, device): f"C{i + 3 * (device == 'cuda')}"
    for i, net in enumerate(("mlp", "conv", "fcn"))
    for device in ("cpu", "cuda")
}


def case(net: str, shape: Shape, latent: int = 16, batch: int = BATCH) -> Case:
    """A VAE of the factory."""
    return Case(net, lambda: models.autoencoder(shape, latent, net=net), None, losses.elbo, batch, 0)


def pictures(shape: Shape, n: int) -> Images:
    """n random images, drawn from a store of at most 64 MB."""
    most = max(1, min(n, 64_000_000 // math.prod(shape)))
    store = np.random.default_rng(0).integers(0, 256, (most, *shape), np.uint8)
    return Images(store, rows=np.arange(n) % most)


def cost(this: Case, shape: Shape, device: str) -> float:
    """µs an image: the median epoch, of as many steps as take about `LENGTH`."""
    pilot = epochs(this, pictures(shape, 2 * this.batch), device)
    next(pilot)
    steps = min(max(1, round(2 * LENGTH / next(pilot))), 500)
    runs = epochs(this, pictures(shape, steps * this.batch), device)
    next(runs)
    return 1e6 * statistics.median(next(runs) for _ in range(REPEATS)) / (steps * this.batch)


def sweeps(device: str) -> list[dict[str, Any]]:
    """The points of side, batch and code."""
    small = (1, 28, 28)
    asked = [
        ("side", net, side, (3, side, side), 16, SIDE_BATCH) for net in ("conv", "fcn") for side in SIDES
    ]
    asked += [("batch", net, batch, small, 16, batch) for net in NETS for batch in BATCHES]
    asked += [("code", net, code, small, code, BATCH) for net in NETS for code in CODES]
    points = []
    for sweep, net, value, shape, latent, batch in asked:
        us = cost(case(net, shape, latent, batch), shape, device)
        points.append({"sweep": sweep, "device": device, "net": net, "value": value, "us": round(us, 2)})
        print(points[-1], flush=True)
    return points


def mapped(file: str, shape: Shape, n: int, device: str) -> dict[str, Any]:
    """Draw every image of the file, and train on some; needs a process of its own, whose memory it limits.

    The limit is on what the process holds, not on pages of the file, which the system may drop at any time.

    Returns:
        A point with "us" (a training step), "draw_us" (an epoch of batches and nothing else), "cold_us" (a
        few of them when none of the file is in memory; None where the system cannot be told to drop it),
        "held_mb" (what the process holds at the end beyond what it held at the beginning), and "refused"
        (whether the set in memory is more than is allowed; None: there is no limit).
    """
    net = "mlp" if shape[0] == 1 else "conv"
    this = case(net, shape)
    pixels = np.memmap(file, np.uint8, "r", shape=(n, *shape))
    data, refused = Images(pixels), None
    begun, held = status_mb("VmData:"), status_mb("RssAnon:")
    if device == "cpu" and begun is not None:  # on CUDA a set that fits goes to the device as a whole
        most = int((begun + ALLOWED_MB) * 1e6)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    few, cold = min(n, 2000), None
    if hasattr(os, "posix_fadvise"):
        with open(file, "rb") as f:
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        rows = np.random.default_rng(0).choice(n, few, replace=False)
        cold = 1e6 * _drawn(data[rows], device) / few
    if begun is not None and device == "cpu":
        try:
            np.array(pixels)
            refused = False
        except MemoryError:
            refused = True
    with open(file, "rb") as f:  # in the file's own order: a disk is slow in any other
        while f.read(2**24):
            pass
    _drawn(data, device)
    draw = 1e6 * statistics.median(_drawn(data, device) for _ in range(3)) / n
    at: list[float] = []

    def tick(done: int, total: int) -> bool:
        at.append(now(device))
        return len(at) > warm + steps

    steps, warm = (200, 20) if net == "mlp" else (15, 3)
    model = this.model()
    for _ in training.train(
        model, data, this.objective, epochs=10**6, batch_size=BATCH, device=device, tick=tick
    ):
        pass
    us = 1e6 * statistics.median(b - a for a, b in zip(at[warm:], at[warm + 1 :], strict=False)) / BATCH
    grown = None if held is None else round((status_mb("RssAnon:") or 0) - held, 1)
    return {
        "sweep": "images", "device": device, "net": net, "shape": shape, "value": n,
        "gb": round(n * math.prod(shape) / 1e9, 4), "us": round(us, 2), "draw_us": round(draw, 3),
        "cold_us": None if cold is None else round(cold, 2), "held_mb": grown,
        "limit_mb": None if refused is None else ALLOWED_MB, "refused": refused,
    }  # fmt: skip


def _drawn(data: Images, device: str) -> float:
    """Seconds to draw all batches once."""
    start = now(device)
    for _ in data.batches(BATCH, 0, device):
        pass
    return now(device) - start


def sets(device: str) -> list[dict[str, Any]]:
    """The points of the number of images; what the disk has no room for is left out."""
    points = []
    for shape, numbers in SETS.items():
        for n in numbers:
            with tempfile.TemporaryDirectory() as folder:
                if shutil.disk_usage(folder).free < 2 * n * math.prod(shape):
                    print(f"no room for {n:,} images of {shape}", flush=True)
                    continue
                file = f"{folder}/pixels"
                fill(file, n * math.prod(shape))
                with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as other:
                    points.append(other.submit(mapped, file, shape, n, device).result())
            print(points[-1], flush=True)
    return points


def fill(file: str, size: int) -> None:
    """Write so many random bytes, down to the disk."""
    block = np.random.default_rng(0).bytes(min(size, 100_000_000))
    with open(file, "wb") as f:
        for begin in range(0, size, len(block)):
            f.write(block[: size - begin])
        f.flush()
        os.fsync(f.fileno())


def devices() -> list[dict[str, Any]]:
    """The points of one and more devices: processes on a CPU, as many as it has cores, and CUDA's."""
    there = {"cpu": processors(), "cuda": torch.cuda.device_count()}
    points = []
    for device, most in there.items():
        for count in (n for n in (1, 2, 4, 8) if n <= min(most, 2 if device == "cpu" else most)):
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder, "costs.json")
                script = Path(__file__).with_name("devices.py")
                subprocess.run([sys.executable, script, device, str(count), file], check=True)
                costs = json.loads(file.read_text())
            for net, us in costs.items():
                point = {"sweep": "devices", "device": device, "net": net, "value": count, "us": round(us, 2)}
                points.append(point)
                print(point, flush=True)
    return points


def figure(points: list[dict[str, Any]]) -> plots.Picture:
    """A panel for each of `PANELS`."""
    with mpl.rc_context(plots.STYLE):
        whole, axes = plots.axes(2, 4, (3.6, 3))
        for (sweep, across, keys, xlabel, ylabel), ax in zip(PANELS, axes.flat, strict=False):
            mine = [p for p in points if p["sweep"] == sweep]
            for net, device in dict.fromkeys((p["net"], p["device"]) for p in mine):
                line = [p for p in mine if (p["net"], p["device"]) == (net, device)]
                name = f"{net}, {'GPU' if device == 'cuda' else 'CPU'}"
                if sweep == "images":
                    name = "{}×{}×{} ".format(*line[0]["shape"]) + name
                color = COLOURS[net, device]
                for (key, what), style in zip(keys.items(), ("-", ":"), strict=False):
                    y = [p[key] if p[key] is not None else math.nan for p in line]
                    ax.plot([p[across] for p in line], y, style, marker=".", color=color, label=name + what)
            values = sorted({p[across] for p in mine})
            if "held_mb" in keys:
                ax.plot(values, [1000 * gb for gb in values], color="grey", lw=1, label="the file itself")
                ax.axhline(ALLOWED_MB, color="grey", lw=1, ls=":", label="allowed, CPU")
            ax.set(xlabel=xlabel, ylabel=ylabel, xscale="log", yscale="log")
            if across == "value" and sweep != "images":
                ax.set_xticks(values, [str(v) for v in values])
                ax.minorticks_off()
            low, high = (math.log10(y) for y in ax.get_ylim())
            ax.set_ylim(10 ** math.floor(low), 10 ** (math.ceil(high) + len(keys) - 1))  # room for the legend
            ax.legend(fontsize=7)
        axes.flat[-1].remove()
    return whole


def main() -> None:
    """Measure, write, draw."""
    found = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    results: dict[str, Any] = {
        "command": COMMAND, "repeats": REPEATS, "machine": machine(), "side_batch": SIDE_BATCH,
        "batch": BATCH, "allowed_mb": ALLOWED_MB, "points": [],
    }  # fmt: skip
    for points in (*(partial(f, device) for device in found for f in (sweeps, sets)), devices):
        results["points"] += points()
        write(FILE, results)
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    figure(results["points"]).savefig(FIGURE)


if __name__ == "__main__":
    main()
