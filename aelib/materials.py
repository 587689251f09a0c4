"""What the course measured: JSON in a checkout's materials/results, each with the command that made it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

_BESIDE = Path(__file__).parent.parent / "materials"
# an installed library has no materials beside it: what it measures goes below the current folder
FOLDER = _BESIDE if (_BESIDE / "data_licences.md").is_file() else Path("materials")
RESULTS = FOLDER / "results"


def write(file: Path, record: Mapping[str, Any]) -> None:
    """Write measured numbers in one move."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(part, file)


def licences() -> Path:
    """The page about the data's terms: of the checkout, or the copy that an installed library keeps."""
    page = FOLDER / "data_licences.md"
    copies = (Path(f.locate()) for f in metadata.files("aelib") or () if f.name == page.name)
    return page if page.is_file() else next(copies, page)
