"""Instruments of the clinic: what can be seen and measured of a patient of page 11 whose fault is unknown."""

import math
from typing import Any

import numpy as np
import torch
from aelib import explorers, latent, losses, plots
from aelib.contexts import evaluating
from aelib.datasets import Split
from aelib.models import Autoencoder
from clinic import PATIENTS, Case, Ward
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn


def complaints(names: str) -> None:
    """Print what the owners say."""
    for name in names:
        print(f"{name}  {PATIENTS[name].complaint}")


def pictures(ward: Ward, names: str) -> Any:
    """What each patient makes of eight of its own validation images: inputs above, outputs below."""
    rows = {}
    for name in names:
        case = ward[name]
        torch.manual_seed(0)
        batch = case.data.valid[:8].batch()
        rows[f"{name}: in"] = batch.x[:, : case.data.valid[:1].batch().target.shape[1]].clamp(0, 1)
        rows[f"{name}: out"] = explorers.reconstructions_images(case.model, batch)[0]
    return plots.show(rows, width=10)


def curves(ward: Ward, names: str) -> Any:
    """The losses of each, training and validation."""
    columns = 5
    figure, panels = plots.axes(math.ceil(len(names) / columns), columns, (1.9, 1.5))
    flat = [ax for row in panels for ax in row]
    for ax, name in zip(flat, names, strict=False):
        records = list(ward[name].history)
        for kind, style in (("train", "-"), ("valid", "--")):
            ax.plot([r["epoch"] for r in records], [r[f"{kind}/loss"] for r in records], style, label=kind)
        ax.set(title=name, xlabel="epoch")
    flat[0].legend()
    for ax in flat[len(names) :]:
        ax.axis("off")
    return figure


@torch.no_grad()
def measures(case: Case) -> dict[str, float]:
    """Numbers that can be read off any patient: pixels, error against the mean image, KL, output range."""
    torch.manual_seed(0)
    batch = case.data.valid[:200].batch(case.model.device)
    with evaluating(case.model):
        q, _, p = case.model(batch.x, batch.c)
        found = {"pixels to": batch.x.max().item(), "explained": explained(case.model, case.data)}
        found |= {"outputs from": p.mean.min().item(), "to": p.mean.max().item()}
        if case.model.prior is not None:
            found["KL, nats"] = losses.kl_per_dimension(q, case.model.prior()).sum(1).mean().item()
    return found


@torch.no_grad()
def explained(model: Autoencoder, data: Split) -> float:
    """1 − the squared error over that of the mean image, on validation images: 0 is as good as no code."""
    torch.manual_seed(0)
    batch = data.valid[:500].batch(model.device)
    with evaluating(model):
        out = model.reconstruct(batch.x, batch.c)
    mean = batch.target.mean(0)
    return 1 - ((out - batch.target).square().mean() / (batch.target - mean).square().mean()).item()


def smiling(case: Case, step: Tensor) -> float:
    """The share of faces that smile, to a classifier of codes, after each made the step and was decoded."""
    codes, smiles = latent.encode(case.model, case.data.train), case.data.train.attribute("Smiling")
    known = ~np.isnan(smiles)
    judge = LogisticRegression(max_iter=1000).fit(codes[known], smiles[known])
    pictures = latent.decode(case.model, latent.encode(case.model, case.data.valid) + step)
    with torch.no_grad(), evaluating(case.model):
        again = [case.model.encode(x.to(case.model.device)).mean.cpu() for x in pictures.split(500)]
    return float(judge.predict(torch.cat(again)).mean())


def found_by_chance(case: Case, seen: Tensor) -> float:
    """AUC of patient D's hidden edges among the pairs that have none, if the encoder sees these edges."""
    edges, hidden = case.extra["edges"], case.extra["hidden"]
    a = (seen | seen.T).float() + torch.eye(len(seen))
    a = a / a.sum(1, keepdim=True)
    codes = nn.functional.normalize(a @ (a @ case.extra["features"]), dim=1)
    score, others = codes @ codes.T, torch.triu(~edges, 1)
    truth = torch.cat([torch.ones(int(hidden.sum())), torch.zeros(int(others.sum()))])
    return float(roc_auc_score(truth, torch.cat([score[hidden], score[others]])))
