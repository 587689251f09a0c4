"""How often `diagnose` is right: `python tests/benchmarks/diagnosis.py` makes patients and judges it on them.

A patient is a random training (`patients.settings`) with a random fault (`patients.in_the_data` and its
neighbours), or with none. Each fault is equally frequent. Patients are kept in a folder, so that they are
trained once. `--unseen` draws other patients, from other seeds, and adds the kinds of fault in
`patients.held_out`: thresholds are tuned on those without it, and judged once on those with it. With
`--write` the table goes into materials/results/diagnosis.json. Patients are judged in a random order, so that
`--seconds` may end it anywhere.

Where a fault is one of degree (a learning rate too small: how small?) the same training without it is made
too, and a patient who is no worse than this twin is dropped. A setting without fault counts as healthy if
numbers that `diagnose` has no part in say so; see `not_healthy` and `remarks`.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # beside this file `profile` is not Python's own

import argparse
import itertools
import json
import multiprocessing
import tempfile
import time
import traceback
import warnings
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from aelib import diagnose
from aelib.contexts import seeded
from benchmarks.machine import RESULTS, machine, write
from benchmarks.patients import added, held_out, in_the_data, in_the_training, in_the_wiring
from benchmarks.patients.faults import FAULTS, Fault
from benchmarks.patients.pictures import save
from benchmarks.patients.settings import VERSION, Setting, measured, setting

FILE = RESULTS / "diagnosis.json"
EACH, HEALTHY = 5, 360
DRAW = "second draw"  # the unseen: another text draws others. Those of the first have been looked at.
VERDICTS = ("right", "symptom", "wrong", "nothing")
assert (
    in_the_data and in_the_wiring and in_the_training and added and held_out
)  # they fill FAULTS, in this order


@dataclass
class Patient:
    """A random setting, trained, with a fault or none: the k-th of them."""

    k: int
    name: str  # of the fault, or "healthy"
    folder: Path
    unseen: bool = False
    numbers: dict[str, float] = field(default_factory=dict)
    twin: dict[str, float] | None = None

    def __str__(self) -> str:
        return f"{self.name} {self.k}" + f", {DRAW}" * self.unseen

    @property
    def fault(self) -> Fault | None:
        """What is wrong with it."""
        return FAULTS.get(self.name)

    @property
    def number(self) -> int:
        """The seed of everything in it; no unseen patient has that of another."""
        return zlib.crc32(str(self).encode()) % 10**6 + 10**6 * self.unseen

    def setting(self, healthy: bool = False) -> Setting:
        """The first random setting in which this fault can be, made ill, untrained."""
        fault = self.fault
        for k in itertools.count():
            s = setting(100 * self.number + k)
            if fault is None or fault.needs(s):
                break
        if fault is not None and not healthy:
            with seeded(self.number):
                fault.make(s)
        return s

    def file(self, healthy: bool = False) -> Path:
        """Where what its training made is kept."""
        text = f"{VERSION}" + ("" if self.fault is None or healthy else self.fault.code)
        return self.folder / f"{self}{' twin' * healthy} {zlib.crc32(text.encode()):08x}.pt"

    @property
    def there(self) -> bool:
        """Is it trained, and its twin?"""
        twin = self.fault is not None and self.fault.effect is not None
        return self.file().exists() and (not twin or self.file(healthy=True).exists())

    def made(self, healthy: bool = False) -> dict[str, Any] | None:
        """What its training made, from the folder or now; None where the training stops with an error."""
        file = self.file(healthy)
        if file.exists():
            return torch.load(file, weights_only=False)
        s = self.setting(healthy)
        out: dict[str, Any] | None
        try:
            s.train()
            groups = [[g["lr"] for g in o.param_groups] for o in optimizers(s)]
            out = {"state": s.model.state_dict(), "history": list(s.history), "lr": groups,
                   "numbers": measured(s)}  # fmt: skip
        except (RuntimeError, ValueError):
            out = None
        self.folder.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{time.monotonic_ns()}")
        torch.save(out, part)
        part.rename(file)
        return out

    def load(self) -> Setting | None:
        """The trained setting; None if there is none, or if the fault did no harm."""
        if (made := self.made()) is None:
            return None
        self.numbers = made["numbers"]
        if self.fault is not None and self.fault.effect is not None:
            twin = self.made(healthy=True)
            self.twin = twin and twin["numbers"]
            if self.twin is None or not_healthy(self.twin) or not self.fault.effect(self.numbers, self.twin):
                return None
        s = self.setting()
        s.build()
        s.model.load_state_dict(made["state"])
        s.model.eval()
        s.history.extend(made["history"])
        for o, lrs in zip(optimizers(s), made["lr"], strict=True):
            for g, lr in zip(o.param_groups, lrs, strict=True):
                g.setdefault("initial_lr", g["lr"])
                g["lr"] = lr
        return s


def optimizers(s: Setting) -> list[torch.optim.Optimizer]:
    """Those of a setting, one by one."""
    groups = s.made.values() if isinstance(s.made, dict) else [s.made]
    return [o for g in groups for o in (g if isinstance(g, list) else [g])]


def not_healthy(m: dict[str, float]) -> str:
    """Why a setting without fault is not healthy all the same; "" if it is."""
    if not m["valid"] >= 0.6 * min(m["pca"], 0.9):
        return "explains much less than PCA"
    if m["active"] < 0.5:
        return "collapsed"
    return ""


def remarks(m: dict[str, float]) -> set[str]:
    """What `diagnose` may say of a healthy one, as it is measured to be true."""
    said = set()
    if m.get("still falling", 0) > 0.05:
        said.add("hardly trained")
    if 1 - m["valid"] > 1.3 * (1 - m["train"]):
        said.add("overfitting")
    if m["active"] < 0.9:
        said.add("partial posterior collapse")
    if m.get("gap", 0) > 0.1:
        said.add("codes far from the prior")
    return said


def verdict(fault: Fault, names: list[str]) -> str:
    """Of the first name."""
    if not names:
        return "nothing"
    for word, parts in (("right", fault.right), ("symptom", fault.symptoms)):
        if any(part in names[0] for part in parts):
            return word
    return "wrong"


def judged(patient: Patient) -> dict[str, Any] | None:
    """One row of the table; None for a patient that is dropped."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        s = patient.load()
        fault = patient.fault
        row: dict[str, Any] = {"patient": str(patient), "fault": fault and fault.name, "setting": str(s)}
        if s is None or (fault is None and not_healthy(patient.numbers)):
            return None
        start = time.perf_counter()
        try:
            report = diagnose(
                s.model, s.data.train, s.objective, valid=s.valid, history=list(s.history), optimizers=s.made
            )
            causes = [(c.name, c.evidence) for c in report.causes]
        except Exception:
            causes = [("diagnose fails", traceback.format_exc(limit=-3))]
        row |= {"seconds": round(time.perf_counter() - start, 2), "causes": causes}
        names = [name for name, _ in causes]
        if fault is None:
            accused = [n for n in names if n not in remarks(patient.numbers)]
            row["verdict"] = "accused" if accused else "remarked" if names else "silent"
        else:
            row["family"], row["verdict"] = fault.family, verdict(fault, names)
            row["among"] = any(part in n for n in names for part in fault.right)
    return row


def shares(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How many of each verdict, and the right cause anywhere in the report."""
    count = Counter(r["verdict"] for r in rows)
    out = {"patients": len(rows)} | {v: count[v] for v in VERDICTS}
    return out | {"right anywhere": sum(r["among"] for r in rows)}


def table(ill: list[dict[str, Any]], well: list[dict[str, Any]]) -> dict[str, Any]:
    """The result: by family, by fault, and which names were given."""
    out: dict[str, Any] = {"all": shares(ill)}
    for key in ("family", "fault"):
        groups = defaultdict(list)
        for row in ill:
            groups[row[key]].append(row)
        out[key] = {name: shares(rows) for name, rows in groups.items()}
    names: dict[str, Counter[str]] = defaultdict(Counter)
    for row in ill:
        names[row["fault"]][row["causes"][0][0] if row["causes"] else "nothing found"] += 1
    out["first names"] = {fault: dict(c.most_common()) for fault, c in names.items()}
    count = Counter(r["verdict"] for r in well)
    out["healthy"] = {"patients": len(well)} | {v: count[v] for v in ("silent", "remarked", "accused")}
    accused = Counter(n for r in well if r["verdict"] == "accused" for n, _ in r["causes"][:1])
    out["healthy accused of"] = dict(accused.most_common())
    return out


def show(result: dict[str, Any]) -> None:
    """The table, as text."""
    width = max(map(len, result["fault"])) + 2 if result["fault"] else 10
    print(f"{'':{width}}" + "".join(f"{k:>10}" for k in result["all"]))
    for title in ("family", "fault"):
        for name, row in sorted(result[title].items(), key=lambda i: i[1]["right"] / i[1]["patients"]):
            print(f"{name:{width}}" + "".join(f"{v:10}" for v in row.values()))
        print()
    print(f"{'all':{width}}" + "".join(f"{v:10}" for v in result["all"].values()))
    print("healthy:", result["healthy"], result["healthy accused of"])


def failures(ill: list[dict[str, Any]], well: list[dict[str, Any]]) -> Iterator[str]:
    """Every patient that was not named rightly, most frequent fault first, with what was said of it."""
    missed = [r for r in ill if r["verdict"] != "right"] + [r for r in well if r["verdict"] == "accused"]
    often = Counter(str(r["fault"]) for r in missed)
    for r in sorted(missed, key=lambda r: (-often[str(r["fault"])], str(r["fault"]), r["verdict"])):
        said = (
            "".join(f"\n    * {name}: {evidence}" for name, evidence in r["causes"][:4]) or " nothing found"
        )
        yield f"- {r['fault'] or 'HEALTHY'} → {r['verdict']} ({r['patient']}: {r['setting']}){said}"


def drawn(each: int, healthy: int, unseen: bool, folder: Path) -> list[Patient]:
    """So many patients of each kind, in a random order."""
    names = [n for n, fault in FAULTS.items() if unseen or fault.family != held_out.HELD_OUT]
    some = [Patient(k, name, folder, unseen) for name in names for k in range(each)]
    some += [Patient(k, "healthy", folder, unseen) for k in range(healthy)]
    return [some[i] for i in np.random.default_rng(0).permutation(len(some))]


def task(job: tuple[Patient, bool]) -> tuple[Patient, dict[str, Any] | None]:
    """A patient with its row; or trained only, and none."""
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if job[1]:
                job[0].load()
            return job[0], None if job[1] else judged(job[0])
    except Exception:  # a training that cannot be: the others are judged all the same
        print(f"{job[0]} is dropped: {traceback.format_exc()}", file=sys.stderr)
        return job[0], None


def gathered(
    jobs: list[tuple[Patient, bool]], processes: int, end: float
) -> Iterator[tuple[Patient, dict[str, Any] | None]]:
    """Every patient with its row, as they get ready, until the time is over."""
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        rows = pool.imap_unordered(task, jobs)
        try:
            for _ in jobs:
                yield rows.next(max(0.0, end - time.monotonic()))
        except multiprocessing.TimeoutError:
            return


def main() -> None:
    """Make, judge, show."""
    start = time.monotonic()
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--each", type=int, default=EACH, help="patients of each fault")
    p.add_argument("--healthy", type=int, default=HEALTHY, help="settings without fault")
    p.add_argument("--unseen", action="store_true", help="judge on those that were kept apart")
    p.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "aelib-patients")
    p.add_argument("--only", default="", help="patients of this name, as healthy")
    p.add_argument("--there", action="store_true", help="only those that are trained already")
    p.add_argument("--make", action="store_true", help="train them all, and judge none")
    p.add_argument("--processes", type=int, default=1, help="so many patients at a time, a thread each")
    p.add_argument("--seconds", type=float, default=1e6, help="end then, with the patients judged by then")
    p.add_argument("--failures", type=Path, help="write here what was said of those not named rightly")
    p.add_argument(
        "--pictures", type=Path, help="keep the downloaded pictures here for AELIB_PATIENTS, and end"
    )
    p.add_argument(
        "--write", type=Path, nargs="?", const=FILE, help=f"put the table there, or into {FILE.name}"
    )
    a = p.parse_args()
    if a.pictures:
        return save(a.pictures)
    patients = drawn(a.each, a.healthy, a.unseen, a.cache)
    jobs = [(q, a.make) for q in patients if a.only in str(q) and (q.there or not a.there)]
    pairs = list(gathered(jobs, a.processes, start + a.seconds))
    if a.make:
        return None
    ill = [r for q, r in pairs if q.fault and r]
    well = [r for q, r in pairs if not q.fault and r]
    result = table(ill, well)
    result["dropped"] = {
        "ill": sum(r is None and q.fault is not None for q, r in pairs),
        "healthy": sum(r is None and q.fault is None for q, r in pairs),
    }
    result |= {"drawn": len(jobs), "not reached in time": len(jobs) - len(pairs)}
    result |= {"seconds": round(time.monotonic() - start), "processes": a.processes}
    show(result)
    rows = ill + well
    result["seconds a diagnosis"] = round(sum(r["seconds"] for r in rows) / max(1, len(rows)), 2)
    print({k: v for k, v in result.items() if not isinstance(v, dict)}, result["dropped"])
    if a.failures:
        a.failures.write_text("\n".join(failures(ill, well)) + "\n")
    if a.write:
        old = json.loads(a.write.read_text()) if a.write.exists() else {}
        part = {"unseen" if a.unseen else "tuning": result | {"machine": machine()}}
        command = "python tests/benchmarks/diagnosis.py --write, and again with --unseen"
        write(a.write, old | {"command": command} | part)
    return None


if __name__ == "__main__":
    main()
