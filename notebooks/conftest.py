"""Pages as tests: in the quick profile, also when this folder is tested alone, and every cell is judged.

nbval compares the text of a cell with what is stored. It does not look at the outputs of a cell marked
`nbval-ignore-output`, whose text depends on the data, the profile or the machine. So every cell, marked or
not, is held here to the *kinds* of what is stored: the same streams, results and pictures, in one order.
"""

import os

import pytest
from nbval.plugin import IPyNbCell, coalesce_streams

os.environ.setdefault("AELIB_PROFILE", "quick")
os.environ.setdefault("AELIB_OFFLINE", "1")
os.environ.setdefault("AELIB_PROGRESS", os.devnull)  # nobody learns here
os.environ.setdefault("TQDM_DISABLE", "1")  # a bar is no output to compare


def pytest_itemcollected(item):
    """A page runs without the real data and with them, and must do well in both."""
    if isinstance(item, IPyNbCell):
        item.add_marker("data")
        item.output_timeout = 120  # nbval's 5 s are too few on a busy machine


WIDGET = "application/vnd.jupyter.widget-view+json"


def kinds(outputs):
    """What each output is: the name of its stream, or the formats of a result or a picture.

    The picture that lies beside a widget, for where there is no kernel, is part of the widget.
    """
    outputs = coalesce_streams(outputs)
    formats = [set(o.get("data", [o.output_type])) for o in outputs]
    formats = [f - {"image/png"} if WIDGET in f else f for f in formats]
    return [o.get("name") or " + ".join(sorted(f)) for o, f in zip(outputs, formats, strict=True)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    ran = yield
    if isinstance(item, IPyNbCell):
        stored, now = kinds(item.cell.outputs), kinds(item.test_outputs)
        if stored != now:
            item.raise_cell_error("The kinds of its outputs differ", f"stored: {stored}\nnow:    {now}")
    return ran
