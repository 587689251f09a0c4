"""Which cells of a page must run so that its explorer does."""

import pytest
import slicing

PAGE = {
    "imports": "import torch\nfrom aelib import fit, plots",
    "data": "data = torch.arange(6)",
    "other": "other = data * 2\nprint(other)",
    "model": "model = torch.nn.Linear(1, 1)",
    "figure": "plots.show(model(data))",
    "train": "history = fit(model, data)",
    "names": "rows = []\nfor k in range(3):\n    rows.append(k)",
    "more": "rows.append(7)",
    "codes": "codes = {k: model(data) for k in rows}",
    "last": "print(codes, model)",
}


def needed(cells, *last):
    names = list(cells)
    found = slicing.needed(list(cells.values()), [names.index(name) for name in last])
    return [names[i] for i in found]


def test_what_is_measured_and_drawn_in_between_is_left_out():
    assert needed(PAGE, "last") == ["imports", "data", "model", "train", "names", "more", "codes", "last"]
    assert needed(PAGE, "data") == ["imports", "data"]
    assert needed(PAGE, "other", "model") == ["imports", "data", "other", "model"]


@pytest.mark.parametrize(
    "change",
    [
        "a[0] = 1", "a.b.c = 1", "a += 1", "a.clear()", "train(a, 0)", "aelib.fit(a.b, data)", "a = a + 1",
        "for k in range(3):\n    a[k] = k",
        "for name, m in {1: a}.items():\n    fit(m, data)", "m = a[0]\nfit(m)",
        "all_ = {1: a}\nfor k, m in all_.items():\n    for record in train(m, data):\n        pass",
    ],
)  # fmt: skip
def test_what_changes_a_thing_runs_and_what_only_looks_at_it_does_not(change):
    page = {
        "made": "a = thing()",
        "look": "b = f(a)\nfit(b, a)\nc[0] = a\nprint(a[0], a.b)",
        "change": change,
        "last": "print(a)",
    }
    assert needed(page, "last") == ["made", "change", "last"]


def test_what_is_bound_anew_needs_nothing_of_before():
    page = {"first": "x = slow()", "again": "x = 1", "own": "y = [x for x in range(3)]", "last": "x, y"}
    assert needed(page, "last") == ["again", "own", "last"]
    page = {"first": "x = slow()", "loop": "for x in range(3):\n    print(x)", "last": "x"}
    assert needed(page, "last") == ["loop", "last"]


def test_a_function_needs_what_it_reads_when_it_is_called():
    page = {"scale": "scale = 2", "f": "def f(x):\n    return [scale * i for i in x]", "last": "f([1])"}
    assert needed(page, "last") == ["scale", "f", "last"]
