"""What the course measured: JSON in a checkout's materials/results, each with the command that made it."""

from importlib import metadata
from pathlib import Path

_BESIDE = Path(__file__).parent.parent / "materials"
# an installed library has none beside it
FOLDER = _BESIDE if (_BESIDE / "data_licences.md").is_file() else Path("materials")
RESULTS = FOLDER / "results"


def licences() -> Path:
    """The page about the data's terms: of the checkout, or the copy that an installed library keeps."""
    page = FOLDER / "data_licences.md"
    copies = (Path(f.locate()) for f in metadata.files("aelib") or () if f.name == page.name)
    return page if page.is_file() else next(copies, page)
