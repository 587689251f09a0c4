"""A VGAE on Cora, 32 and 16 wide, against PyTorch Geometric's example. A step is one pass over the graph.

Both train on 85 % of the links and, in each step, on as many pairs without one, drawn anew; both have the
same features and the same gradient but for its scale, which Adam does not see (`usual_beta`). What differs:
the example has two layers of 16 side by side for mean and log σ where ours has one of 32 (the same weights,
one pass over the links less), keeps the features dense, and draws its pairs by `negative_sampling`. Its own
test after every epoch is left out.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from aelib import graphs, losses, training
from benchmarks.cases.trainers import FOREVER, size
from benchmarks.graphs import usual_beta
from benchmarks.race import Case, Track

STEPS, HIDDEN, LATENT, RATE = 50, 32, 16, 0.01


def ours(device: str, track: Track) -> None:
    torch.manual_seed(0)
    graph = graphs.load("cora")
    parts = graphs.split(graph)
    data: Any = parts.train
    model = graphs.autoencoder(graph.features.shape[1], LATENT, hidden=(HIDDEN,))
    objective = partial(losses.elbo, beta=usual_beta(parts))
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    a_link, total = len(graph) / data.present.shape[1], 0.0
    for record in training.train(model, data, objective, optimizer, epochs=FOREVER, device=device):
        total += record["train/loss"] * a_link
        if record["epoch"] % STEPS == 0:
            track(STEPS, total / STEPS, size(model))
            total = 0.0


def geometric(device: str, track: Track) -> None:
    from torch_geometric import transforms
    from torch_geometric.data import Data
    from torch_geometric.nn import VGAE, GCNConv

    class Encoder(nn.Module):
        def __init__(self, features: int) -> None:
            super().__init__()
            self.first = GCNConv(features, HIDDEN)
            self.mean, self.log_scale = GCNConv(HIDDEN, LATENT), GCNConv(HIDDEN, LATENT)

        def forward(self, x: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
            h = self.first(x, edges).relu()
            return self.mean(h, edges), self.log_scale(h, edges)

    torch.manual_seed(0)
    graph = graphs.load("cora")
    hide = transforms.RandomLinkSplit(
        num_val=0.05, num_test=0.1, is_undirected=True, split_labels=True, add_negative_train_samples=False
    )
    data = hide(Data(x=graph.features, edge_index=graph.edges))[0].to(device)
    model = VGAE(Encoder(graph.features.shape[1])).to(device)
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    while True:
        total = 0.0
        for _ in range(STEPS):
            model.train()
            optimizer.zero_grad()
            z = model.encode(data.x, data.edge_index)
            loss = model.recon_loss(z, data.pos_edge_label_index)
            loss = loss + model.kl_loss() / data.num_nodes
            loss.backward()
            optimizer.step()
            total += loss.item()
        track(STEPS, total / STEPS, size(model))


CASE = Case(
    title="VGAE 32-16, Cora",
    unit="steps",
    contenders={"aelib": ours, "PyTorch Geometric": geometric},
    value="training loss, the mean of the round, in nats a link",
)
