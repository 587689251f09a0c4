"""Where the time of an epoch goes: `python tests/benchmarks/profile.py` measures three trainings.

An epoch of `train` is timed as it is, once more with clocks around its phases, once for each thing that one
could change, and beside them, in turns, the floor: the matrix products and convolutions of its steps alone,
on random numbers. Times are medians, and what a change is worth is the median of its ratio to the default
of the same round. It writes materials/results/profile.json and prints it as a table.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ in ("__main__", "__mp_main__"):
    # not this folder: this file would be taken for Python's own module `profile`
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import multiprocessing
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from benchmarks.machine import RESULTS, live_tensors, machine, status_mb, write  # isort: skip
import torch
from torch import nn

from aelib import datasets, heads, losses, models, nets, priors, training
from aelib.contexts import seeded
from aelib.datasets import Batch, Images
from aelib.models import Autoencoder
from benchmarks.epoch import PHASES, Case, Floats, captured, epochs, floor, phases

FILE, COMMAND = RESULTS / "profile.json", "python tests/benchmarks/profile.py"
ROUNDS = 5
LOOKS, SMALL = (50, 500, 1000), 8  # steps after which memory is looked at, and the batch of those steps


def mlp() -> Autoencoder:
    """The VAE of PyTorch's examples."""
    there = nn.Sequential(nets.MLP(784, 400, 2 * 20, activation=nn.ReLU), heads.Gaussian())
    back = nn.Sequential(
        nets.MLP(20, 400, 784, activation=nn.ReLU), nets.Reshape(1, 28, 28), heads.Bernoulli()
    )
    return Autoencoder(there, back, priors.StandardNormal(20))


def conv() -> Autoencoder:
    """The factory's."""
    return models.autoencoder((1, 28, 28), 16)


def faces() -> Autoencoder:
    """The factory's, whose first layer has stride 4 at this size."""
    return models.autoencoder((3, 64, 64), 128, posterior="deterministic", likelihood="gaussian")


def all_strides_2() -> Autoencoder:
    """The same, with stride 2 in every layer."""
    shape, widths, strides = (3, 64, 64), (32, 64, 128), (2, 2, 2)
    there = nn.Sequential(nets.Centre(), nets.ConvEncoder(shape, 128, widths, strides), heads.Deterministic())
    return Autoencoder(
        there, nn.Sequential(nets.ConvDecoder(128, shape, widths, strides), heads.Gaussian(1.0))
    )


def fashion() -> Images:
    """All 60,000, none kept back."""
    return Images(datasets.load("fashion-mnist").train.store[:60_000])


CASES = {
    "mlp": Case("MLP VAE 784-400-20, batch 128", mlp, fashion, losses.elbo, 128, 60_000),
    "conv": Case("Convolutional VAE, 28×28, batch 128", conv, fashion, losses.elbo, 128, 10 * 128),
    "faces": Case(
        "Convolutional AE, LFW 64×64, batch 64",
        faces,
        lambda: datasets.load("lfw", size=64).train,
        losses.reconstruction,
        64,
        12 * 64,
    ),
}


def one_thread(runs: Iterator[float]) -> Iterator[float]:
    """The same with one thread, while it runs."""
    while True:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            seconds = next(runs)
        finally:
            torch.set_num_threads(threads)
        yield seconds


def variants(name: str, data: Images, device: str) -> dict[str, Iterator[float]]:
    """What one could change, each by itself, and "default"."""
    case = CASES[name]

    def compiled() -> Autoencoder:
        model = case.model()
        model.compile()
        return model

    def last(batch: Batch) -> Batch:
        return Batch(batch.x.contiguous(memory_format=torch.channels_last))

    def of(data: Any = data, **changes: Any) -> Iterator[float]:
        return epochs(case, data, device, **changes)

    runs = {
        "default": of(),
        "foreach Adam": of(adam=lambda m: torch.optim.AdamW(m.parameters(), weight_decay=0.0, foreach=True)),
        "bf16-mixed": of(precision="bf16-mixed"),
        "batch 512": of(batch=512),
        "float32 in memory": of(Floats(data, device)),
        "torch.compile": of(model=compiled),
    }
    if name != "mlp":
        model = lambda: case.model().to(memory_format=torch.channels_last)  # noqa: E731
        runs["channels_last"] = of(data.map(last), model=model)
    if name == "faces":
        runs["all strides 2"] = of(model=all_strides_2)
    if device == "cpu" and torch.get_num_threads() > 1:
        runs["one thread"] = one_thread(of())
    if device == "cuda":
        runs["CUDA graph"] = captured(case, data, device)
    return runs


def measure(name: str, device: str, images: int | None = None, rounds: int = ROUNDS) -> dict[str, Any]:
    """One case's epoch on one device: its parts, its floor, and what each change is worth."""
    case = CASES[name]
    whole = case.data()
    data = whole if device == "cuda" else whole[: images or case.images]
    runs, alone, clocked = variants(name, data, device), floor(case, data, device), phases(case, data, device)
    missing: dict[str, str] = {}
    rows: list[dict[str, float]] = []
    spent: list[dict[str, float]] = []
    for _ in range(rounds + 1):
        row = {"products": next(alone)}
        spent.append(next(clocked))
        for change in list(runs):
            try:
                row[change] = next(runs[change])
            except Exception as e:
                if change != "torch.compile":  # which needs a compiler for C++, and much more
                    raise
                missing[change] = f"{type(e).__name__}: {str(e).strip().splitlines()[0]}"
                del runs[change]
        rows.append(row)
        print(device, name, {k: round(v, 3) for k, v in row.items()}, flush=True)
    first, rows, spent = rows[0], rows[1:], spent[1:]  # the first round is the warm-up
    seconds = {k: statistics.median(row[k] for row in rows) for k in rows[0]}
    worth: dict[str, Any] = {
        k: {
            "seconds": round(seconds[k], 4),
            "ratio": round(statistics.median(row[k] / row["default"] for row in rows), 3),
        }
        for k in runs if k != "default"
    }  # fmt: skip
    if "torch.compile" in worth:
        worth["torch.compile"]["seconds_to_compile"] = round(
            first["torch.compile"] - seconds["torch.compile"]
        )
    return {
        "case": name, "title": case.title, "device": device, "images": len(data), "of": len(whole),
        "batch": case.batch, "seconds": round(seconds["default"], 4),
        "parts": {k: round(statistics.median(s[k] for s in spent), 4) for k in spent[0]},
        "products": round(seconds["products"], 4),
        "ratio_to_products": round(statistics.median(r["default"] / r["products"] for r in rows), 3),
        "changes": worth | {k: {"not available": why} for k, why in missing.items()},
    }  # fmt: skip


def memory(name: str, device: str, looks: tuple[int, ...] = LOOKS) -> dict[str, Any]:
    """Peak memory of 50 steps, and whether anything grows over many; needs a process of its own."""
    case = CASES[name]
    data = case.data()
    with seeded(0):
        model = case.model()
    optimizer = training.adam(model)
    before = status_mb("VmRSS:")

    def go(data: Images, size: int, epochs: int, tick: Callable[[int, int], None] | None = None) -> None:
        for _ in training.train(
            model, data, case.objective, optimizer, epochs=epochs, batch_size=size, device=device, tick=tick
        ):
            pass

    go(data[: looks[0] * case.batch], case.batch, 1)
    on_card = torch.cuda.max_memory_allocated() / 1e6 if device == "cuda" else None
    growth: list[dict[str, Any]] = []

    def look(done: int, total: int) -> None:
        if done in looks:
            card = torch.cuda.memory_allocated() if device == "cuda" else None
            growth.append(
                {"step": done, "tensors": live_tensors(), "mb": status_mb("VmRSS:"), "cuda_bytes": card}
            )

    go(data[: SMALL * looks[-1] // 4], SMALL, 4, look)
    return {
        "before_mb": before, "peak_mb": status_mb("VmHWM:"), "cuda_peak_mb": on_card, "batch": case.batch,
        "growth_batch": SMALL, "growth": growth,
    }  # fmt: skip


def table(results: Mapping[str, Any]) -> str:
    """The results as three tables of Markdown: the parts of an epoch, what changes are worth, memory."""
    cases = results["cases"]
    heads = [f"{c['title']}, {'GPU' if c['device'] == 'cuda' else 'CPU'}" for c in cases]
    columns = ["images", "seconds", *PHASES, "overhead", "products alone", "ratio"]
    lines = [_row("an epoch of", *columns), _row(*["---"] * (len(columns) + 1))]
    for head, c in zip(heads, cases, strict=True):
        parts = (f"{v:.2f}" if c["device"] == "cpu" else f"{v:.3f}" for v in c["parts"].values())
        cells = f"{c['images']:,}", f"{c['seconds']:.3g}", *parts, f"{c['products']:.3g}"
        lines.append(_row(head, *cells, f"{c['ratio_to_products']:.2f}"))
    lines += ["", _row("seconds against the default's", *heads), _row(*["---"] * (len(heads) + 1))]
    for change in dict.fromkeys(k for c in cases for k in c["changes"]):
        lines.append(_row(change, *(_worth(c["changes"].get(change)) for c in cases)))
    lines += ["", _row("memory, MB", "before", "peak", *(f"after {n} steps" for n in LOOKS), "tensors")]
    lines.append(_row(*["---"] * (len(LOOKS) + 4)))
    for head, c in zip(heads, cases, strict=True):
        m = c["memory"]
        looks = [f"{g['mb']:.1f}" if g["mb"] is not None else "" for g in m["growth"]]
        sizes = (f"{v:.0f}" if v is not None else "" for v in (m["before_mb"], m["peak_mb"]))
        lines.append(_row(head, *sizes, *looks, " / ".join(str(g["tensors"]) for g in m["growth"])))
    return "\n".join(lines) + "\n"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _worth(change: Mapping[str, Any] | None) -> str:
    if change is None:
        return ""
    if "ratio" not in change:
        return "not available"
    more = f" (compiled in {change['seconds_to_compile']} s)" if "seconds_to_compile" in change else ""
    return f"{change['ratio']:.2f}{more}"


def main() -> None:
    """Measure, write, print."""
    results: dict[str, Any] = {"command": COMMAND, "rounds": ROUNDS, "machine": machine(), "cases": []}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as empty:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = empty  # compiling is timed as for the first time
        for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
            for name in CASES:
                with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as other:
                    used = other.submit(memory, name, device).result()
                results["cases"].append(measure(name, device) | {"memory": used})
                write(FILE, results)
    print(table(results))


if __name__ == "__main__":
    main()
