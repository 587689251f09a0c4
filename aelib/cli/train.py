"""Verbs on the way to a model: datasets, train, resume."""

import json as json_
import math
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

from ..errors import say, shown


def list_datasets(download: str | None = None, json: bool = False) -> None:
    """List the datasets: what each is, its terms and size, and where it is.

    Args:
        download: get this one now, and decode it.
    """
    from .. import datasets
    from ..materials import licences

    if download is not None:
        split = datasets.load(download)
        print(json_.dumps({"name": download, "images": len(split.train)}) if json else split)
        return
    rows = []
    for name, source in datasets.DATASETS.items():
        found = source.found()
        rows.append({
            "name": name, "what": source.what, "terms": source.terms, "size": source.size,
            "check": source.check, "here": not source.places or found is not None,
            "found": None if found is None else str(found),
        })  # fmt: skip
    if json:
        print(json_.dumps(rows, ensure_ascii=False, indent=1))
        return
    for r in rows:
        where = f"in {r['found']}" if r["found"] else "here" if r["here"] else "not here yet"
        size = r["size"] if r["check"] == "–" else f"{r['size']}, checked by {r['check']}"
        print(f"{r['name']:<14} {r['what']}\n{'':<14} {where}; {size}; terms: {r['terms']}")
    print(f"\nUse one: aelib train NAME. Your own photos: aelib train FOLDER. Terms in full:\n{licences()}")


def begin(
    data: str, out: str = "", size: int | None = None, channels: int | None = None,
    labels: str | None = None, by: str | None = None,
    net: Literal["linear", "mlp", "conv", "fcn"] = "conv",
    posterior: Literal["deterministic", "gaussian"] = "gaussian",
    likelihood: Literal[
        "bernoulli", "gaussian", "gaussian-learnt", "gaussian-predicted", "gaussian-optimal", "laplace",
        "laplace-learnt",
    ] = "gaussian-learnt",
    latent: int = 64, hidden: list[int] | None = None, start: Literal["auto", "pca", "random"] = "auto",
    objective: Literal["auto", "reconstruction", "elbo", "iwae", "sparse", "contractive"] = "auto",
    beta: float = 1.0, warm_up: float = 0.0, noise: float = 0.0, flip: bool | None = None,
    quick: bool = False, epochs: int | None = None, batch_size: int | None = None,
    optimizer: Literal["auto", "adam", "muon"] = "auto", lr: float | None = None,
    schedule: Literal["constant", "cosine"] = "cosine", clip: float | None = None,
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto", devices: int = 1, nodes: int = 1,
    strategy: Literal["auto", "ddp", "ddp_find_unused_parameters_true"] = "auto",
    precision: str = "32-true", seed: int = 0,
) -> None:  # fmt: skip
    """Train an autoencoder, and keep everything in a folder.

    How long it trains, and how, is chosen by a rule that looks at the pictures, and printed in one line; what
    you set stays. At the end one line compares the model with PCA, on validation pictures.

    If the folder holds this training already, it goes on from there. Ctrl-C ends the step, saves, and says
    how to go on.

    Args:
        data: a dataset's name (see `aelib datasets`) or a folder of photos.
        out: folder of the run; runs/DATA by default.
        size: side of the pictures in pixels, where the dataset comes in several.
        channels: 1 makes colour photos grey.
        labels: of a folder: a .csv, .tsv or .parquet with what is known of each photo, found by its name.
        by: a column of these labels, or folder: photos that share it are in one part.
        net: kind of network.
        posterior: deterministic is a plain autoencoder, gaussian a variational one.
        likelihood: how a picture is compared with its reconstruction.
        latent: size of the code.
        hidden: widths of the hidden layers, from the image inwards, as [32,64,128].
        start: from PCA, or from random weights; auto is PCA, but for likelihood bernoulli and for
            net conv of 4,000 photos and more.
        objective: auto is the ELBO, or the reconstruction's error for a plain autoencoder.
        beta: weight of the KL term in the ELBO.
        warm_up: share of the training over which beta rises from 0.
        noise: standard deviation of noise on what the encoder sees (a denoising autoencoder).
        flip: mirror pictures at random; by default where PCA fits mirrored ones as well as the others.
        quick: a tenth of the steps, for a first look.
        epochs: passes over the training pictures.
        batch_size: the most pictures in a step, of all devices together.
        optimizer: adam, or muon on the matrices and adam on the rest; auto takes muon where it costs little.
        lr: learning rate.
        schedule: of the learning rate.
        clip: the largest norm of the gradient.
        accelerator: where it runs; auto takes CUDA, else MPS, else the CPU.
        devices: how many on each machine; of a CPU, processors.
        nodes: machines; the same command is started on each, by torchrun or a cluster.
        strategy: of Lightning Fabric for several devices; auto is ddp.
        precision: of Lightning Fabric, as bf16-mixed.
        seed: of the weights, the order and the noise.
    """
    config = {k: v for k, v in locals().items() if k not in ("out", "quick")}
    if parent := os.environ.pop("AELIB_PARENT", ""):  # for which this one is of another device
        threading.Thread(target=_ending_with, args=[int(parent)], daemon=True).start()
    from lightning_fabric import Fabric

    from .. import baselines, contexts, datasets, losses, models, runs, training

    for place in ("data", "labels"):  # known from everywhere
        if config[place] not in (None, *datasets.DATASETS) and Path(config[place]).exists():
            config[place] = str(Path(config[place]).resolve())
    kind = contexts.device_named(accelerator).type
    here = {"cpu": os.cpu_count() or 1, "cuda": contexts.torch.cuda.device_count()}.get(kind, 1)
    if devices > here:
        raise ValueError(f"--devices {devices}: {kind} has {here} here (of a CPU, processors)")
    several = devices * nodes > 1
    strategy = "ddp" if several and strategy == "auto" else strategy
    with _explaining():
        fabric = Fabric(
            accelerator=accelerator, strategy=strategy, devices=devices, num_nodes=nodes,
            precision=precision,  # type: ignore[arg-type]
        )  # fmt: skip
    if several:
        _launch(fabric, nodes)
    options = {"size": size, "channels": channels, "labels": labels, "by": by}
    split = datasets.load(data, **{k: v for k, v in options.items() if v is not None})
    if split.note and fabric.is_global_zero:
        say(split, sys.stdout)
    run = runs.Run(out or Path("runs", shown(Path(data).resolve().name)), config)
    flip = training.mirrored(split.train, split.valid) if flip is None else flip
    images = split.train.map(datasets.flipped) if flip else split.train
    images = images.map(datasets.noisy(noise)) if noise else images
    if start == "auto":
        many = len(images) >= training.FROM_RANDOM.get(net, math.inf)
        start = "random" if likelihood == "bernoulli" or many else "pca"
    with _explaining(), contexts.seeded(seed):
        model = models.autoencoder(
            split.shape, latent, net=net, posterior=posterior, likelihood=likelihood, hidden=hidden,
            start=start == "pca" and (bool(run.names()) or split.train),  # those it goes on from are loaded
        )  # fmt: skip
    name = objective if objective != "auto" else "elbo" if posterior == "gaussian" else "reconstruction"
    goal, rise = getattr(losses, name), training.warm_up(warm_up)
    goal = partial(goal, beta=beta) if name == "elbo" else goal
    with _explaining():
        choice = training.choose(
            model, images, goal, epochs=epochs, batch_size=batch_size, optimizer=optimizer, lr=lr,
            schedule=schedule, quick=quick,
        )  # fmt: skip
        optimizers = choice.optimizers(model)
    schedules, goal = choice.schedules(), choice.goal(goal)
    schedules |= {"beta": lambda t: beta * rise(t)} if name == "elbo" else {}
    config |= {k: getattr(choice, k) for k in ("epochs", "batch_size", "optimizer", "lr")}
    config |= {"start": start, "flip": flip}
    if fabric.is_global_zero:
        say(f"{choice}{', mirrored at random' if flip else ''}")
    before = run.names()
    history = runs.fit(
        model, images, goal, optimizers, epochs=choice.epochs, batch_size=choice.batch_size,
        valid=split.valid, schedule=schedules, seed=seed, clip=clip, fabric=fabric, run=run,
    )  # fmt: skip
    if fabric.is_global_zero:
        say(history, sys.stdout)
        if before and before == run.names():
            more = f"aelib resume {run.path} --epochs {2 * len(history)}, or another --out"
            say(f"{run.path} has {len(history)} epochs: nothing was trained. More: {more}", sys.stdout)
        if history and len(split.valid):
            best = runs.load(run.path, device=str(fabric.device))
            say("\n".join(baselines.verdict(best, split.train, split.valid)), sys.stdout)
        say(f"{run.path}: to look at it: aelib report {run.path}", sys.stdout)
    if several:
        from torch import distributed

        fabric.barrier()
        distributed.destroy_process_group()  # left to the garbage collection it may wait for ever


def _launch(fabric: Any, nodes: int) -> None:
    """Start the other devices' processes, which end with this one, and meet those of other machines."""
    place = fabric.strategy.cluster_environment
    if nodes > 1 and not place.creates_processes_externally and "MASTER_ADDR" not in os.environ:
        raise ValueError("nothing says where the other --nodes are: start the command on each by torchrun or "
                         "a cluster, or with MASTER_ADDR, MASTER_PORT and NODE_RANK set")  # fmt: skip
    if nodes > 1:
        say(f"machine {place.node_rank() + 1} of {nodes} waits for the others, at {place.main_address}")
    os.environ["AELIB_PARENT"] = str(os.getpid())
    try:
        fabric.launch()
    finally:
        del os.environ["AELIB_PARENT"]


def _ending_with(parent: int) -> None:
    """End this process when the one that started it has ended, whatever it was killed by."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


@contextmanager
def _explaining() -> Iterator[None]:
    """Inside, a library's error is about an option: its message is shown to the user, without a traceback."""
    try:
        yield
    except (ValueError, TypeError, RuntimeError, OverflowError, ImportError) as e:
        raise ValueError(str(e).strip() or type(e).__name__) from e


def resume(run: str, data: str | None = None, epochs: int | None = None, labels: str | None = None) -> None:
    """Go on with a training that was stopped, or train one that has ended for longer.

    Args:
        run: its folder.
        data: where the photos lie now, if they were moved.
        labels: where their labels lie now.
        epochs: passes over the data, counted from its beginning; as it was planned by default.
    """
    from ..pretrained import trained_on
    from ..runs import Run, RunError
    from .parser import run as call

    folder = Run(run)
    folder.about()  # says so, if this is no run
    config = folder.path / "config.yaml"
    settings = folder.settings()
    if "net" not in settings:
        raise RunError(f"{run} was begun in Python, not by `aelib train`: call fit again, with run={run!r}")
    if data is None:
        trained_on(run)  # says so, if that is not there
    more = [] if epochs is None else [f"--epochs={epochs}"]
    more += [] if labels is None else [f"--labels={labels}"]
    more += [] if data is None else [data]
    call({"train": begin}, "", ["train", f"--config={config}", f"--out={run}", *more])
