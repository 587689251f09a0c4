"""What all tests share: the quick profile, no downloads, and the marker of the real data."""

import os
from pathlib import Path

import pytest

# notebooks run in kernels that inherit these; set before anything imports torch
os.environ.setdefault("AELIB_PROFILE", "quick")
os.environ.setdefault("AELIB_OFFLINE", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
os.environ.setdefault("TQDM_DISABLE", "1")  # a bar is no output to compare


def pytest_collection_modifyitems(items):
    data = os.environ.get("AELIB_DATA")
    if not data or not Path(data, "lfw").is_dir():
        skip = pytest.mark.skip(reason="needs the real data: set AELIB_DATA to its folder")
        for item in items:
            if item.get_closest_marker("data"):
                item.add_marker(skip)


@pytest.fixture
def no_data(monkeypatch, tmp_path):
    """A machine with nothing on it: no AELIB_DATA, an empty cache. Returns the cache."""
    monkeypatch.delenv("AELIB_DATA", raising=False)
    monkeypatch.setenv("AELIB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
