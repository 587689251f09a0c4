"""One training on several devices: `python tests/benchmarks/devices.py cpu 2 FILE`, two processes on a CPU.

Lightning Fabric starts the processes, which share every batch and, on a CPU, its cores. `scaling.py` runs it.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import json
import statistics
from itertools import islice

from benchmarks.scaling import BATCH, NETS, REPEATS, case, pictures  # isort: skip  # before torch
import torch
from lightning_fabric import Fabric

from aelib import training
from aelib.contexts import seeded
from aelib.datasets.decoding import processors


def main(device: str, count: int, file: Path) -> None:
    """Write the µs an image of each network of 28×28 pixels, with batches of 128 that are shared."""
    fabric = Fabric(accelerator=device, devices=count, strategy="ddp" if count > 1 else "auto")
    fabric.launch()
    if device == "cpu":
        torch.set_num_threads(max(1, processors() // count))
    data, costs = pictures((1, 28, 28), 15 * BATCH), {}
    for net in NETS:
        this = case(net, (1, 28, 28))
        with seeded(0):
            model = this.model()
        records = training.train(
            model, data, this.objective, epochs=REPEATS + 1, batch_size=BATCH, fabric=fabric
        )
        seconds = [record["seconds"] for record in islice(records, 1, None)]
        costs[net] = 1e6 * statistics.median(seconds) / len(data)
    if fabric.is_global_zero:
        file.write_text(json.dumps(costs))
    if count > 1:
        fabric.barrier()
        torch.distributed.destroy_process_group()  # left to the garbage collection it may wait for ever


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
