"""The page about a model: one HTML file that holds its pictures, in light and in dark colours."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import __version__, baselines, latent, metrics, plots, runs
from .contexts import evaluating
from .datasets import Images, Split
from .errors import shown
from .evaluation import check
from .files import write_file
from .models import Autoencoder
from .outliers import Scores
from .pretrained import load_with_data
from .training import History

SUFFIXES = (".html", ".htm")
SHOWN, MAPPED, COLOURED = 16, 1000, 10  # pictures, codes on the map, classes with a colour of their own
WHAT = {
    "mse": ("mean squared error per pixel", "0 is perfect; grey levels run from 0 to 1"),
    "pca": ("the same, of PCA with as many numbers as the code", "fitted to training pictures"),
    "mean": ("the same, of the mean training picture", "for every picture"),
    "psnr": ("peak signal-to-noise ratio, dB", "more is better; 3 dB is half of the squared error"),
    "ssim": ("structural similarity", "1 is perfect"),
    "pearson": ("Pearson's correlation over the pixels", "1 is perfect"),
    "variance": ("share of the pixels' variance explained", "1 is perfect, 0 is the mean picture every time"),
    "rate": ("rate: KL(q(z|x) ‖ p(z)), nats", "what the code costs"),
    "distortion": ("distortion: E[−log p(x|z)], nats", "what is lost; of a density, so it may be negative"),
    "bound": ("rate + distortion, nats", "−ELBO, an upper bound of −log p(x)"),
    "active": ("active units", "dimensions of the code whose mean varies over the pictures"),
}
STYLE = Path(__file__).with_name("report.css").read_text("utf-8")


def write(
    file: str | Path, model: Autoencoder, split: Split[Images], history: History | None = None, *,
    title: str = "", note: str = "", settings: Mapping[str, Any] | None = None, commands: Sequence[str] = (),
) -> Path:  # fmt: skip
    """Write one HTML page about a model: numbers, learning curves, reconstructions, samples, a map of codes.

    Args:
        file: replaced, if it is there; ends in .html. It is returned.
        split: pictures of the shape that the model was trained on; its test part is judged.
        history: of the training, for its curves.
        title: the page's; the file's name by default.
        note: added to the line below it.
        settings: name → value, a row each.
        commands: what to type to go on from here.

    ValueError if the file ends otherwise, or there are no test pictures that the model takes.
    """
    file, history = named(file), history or History()
    if len(split.shape) != 3:
        raise ValueError(f"a report shows pictures (C, H, W); these examples are {tuple(split.shape)}")
    if not len(split.test):
        raise ValueError(f"there are no images to judge by: the test part of {split.name} is empty")
    check(model, split.test)
    title, settings = title or file.stem, settings or {}
    batch = split.test[:SHOWN].batch(model.device)
    sampler, prior = latent.sampler(model, split.train or split.test)
    own = [] if sampler is model or model.prior is None else [model]
    samples = [grid(pictures(latent.sample(m, len(batch), c=batch.c), "sample")) for m in (sampler, *own)]
    photos = pictures(batch.target, "photo")
    with evaluating(model):
        decoded = pictures(model.reconstruct(batch.x, batch.c), "reconstruction")
    seconds = sum(record["seconds"] for record in history)
    duration = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
    trained = f"{len(history)} epochs in {duration}" if history else ""
    head = " · ".join(filter(None, [repr(split)[6:-1], trained, note]))
    curves = f"<div class=plot>{plots.svg(plots.curves(history))}</div>" if history else "<p>Not kept.</p>"
    size = f"{sum(p.numel() for p in model.parameters()):,}"
    body = [
        f"<h1>{escape(title)}</h1>\n<p class=soft>{escape(head)}</p>",
        section("Numbers", f"On the {len(split.test):,} test pictures of {split.name}.",
                table([(*WHAT[k], v) for k, v in numbers(model, split).items()])),
        section("Learning curves", "Smaller is better. Where validation turns upwards, the model learns its "
                "training pictures by heart; the checkpoint called best is where validation is lowest.",
                curves),
        section("Reconstructions", "Test pictures above, what is left of them after the code below.",
                grid(f"{a}{b}" for a, b in zip(photos, decoded, strict=True))),
        section("Samples", f"Decoded from random codes of {prior}. They show nothing that exists.",
                "\n<p>From the model's own prior, where hardly any code is:</p>\n".join(samples)),
        section("Map of the codes", *latent_map(model, split.test[:MAPPED])),
        section("Settings", "", table([(k, "", v) for k, v in {**settings, "parameters": size}.items()])),
    ]  # fmt: skip
    if commands:
        lines = "\n".join(escape(line) for line in commands)
        body.append(section("Going on", "In a terminal:", f"<pre>{lines}</pre>"))
    return page(file, title, body)


def named(file: str | Path) -> Path:
    """The page's path; ValueError if it does not end as one does."""
    if Path(file).suffix.lower() not in SUFFIXES:
        raise ValueError(f"a page is a file that ends in {' or '.join(SUFFIXES)}; got {file}")
    return Path(file)


def page(file: Path, title: str, body: Sequence[str]) -> Path:
    """Write an HTML page of these parts, and return the file."""
    lines = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} · aelib</title><style>{STYLE}</style></head>\n<body>",
        *body,
        f"<p class=soft><small>Written by aelib {__version__}.</small></p>\n</body></html>\n",
    ]  # fmt: skip
    write_file(file, shown("\n".join(lines), "file").encode())
    return file


def of_run(
    run: str | Path, data: str | Path | Split[Images] | None = None, *, file: str | Path | None = None,
    which: str | None = None, labels: Any = None,
) -> Path:  # fmt: skip
    """The page about a run, with its settings and history, or about another model that `load` finds.

    Args:
        run, data, which, labels: as in `pretrained.load_with_data`.
        file: report.html by default, in the run's folder if it is one. It is returned.
    """
    model, split = load_with_data(run, data, which=which, labels=labels)
    sample = f"aelib sample {run} --n 64 --out samples.png"
    if not Path(run).is_dir():
        return write(file or "report.html", model, split, title=str(run), commands=[sample])
    kept = runs.Run(run)
    settings = kept.settings()
    again = [f"aelib train --config {run}/config.yaml --out {run}-again"] if "net" in settings else []
    return write(
        file or Path(run, "report.html"), model, split, kept.history(), title=str(run),
        note=f"checkpoint: {which or 'best'}", settings=settings | kept.about()["versions"],
        commands=[*again, sample, f"tensorboard --logdir {run}"],
    )  # fmt: skip


@torch.no_grad()
def numbers(model: Autoencoder, split: Split[Images]) -> dict[str, str]:
    """What `WHAT` explains, as far as the model has it."""
    test = split.test
    out = metrics.evaluate(model, test)
    if len(split.train):
        found = baselines.compare(model, split.train, test)
        out = {"mse": out["mse"], "pca": found.pca, "mean": found.mean} | out
    out |= {"variance": metrics.fraction_of_variance(model, test)}
    if model.prior is not None:
        out |= metrics.rate_distortion(model, test)
        out["bound"] = out["rate"] + out["distortion"]
    active = metrics.active_units(model, test)
    return {k: f"{v:.4g}" for k, v in out.items()} | {"active": f"{int(active.sum())} of {len(active)}"}


def latent_map(model: Autoencoder, data: Images) -> tuple[str, str]:
    """The sentence above the map of the codes, and the map: their two directions of largest variance."""
    codes = latent.encode(model, data)
    if len(codes) < 3 or codes.shape[1] < 2:
        return "A map needs three pictures and a code of two numbers.", ""
    axes = latent.principal_directions(codes, 2)
    squares = axes.square().sum(1)
    at = ((codes - codes.mean(0)) @ (axes / squares.sqrt().clamp_min(1e-12)[:, None]).T).numpy()
    share = (squares / codes.var(0).sum().clamp_min(1e-12)).tolist()
    figure, ((ax,),) = plots.axes(1, 1, (7.5, 5.2))
    dots: dict[str, Any] = {"s": 18, "alpha": 0.85, "linewidths": 0}
    said = f"{len(codes):,} test pictures, each a dot, along the two directions of most variance."
    if data.names is None:
        ax.scatter(*at.T, **dots)
    else:
        names, counts = np.unique(data.names.astype(str), return_counts=True)
        common = names[np.sort(np.argsort(-counts, kind="stable")[:COLOURED])]
        others = ~np.isin(data.names, common)
        if others.any():
            said += f" The {COLOURED} commonest of {len(names)} classes have colours."
            ax.scatter(*at[others].T, **dots | {"alpha": 0.35}, color="#8a8f98", label="others")
        for name in common:
            ax.scatter(*at[data.names == name].T, **dots, label=shown(name, "figure"))
        ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), markerscale=1.5)
    sides = [f"principal direction {i + 1} ({share[i]:.0%} of the variance)" for i in range(2)]
    ax.set(xlabel=sides[0], ylabel=sides[1])
    return said, f"<div class=plot>{plots.svg(figure)}</div>"


def of_outliers(
    file: Path, title: str, said: str, scores: Scores, data: Images, order: np.ndarray, values: np.ndarray
) -> Path:  # fmt: skip
    """Write the sheet of the strangest pictures: photo, reconstruction, and where they differ.

    Args:
        said: the sentence above it.
        order: rows of the data, the strangest first.
        values: (N,) their scores.
    """
    shown_ = data[order]
    batch, where = shown_.batch(scores.model.device), scores.maps(shown_).mean(1, keepdim=True)
    with evaluating(scores.model):
        decoded = scores.model.reconstruct(batch.x, batch.c)
    # white is a hundred times the usual error, black the usual one
    heat = (where.clamp_min(1).log10() / 2).clamp_max(1)
    names = shown_.files if shown_.files is not None else [f"picture {i}" for i in order]
    rows = zip(pictures(batch.target, "photo"), pictures(decoded, "reconstruction"), pictures(heat, "error"),
               names, values[order].tolist(), strict=True)  # fmt: skip
    cells = (f"{a}{b}{c}<small>{value:.4g}<br>{escape(str(name))}</small>" for a, b, c, name, value in rows)
    about = ("Each with its reconstruction and the squared error of every pixel: black is as usual, or less, "
             "white a hundred times that.")  # fmt: skip
    sheet = section("The strangest", f"{said} {about}", grid(cells))
    return page(file, title, [f"<h1>{escape(title)}</h1>", sheet])


def pictures(images: Tensor, what: str) -> list[str]:
    """An <img> for each image (N, C, H, W)."""
    each = (base64.b64encode(plots.png(image[None], 1, 1)).decode() for image in images)
    return [f'<img alt="{what} {i + 1}" src="data:image/png;base64,{data}">' for i, data in enumerate(each)]


def grid(cells: Iterable[str]) -> str:
    """Pictures in rows that fit the page."""
    return f'<div class="pictures">{"".join(f"<div>{cell}</div>" for cell in cells)}</div>'


def section(title: str, said: str, body: str = "") -> str:
    """A heading, a sentence, and what the sentence is about."""
    return f"<h2>{title}</h2>\n<p>{escape(said)}</p>\n{body}"


def table(rows: Sequence[tuple[str, str, Any]]) -> str:
    """A row each: what, a word on it, its value."""
    return "<table>" + "".join(
        f"<tr><th>{escape(name)}{f'<br><small>{escape(word)}</small>' if word else ''}</th>"
        f'<td class="number">{escape("–" if value is None else str(value))}</td></tr>'
        for name, word, value in rows
    ) + "</table>"  # fmt: skip
