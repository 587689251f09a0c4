"""Ours beside what people use: `python tests/benchmarks/run.py [CASE ...]` runs every case, or those named.

It makes an environment with the peers in build/peers, runs each case on the CPU and, where there is one, on
CUDA, and writes materials/results/benchmarks.json after each. A case that is run again replaces its own
entry. `report.py` makes the figure and the table of that file.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ in ("__main__", "__mp_main__"):
    # not this folder: its profile.py would be taken for Python's own
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse
import datetime
import importlib
import importlib.metadata
import json
import os
from collections.abc import Sequence
from typing import Any

from benchmarks import peers, race

CASES = ("mlp_vae", "quality", "conv_vae", "faces", "graph", "likelihood", "retrieval", "decoding")
PACKAGES = (
    "torch", "torchvision", "lightning", "pythae", "torch-geometric", "scikit-learn", "faiss-cpu", "numpy",
    "pillow",
)  # fmt: skip
COMMAND = "python tests/benchmarks/run.py"
ROOT = peers.ROOT
FILE = ROOT / "materials" / "results" / "benchmarks.json"


def measure(name: str, case: race.Case, file: Path, devices: Sequence[str]) -> list[str]:
    """Run a case on these devices, write what was measured to the file; returns what went wrong."""
    from benchmarks.machine import write

    wrong = []
    for device in (d for d in devices if d in case.devices):
        print(f"{case.title}, on {device}", flush=True)
        try:
            contenders = race.summary(race.run(case, device))
        except race.ContenderError as e:
            wrong.append(f"{name} on {device}: {e}")
            print(wrong[-1], file=sys.stderr, flush=True)
            continue
        entry = {"title": case.title, "unit": case.unit, "value": case.value, **about(name)}
        entry["contenders"] = contenders
        results = json.loads(file.read_text()) if file.exists() else {}
        write(file, race.merged(results, name, device, entry))
        print(table(case.unit, contenders), flush=True)
    return wrong


def about(name: str) -> dict[str, Any]:
    """Command, day, machine and versions."""
    from benchmarks.machine import machine

    return {
        "command": f"{COMMAND} {name}",
        "date": datetime.date.today().isoformat(),
        "environment": {"GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT")},
        "machine": machine(),
        "versions": {package: importlib.metadata.version(package) for package in PACKAGES},
    }


def table(unit: str, contenders: dict[str, dict[str, Any]]) -> str:
    """For a terminal."""
    wide = max(map(len, contenders))
    heads = f"{unit + '/s':>12}  ours is faster  {'MB':>6}  {'value':>10}  seconds of each round"
    lines = [f"  {'':{wide}}  {heads}"]
    for name, c in contenders.items():
        value = "" if c["value"] is None else f"{c['value']:.6g}"
        rounds = " ".join(f"{s:.3g}" for s in c["rounds"])
        lines.append(
            f"  {name:{wide}}  {c['per_second']:12,.4g}  {c['ours_is_faster']:13.2f}×  {c['megabytes']:6,}"
            f"  {value:>10}  {rounds}"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what is asked for; the exit code is 1 if a case failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; all by default")
    asked = parser.parse_args().cases or CASES
    if unknown := [name for name in asked if name not in CASES]:
        parser.error(f"no such case: {', '.join(unknown)}; there are {', '.join(CASES)}")
    peers.enter()
    import torch

    devices = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    wrong = []
    for name in asked:
        case = importlib.import_module(f"benchmarks.cases.{name}").CASE
        wrong += measure(name, case, FILE, devices)
    for line in wrong:
        print(f"failed: {line.splitlines()[0]}", file=sys.stderr)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
