"""What the course measured: JSON in a checkout's materials/results, each with the command that made it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from .files import write_file

_BESIDE = Path(__file__).parent.parent / "materials"
# an installed library has no materials beside it: what it measures goes below the current folder
FOLDER = _BESIDE if (_BESIDE / "data_licences.md").is_file() else Path("materials")
RESULTS = FOLDER / "results"


def write(file: Path, record: Mapping[str, Any]) -> None:
    """Write measured numbers in one move."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_file(file, (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())


def licences() -> Path:
    """The page about the data's terms: of the checkout, or the copy that an installed library keeps."""
    page = FOLDER / "data_licences.md"
    copies = (Path(f.locate()) for f in metadata.files("aelib") or () if f.name == page.name)
    return page if page.is_file() else next(copies, page)
