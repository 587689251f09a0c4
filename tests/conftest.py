"""What all tests share: the quick profile, no downloads, and no data, unless a test is marked `data`."""

import os
import signal
import sys
import tempfile
from pathlib import Path

import pytest

# notebooks run in kernels that inherit these; set before anything imports torch
os.environ.setdefault("AELIB_PROFILE", "quick")
os.environ.setdefault("AELIB_OFFLINE", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
os.environ.setdefault("TQDM_DISABLE", "1")  # a bar is no output to compare
os.environ.setdefault("AELIB_PROGRESS", os.devnull)  # nobody learns here
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # tests open ONNX Runtime on their own, too

sys.path.append(str(Path(__file__).parent.parent / "notebooks"))  # what lies beside the pages
EMPTY = tempfile.TemporaryDirectory()  # a cache that holds no download; gone when Python ends


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """A test without the marker finds no real data, neither in AELIB_DATA nor in the user's cache, its
    fixtures included. So it does the same on every machine, and need not run once more where data are."""
    with pytest.MonkeyPatch.context() as m:
        if not item.get_closest_marker("data"):
            m.delenv("AELIB_DATA", raising=False)
            m.setenv("AELIB_CACHE", EMPTY.name)
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    data = os.environ.get("AELIB_DATA")
    if item.get_closest_marker("data") and not (data and Path(data, "lfw").is_dir()):
        pytest.skip("needs the real data: set AELIB_DATA to its folder")


@pytest.fixture
def no_data(monkeypatch, tmp_path):
    """A machine with nothing on it: no AELIB_DATA, an empty cache. Returns the cache."""
    monkeypatch.delenv("AELIB_DATA", raising=False)
    monkeypatch.setenv("AELIB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def pressing():
    """step → the ELBO, during whose step so many somebody presses Ctrl-C."""
    import torch

    from aelib import losses

    def during(step):
        count = iter(range(1, 10**6))

        def objective(model, batch, **keywords):
            if torch.is_grad_enabled() and next(count) == step:
                os.kill(os.getpid(), signal.SIGINT)
            return losses.elbo(model, batch, **keywords)

        return objective

    return during
