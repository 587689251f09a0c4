"""What graph autoencoders reach and cost: `python tests/benchmarks/graphs.py` measures both.

It trains GAE and VGAE from ten seeds on Cora and CiteSeer, each seed with a split of its own, and a GAE on
graphs made on the spot, of up to a million links; it writes materials/results/graphs.json, again after each
run. With a word behind it, `reach` or `cost`, it does one of the two.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # beside this file `profile` is not Python's own

import copy
import json
import resource
import statistics
import time
from functools import partial
from typing import Any

import torch

from aelib import losses, training
from aelib.contexts import seeded
from aelib.graphs import Graph, LinkSplit, autoencoder, judge, load, split
from aelib.losses import Objective
from aelib.models import Autoencoder
from benchmarks.machine import RESULTS, write

FILE, COMMAND = RESULTS / "graphs.json", "python tests/benchmarks/graphs.py"
SEEDS, EPOCHS = range(10), 200
# Kipf, Welling, 2016, in %: AUC and AP
PUBLISHED = {
    ("GAE", "cora"): (91.0, 92.0), ("GAE", "citeseer"): (89.5, 89.9),
    ("VGAE", "cora"): (91.4, 92.6), ("VGAE", "citeseer"): (90.8, 92.0),
}  # fmt: skip
POSTERIORS = {"GAE": "deterministic", "VGAE": "gaussian"}
LARGE = ((10_000, 50_000), (50_000, 250_000), (200_000, 1_000_000))


def usual_beta(parts: LinkSplit) -> float:
    """E / N²: the β of PyTorch Geometric's example; Kipf and Welling's own is 2E / N², see notebook 09.

    It takes the mean over the E links of each −log p, and divides the mean KL of a node by N once more.
    """
    return parts.train.present.shape[1] / len(parts.train.graph) ** 2


def recipe(name: str, graph: Graph, parts: LinkSplit, seed: int) -> tuple[Autoencoder, Objective, Any]:
    """Model, objective and optimizer of "GAE" or "VGAE"; the settings were chosen on validation links."""
    with seeded(seed):
        size = graph.features.shape[1]
        model = autoencoder(size, 64, posterior=POSTERIORS[name], hidden=(128,), dropout=0.5)
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
        if record["epoch"] % 10 == 0 and (now := sum(judge(model, parts.valid).values())) > best:
            best, kept = now, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    return model


def communities(n: int, links: int, size: int = 32, groups: int = 50, seed: int = 0) -> Graph:
    """A random graph of any size: nine of ten links stay within a group, and features say a little of it.

    Args:
        n: nodes.
        links: of which some come twice, and count once.
        size: D, features of a node: a noisy place, one for each group.
        groups: to which nodes belong at random.
    """
    g = torch.Generator().manual_seed(seed)
    group = torch.randint(groups, (n,), generator=g).sort().values
    counts = torch.bincount(group, minlength=groups)
    starts = counts.cumsum(0) - counts
    u = torch.randint(n, (links,), generator=g)
    near = starts[group[u]] + (torch.rand(links, generator=g) * counts[group[u]]).long()
    v = torch.where(torch.rand(links, generator=g) < 0.9, near, torch.randint(n, (links,), generator=g))
    features = torch.randn(groups, size, generator=g)[group] / 2 + torch.randn(n, size, generator=g)
    return Graph(features, torch.stack([u, v]), group.numpy(), [f"group {i}" for i in range(groups)])


def reach(name: str, graph: Graph, seed: int) -> dict[str, float]:
    """Train from one seed on its own split; {"auc", "ap", "valid auc", "valid ap", "seconds"}."""
    start = time.process_time()
    parts = split(graph, seed=seed)
    model = trained(name, parts, seed, EPOCHS)
    record = judge(model, parts.test) | {f"valid {k}": v for k, v in judge(model, parts.valid).items()}
    return {k: round(v, 5) for k, v in record.items()} | {"seconds": round(time.process_time() - start, 1)}


def cost(nodes: int, links: int, epochs: int = 3) -> dict[str, float]:
    """Train a GAE on a graph made on the spot: processor seconds per epoch, and memory of the process.

    Returns:
        {"nodes", "links", "seconds", "megabytes" (the most so far in this process), "megabytes before",
        "all pairs, megabytes" (of one N×N matrix in float32), "auc" on test links after these epochs}.
    """
    before = _megabytes()
    parts = split(communities(nodes, links))
    with seeded(0):
        size = parts.train.graph.features.shape[1]
        model = autoencoder(size, 16, posterior="deterministic", hidden=(32,))
    optimizer, data = torch.optim.Adam(model.parameters(), 0.01), parts.train
    start = time.process_time()
    for _ in training.train(model, data, losses.reconstruction, optimizer, epochs=epochs, device="cpu"):
        pass
    seconds = (time.process_time() - start) / epochs
    return {
        "nodes": nodes, "links": sum(p.present.shape[1] for p in (parts.train, parts.valid, parts.test)),
        "seconds": round(seconds, 3), "megabytes": round(_megabytes()), "megabytes before": round(before),
        "all pairs, megabytes": round(4 * nodes**2 / 1e6), "auc": round(judge(model, parts.test)["auc"], 4),
    }  # fmt: skip


def _megabytes() -> float:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1e6 if sys.platform == "darwin" else 1e3)


def main(what: list[str]) -> None:
    """Measure, write."""
    torch.set_num_threads(1)
    record: dict[str, Any] = json.loads(FILE.read_text("utf-8")) if FILE.is_file() else {}
    record |= {"command": COMMAND, "threads": 1, "epochs": EPOCHS}
    if not what or "cost" in what:
        record["cost"] = []
        for nodes, links in LARGE:  # the largest last: memory is the most so far
            record["cost"].append(cost(nodes, links))
            print(record["cost"][-1], flush=True)
            write(FILE, record)
    if not what or "reach" in what:
        record["table"] = []
        for (name, on), (auc, ap) in PUBLISHED.items():
            graph = load(on)
            row: dict[str, Any] = {"model": name, "graph": on, "published auc": auc, "published ap": ap}
            record["table"].append(row | {"runs": []})
            for seed in SEEDS:
                runs = [*record["table"][-1]["runs"], {"seed": seed} | reach(name, graph, seed)]
                for key in ("auc", "ap"):
                    each = [100 * run[key] for run in runs]
                    row[key], row[f"{key} sd"] = statistics.mean(each), statistics.pstdev(each)
                record["table"][-1] = row | {"runs": runs}
                print(name, on, runs[-1], flush=True)
                write(FILE, record)


if __name__ == "__main__":
    main(sys.argv[1:])
