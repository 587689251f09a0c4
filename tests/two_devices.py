"""Run by test_runs.py, as a script that Lightning Fabric starts twice: they share every batch."""

import json
import sys
from pathlib import Path

import torch
from lightning_fabric import Fabric

from aelib import datasets, losses, models
from aelib.runs import fit, fitting
from aelib.training import adam

DIGITS = datasets.load("digits")
DATA = DIGITS.train[:260]  # 4 batches of 65, which two cannot share evenly


def plain():
    torch.manual_seed(0)
    return models.autoencoder(
        DIGITS.shape, 4, net="mlp", posterior="deterministic", likelihood="gaussian", hidden=(16,)
    )


def train_on(name, objective, fabric, run):
    model = plain()
    several = {"loss": adam(model.decoder), "nll": adam(model.encoder)}
    history = fit(
        model, DATA, objective, several if name == "several" else None, epochs=2, batch_size=65,
        valid=DIGITS.valid[:101], run=run, **({"fabric": fabric} if fabric else {"device": "cpu"}),
    )  # fmt: skip
    return model, history


if __name__ == "__main__":
    out = Path(sys.argv[1])
    torch.set_num_threads(1)
    fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
    fabric.launch()
    sizes = []

    def seen(model, batch):
        sizes.append(len(batch))
        return losses.reconstruction(model, batch)

    whole, _ = train_on("plain", seen, fabric, out / "plain")
    train_on("several", lambda m, b: losses.sparse(m, b, weight=0.1), fabric, out / "several")

    due, count = fitting.Keeper.due, iter(range(100))

    def pressed(self):  # Ctrl-C reaches one of the two, in the sixth step
        if next(count) == 5 and fabric.global_rank == 1:
            self.stop.asked = 2
        return due(self)

    fitting.Keeper.due = pressed
    try:
        train_on("plain", losses.reconstruction, fabric, out / "stopped")
        raise AssertionError("it was not stopped")
    except KeyboardInterrupt:
        pass
    fitting.Keeper.due = due
    again, _ = train_on("plain", losses.reconstruction, fabric, out / "stopped")
    same = all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))
    parts = fabric.all_reduce(torch.eye(2)[fabric.global_rank] * sizes[0], reduce_op="sum")
    if fabric.is_global_zero:
        (out / "parts.json").write_text(json.dumps([int(n) for n in parts]))
        if same:
            (out / "stopped-equals-plain").touch()
    fabric.barrier()
    torch.distributed.destroy_process_group()  # left to the garbage collection it may wait for ever
