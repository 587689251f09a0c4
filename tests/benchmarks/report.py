"""The figure and the tables of what was measured: `python tests/benchmarks/report.py`.

Of materials/results/benchmarks.json (`run.py`) it makes materials/figures/speed.png and the first table of
materials/speed.md; of materials/results/profile.json (`profile.py`), its other tables. Twice changes nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":  # not this folder: its profile.py would be taken for Python's own
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from aelib import plots
from benchmarks import profile
from benchmarks.run import CASES, FILE, ROOT

FIGURE, PAGE = ROOT / "materials" / "figures" / "speed.png", ROOT / "materials" / "speed.md"
PROFILE = FILE.with_name("profile.json")
MARKS = "<!-- measured: {} -->", "<!-- /measured: {} -->"
DEVICES = {"cpu": "CPU", "cuda": "CUDA"}
OURS, THEIRS = "#c2410c", "#94a3b8"


def entries(results: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(case, device, what was measured), in the suite's order."""
    for case in CASES:
        for device in DEVICES:
            if device in results.get(case, {}):
                yield case, device, results[case][device]


def several(results: Mapping[str, Any]) -> bool:
    """Was it measured on more than one device?"""
    return len({device for _, device, _ in entries(results)}) > 1


def number(x: float) -> str:
    """With three digits that count: 12,900, 129, 1.29."""
    digits = float(f"{x:.3g}")
    return f"{digits:,.0f}" if digits >= 100 else f"{digits:.3g}"


def rate(x: float, unit: str = "") -> str:
    """What is done in a second, or, if it is less than one, in how many seconds one is done."""
    return f"{number(x)} {unit}".strip() if x >= 1 else f"1 in {number(1 / x)} s"


def figure(results: Mapping[str, Any]) -> Any:
    """A panel a case: what each contender does in a second. With two devices, a column for each."""
    found = list(entries(results))
    places: dict[tuple[int, int], tuple[str, dict[str, Any]]] = {}
    if several(results):
        rows = [case for case in CASES if case in results]
        for case, device, entry in found:
            places[rows.index(case), list(DEVICES).index(device)] = device, entry
    else:
        for i, (_, device, entry) in enumerate(found):
            places[i // 2, i % 2] = device, entry
    lines = 1 + max(row for row, _ in places)
    bars = [0] * lines
    for (row, _), (_, entry) in places.items():
        bars[row] = max(bars[row], len(entry["contenders"]))
    heights = [0.22 * n + 0.55 for n in bars]
    size = 4.0, sum(heights) / lines
    picture, panels = plots.axes(lines, 2, size, gridspec_kw={"height_ratios": heights})
    for row in range(lines):
        for column in range(2):
            ax = panels[row, column]
            if (row, column) in places:
                _panel(ax, *places[row, column], bars[row])
            else:
                ax.set_axis_off()
    return picture


def _panel(ax: Any, device: str, entry: Mapping[str, Any], slots: int) -> None:
    contenders = entry["contenders"]
    rates = [c["per_second"] for c in contenders.values()]
    colours = [OURS, *[THEIRS] * (len(rates) - 1)]
    ax.barh(range(len(rates)), rates, 0.75, color=colours)
    for i, c in enumerate(contenders.values()):
        ratio = f"  (ours {times(c['ours_is_faster'])}×)" if i else ""
        text = rate(c["per_second"]) + ratio
        ax.annotate(text, (c["per_second"], i), (3, 0), textcoords="offset points", va="center", fontsize=7.5)
    ax.set_yticks(range(len(rates)), list(contenders), fontsize=8)
    ax.set_ylim(slots - 0.5, -0.5)  # bars of one thickness everywhere
    ax.set_xlim(0, 1.6 * max(rates))  # room for the words
    ax.set_axisbelow(True)
    ax.locator_params("x", nbins=4)
    ax.xaxis.set_major_formatter("{x:,g}")
    ax.tick_params(axis="x", labelsize=7.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")
    ax.set_xlabel(f"{entry['unit']} a second", fontsize=8)
    ax.set_title(f"{entry['title']}, {DEVICES[device]}", fontsize=8.5, loc="left", x=-0.3)


def times(ratio: float) -> str:
    """How many times as fast: 0.97, 1.53, 11.3, 120."""
    return f"{ratio:.2f}" if ratio < 9.995 else number(ratio)


def block(results: Mapping[str, Any]) -> str:
    """What stands between the marks of the race."""
    lines = [
        _told(results),
        "",
        "![What this library and others do per second, a panel for each case](figures/speed.png)",
        "",
        "| | ours, per second | times as fast as |",
        "|---|---|---|",
    ]
    both = several(results)
    for _, device, entry in entries(results):
        (_, ours), *others = entry["contenders"].items()
        title = f"{entry['title']}, {DEVICES[device]}" if both else entry["title"]
        ratios = " · ".join(f"{times(c['ours_is_faster'])} × {name}" for name, c in others)
        lines.append(f"| {title} | {rate(ours['per_second'], entry['unit'])} | {ratios} |")
    return "\n".join(lines)


def _told(results: Mapping[str, Any]) -> str:
    """How it was measured, and on which machines."""
    machines: dict[str, None] = {}
    for _, device, entry in entries(results):
        m = entry["machine"]
        card = f", {m['gpu']}" if device == "cuda" else ""
        machines[f"{m['cpu']}, {m['cores']} cores{card}, torch {m['torch']}"] = None
    rounds = sorted({len(c["rounds"]) for *_, e in entries(results) for c in e["contenders"].values()})
    return (
        "The same data and network for all, each in a process of its own, in turns; medians of\n"
        f"{' or '.join(map(str, rounds))} rounds, on {'; '.join(machines)}. `make bench` repeats it."
    )


def replaced(text: str, name: str, inside: str) -> str:
    """A page with this between the marks of that name.

    Raises:
        ValueError: the marks are not there, once each.
    """
    first, last = (mark.format(name) for mark in MARKS)
    if text.count(first) != 1 or text.count(last) != 1:
        raise ValueError(f"the page needs {first} and {last}, once each")
    pattern = re.escape(first) + ".*?" + re.escape(last)
    return re.sub(pattern, lambda _: f"{first}\n{inside}\n{last}", text, flags=re.DOTALL)


def main() -> None:
    """Read, draw, write."""
    for file, command in ((FILE, "run.py"), (PROFILE, "profile.py")):
        if not file.exists():
            sys.exit(f"{file} is not there; make it with: python tests/benchmarks/{command}")
    results = json.loads(FILE.read_text())
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    figure(results).savefig(FIGURE, dpi=150, metadata={"Software": None})
    text = replaced(PAGE.read_text(), "race", block(results))
    text = replaced(text, "profile", profile.table(json.loads(PROFILE.read_text())).strip())
    PAGE.write_text(text)
    print(f"{FIGURE} and the tables of {PAGE}")


if __name__ == "__main__":
    main()
