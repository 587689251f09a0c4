"""The page about a run: one HTML file that holds its pictures, and reads well by day and by night."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import __version__, latent, metrics, plots, runs
from .cli.inputs import samples
from .datasets import Images, Split
from .models import Autoencoder

SHOWN, MAPPED, COLOURED = 16, 1000, 10  # pictures, codes on the map, classes with a colour of their own
WHAT = {
    "mse": ("mean squared error a pixel", "0 is perfect; grey levels run from 0 to 1"),
    "psnr": ("peak signal-to-noise ratio, dB", "more is better; 3 dB is half of the squared error"),
    "ssim": ("structural similarity", "1 is perfect"),
    "pearson": ("Pearson's correlation over the pixels", "1 is perfect"),
    "variance": (
        "share of the pixels' variance explained",
        "1 is perfect, 0 is the mean picture for everybody",
    ),
    "rate": ("rate: KL(q(z|x) ‖ p(z)), nats", "what the code costs"),
    "distortion": ("distortion: E[−log p(x|z)], nats", "what is lost; of a density, so it may be negative"),
    "bound": ("rate + distortion, nats", "−ELBO, an upper bound of −log p(x)"),
    "active": ("active units", "dimensions of the code whose mean varies over the pictures"),
}
STYLE = """
:root { color-scheme: light dark; --ink: #1d2329; --soft: #5b6570; --paper: #fff; --line: #d9dee3; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e8ec; --soft: #a3adb8; --paper: #15191d; --line: #353c44; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.2rem 4rem; max-width: 62rem;
  color: var(--ink); background: var(--paper); font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.6rem 0 .4rem; padding-top: .8rem; border-top: 1px solid var(--line); }
p { margin: .3rem 0 .9rem; max-width: 46rem; } .soft, small { color: var(--soft); }
table { border-collapse: collapse; width: 100%; max-width: 46rem; }
td, th { padding: .3rem .8rem .3rem 0; text-align: left; vertical-align: top; font-weight: normal;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.pictures { display: grid; gap: .6rem .4rem; grid-template-columns: repeat(8, 1fr); }
@media (max-width: 40rem) { .pictures { grid-template-columns: repeat(4, 1fr); } }
.pictures div { display: grid; gap: 2px; }
.pictures img { width: 100%; image-rendering: pixelated; display: block; }
.plot { overflow-x: auto; } .plot svg { max-width: 100%; height: auto; display: block; }
.plot text { font-family: system-ui, sans-serif; fill: currentColor; }
code, pre { font: .9em ui-monospace, monospace; } pre { overflow-x: auto; padding: .7rem .9rem;
  border: 1px solid var(--line); border-radius: .4rem; }
"""


def page(run: str, model: Autoencoder, split: Split, which: str) -> str:
    """The page, as HTML.

    Args:
        run: folder of the run.
        split: pictures of the shape that it was trained on; its test part is judged.
        which: checkpoint.
    """
    kept = runs.Run(run)
    about, history = kept.about(), kept.history()
    batch = split.test[:SHOWN].batch(model.device)
    drawn, prior = samples(model, lambda: split, SHOWN)
    pairs = list(
        zip(
            pictures(batch.target, "photo"),
            pictures(model.reconstruct(batch.x), "reconstruction"),
            strict=True,
        )
    )
    seconds = sum(record["seconds"] for record in history)
    head = f"{repr(split)[6:-1]} · {len(history)} epochs in {duration(seconds)} · checkpoint: {which}"
    curves = f"<div class=plot>{plots.svg(plots.curves(history))}</div>" if history else "<p>Not kept.</p>"
    body = [
        f"<h1>{escaped(run)}</h1>\n<p class=soft>{escaped(head)}</p>",
        section("Numbers", f"On the {len(split.test):,} test pictures of {split.name}.",
                table([(*WHAT[k], v) for k, v in numbers(model, split).items()])),
        section("Learning curves", "Smaller is better. Where validation turns upwards, the model learns its "
                "training pictures by heart; the checkpoint called best is where validation is lowest.",
                curves),
        section("Reconstructions", "Test pictures above, what is left of them after the code below.",
                grid(f"{a}{b}" for a, b in pairs)),
        section("Samples", f"Decoded from codes drawn from {prior}: they show nothing that exists.",
                grid(pictures(drawn, "sample"))),
        section("Map of the codes", *latent_map(model, split.test[:MAPPED])),
        section("Settings", "", table([(k, "", v) for k, v in settings(kept, about, model)])),
        section("Again", "", "<pre>" + "\n".join(escaped(line) for line in commands(kept, run)) + "</pre>"),
        f"<p class=soft><small>Written by aelib {__version__}.</small></p>",
    ]  # fmt: skip
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escaped(run)} · aelib</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


@torch.no_grad()
def numbers(model: Autoencoder, split: Split) -> dict[str, str]:
    """What `WHAT` explains, as far as the model has it."""
    test = split.test
    out: dict[str, float] = metrics.evaluate(model, test)
    out["variance"] = metrics.fraction_of_variance(model, test)
    if model.prior is not None:
        out |= metrics.rate_distortion(model, test)
        out["bound"] = out["rate"] + out["distortion"]
    active = metrics.active_units(model, test)
    return {k: f"{v:.4g}" for k, v in out.items()} | {"active": f"{int(active.sum())} of {len(active)}"}


def latent_map(model: Autoencoder, data: Images) -> tuple[str, str]:
    """What is said above the map of the codes, and the map: their two directions of largest variance."""
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
        common = (
            names if len(names) <= COLOURED else names[np.sort(np.argsort(-counts, kind="stable")[:COLOURED])]
        )
        others = ~np.isin(data.names, common)
        if others.any():
            said += f" The {COLOURED} commonest of {len(names)} classes have colours."
            ax.scatter(*at[others].T, **dots | {"alpha": 0.35}, color="#8a8f98", label="others")
        for name in common:
            ax.scatter(*at[data.names == name].T, **dots, label=name)
        ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), markerscale=1.5)
    for i, side in enumerate((ax.set_xlabel, ax.set_ylabel)):
        side(f"principal direction {i + 1} ({share[i]:.0%} of the variance)")
    return said, f"<div class=plot>{plots.svg(figure)}</div>"


def settings(kept: runs.Run, about: dict[str, Any], model: Autoencoder) -> list[tuple[str, Any]]:
    """Everything that was chosen, and what it ran on."""
    parameters = sum(p.numel() for p in model.parameters())
    return [*kept.settings().items(), ("parameters", f"{parameters:,}"), *about["versions"].items()]


def commands(kept: runs.Run, run: str) -> list[str]:
    """What to type to go on from here, or to do the same anew."""
    mine = "net" in kept.settings()
    first = [f"aelib train --config {run}/config.yaml --out {run}-again"] if mine else []
    return [*first, f"aelib sample {run} --n 64 --out samples.png", f"tensorboard --logdir {run}"]


def pictures(images: Tensor, what: str) -> list[str]:
    """An <img> for each image (N, C, H, W)."""
    each = (base64.b64encode(plots.png(image[None], 1, 1)).decode() for image in images)
    return [f'<img alt="{what} {i + 1}" src="data:image/png;base64,{data}">' for i, data in enumerate(each)]


def grid(cells: Iterable[str]) -> str:
    """Pictures in rows that fit the page."""
    return f'<div class="pictures">{"".join(f"<div>{cell}</div>" for cell in cells)}</div>'


def section(title: str, said: str, body: str = "") -> str:
    """A heading, a sentence, and what it is about."""
    return f"<h2>{title}</h2>\n<p>{escaped(said)}</p>\n{body}"


def table(rows: Sequence[tuple[str, str, Any]]) -> str:
    """A row each: what, a word on it, its value."""
    return "<table>" + "".join(
        f"<tr><th>{escaped(name)}{f'<br><small>{escaped(word)}</small>' if word else ''}</th>"
        f'<td class="number">{escaped("–" if value is None else value)}</td></tr>'
        for name, word, value in rows
    ) + "</table>"  # fmt: skip


def duration(seconds: float) -> str:
    """Seconds as a reader says them."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def escaped(value: object) -> str:
    """As text of the page."""
    return html.escape(str(value))
