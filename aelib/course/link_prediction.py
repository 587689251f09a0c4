"""How page 09 trains a GAE and a VGAE, and what ten seeds of them reached."""

from __future__ import annotations

import copy
import json
from functools import partial
from typing import Any

import torch

from .. import graphs, losses, materials, training
from ..contexts import seeded
from ..graphs import Graph, LinkSplit
from ..losses import Objective
from ..models import Autoencoder

FILE, COMMAND = materials.RESULTS / "graphs.json", "python tests/benchmarks/graphs.py"
POSTERIORS = {"GAE": "deterministic", "VGAE": "gaussian"}


def usual_beta(parts: LinkSplit) -> float:
    """E / N²: the β that the VGAE's published code trains with, see notebook 09.

    It takes the mean over the E links of each −log p, and divides the mean KL of a node by N once more.
    """
    return parts.train.present.shape[1] / len(parts.train.graph) ** 2


def recipe(name: str, graph: Graph, parts: LinkSplit, seed: int) -> tuple[Autoencoder, Objective, Any]:
    """Model, objective and optimizer of "GAE" or "VGAE"; the settings were chosen on validation links."""
    with seeded(seed):
        size = graph.features.shape[1]
        model = graphs.autoencoder(size, 64, posterior=POSTERIORS[name], hidden=(128,), dropout=0.5)
    objective: Objective = losses.reconstruction
    if name == "VGAE":
        objective = partial(losses.elbo, beta=usual_beta(parts))
    return model, objective, torch.optim.Adam(model.parameters(), 0.01)


def trained(name: str, parts: LinkSplit, seed: int = 0, epochs: int = 200) -> Autoencoder:
    """A "GAE" or a "VGAE", trained on parts.train: of every tenth epoch, the one best on parts.valid.

    Best: the sum of AUC and AP. Nothing of parts.test is looked at.
    """
    model, objective, optimizer = recipe(name, parts.train.graph, parts, seed)
    best, kept = 0.0, copy.deepcopy(model.state_dict())
    for record in training.train(model, parts.train, objective, optimizer, epochs=epochs, seed=seed):
        if record["epoch"] % 10 == 0 and (now := sum(graphs.judge(model, parts.valid).values())) > best:
            best, kept = now, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    return model


def results() -> dict[str, Any]:
    """What the command measured: {"table": [{"model", "graph", "auc", "ap", …, "runs"}], "cost": […]}.

    Raises:
        FileNotFoundError: nothing was measured yet; the message says how to.
    """
    if not FILE.is_file():
        raise FileNotFoundError(f"{FILE} is not there; make it with: {COMMAND}")
    return json.loads(FILE.read_text("utf-8"))
