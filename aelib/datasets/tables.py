"""Tables of what is known about examples: made numbers, read from files, joined by the names of photos."""

import io
import os
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .decoder import NOT_READ, SUFFIXES

CLASSES = ("label", "labels", "class", "category", "target")  # columns whose whole numbers are classes
MOST = 20  # different words of a column that become attributes
WORDS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}
NOT_KNOWN = "not known"  # the class of photos whose class is not given


def numbers(table: Any) -> pd.DataFrame:
    """(N, A) floats, NaN where missing, of columns of any type: yes and no, True and False are 1 and 0.

    A column of words, as colour, becomes one for each word, as "colour=red".

    Raises:
        ValueError: two columns have one name, or a column holds dates or more than 20 different words.
    """
    table = pd.DataFrame(table)
    if not table.columns.is_unique:
        raise ValueError(f"two attributes have the same name, of {', '.join(map(str, table.columns))}")
    if all(isinstance(kind, np.dtype) and kind.kind == "f" for kind in table.dtypes):
        return table
    columns: dict[str, pd.Series] = {}
    for name, column in table.items():
        values = _floats(column)
        words = [] if values is not None else sorted(column.dropna().astype(str).unique())
        if column.dtype.kind in "mM" or len(words) > MOST:
            raise ValueError(f"attributes are numbers; {name!r} is dates, or {len(words)} different words")
        columns |= {} if values is None else {str(name): values}
        for word in words:
            columns[f"{name}={word}"] = (column.astype(str) == word).astype(float).where(column.notna())
    return pd.DataFrame(columns, index=table.index)


def _floats(column: pd.Series) -> pd.Series | None:
    """The column as numbers, NaN where missing; None if it holds words or dates."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        return column if column.dtype.kind == "f" else column.astype(np.float64)
    known = column.dropna().astype(str).str.strip().str.lower()
    found = known.map(WORDS) if known.isin(list(WORDS)).all() else pd.to_numeric(known, errors="coerce")
    wrong = column.dtype.kind in "mM" or found.isna().any()
    return None if wrong else found.astype(np.float64).reindex(column.index)


def known(table: pd.DataFrame) -> tuple[dict[str, Any], str]:
    """Labels, classes and attributes of a table, as `Examples` takes them; and which column became what.

    Classes are a column called label, class, category or target, or else the first of words that repeat.
    Others are attributes: −1 and 1 become 0 and 1, numbers stay as they are; see `numbers`.
    """
    values: dict[Any, Any] = {name: _floats(table[name]) for name in table}
    several = table.nunique().to_dict()
    words = [n for n, v in values.items() if v is None]
    whole = [n for n, v in values.items() if n in words or (v.dropna() % 1 == 0).all()]
    whole = [n for n in whole if str(n).lower() in CLASSES]
    classes = [n for n in [*whole, *words] if several[n] < table[n].count()][:1]
    left = [n for n in table if n not in classes and (not several[n] or (n in words and several[n] > MOST))]
    left += [n for n in words if n not in left and table[n].dtype.kind in "mM"]
    attributes: Any = numbers(table.drop(columns=[*classes, *left]))
    signs = [
        n for n, column in attributes.items() if -1 in (held := set(column.dropna())) and held <= {-1, 1}
    ]
    attributes[signs] = attributes[signs].gt(0).astype(np.float64).where(attributes[signs].notna())
    yes_no, out = attributes.isin([0, 1, np.nan]).all(), dict[str, Any]()
    notes = [f"{n}: {'yes or no' if yes_no[n] else 'numbers'}" for n in attributes]
    notes = [*notes[:5], f"{len(notes) - 5} more"] if len(notes) > 6 else notes
    for n in classes:
        given = values[n] if n not in words else table[n].astype(str).where(table[n].notna())
        labels, found = pd.factorize(pd.Series(given), sort=True)
        names = [str(c) if n in words else f"{c:g}" for c in found] + [NOT_KNOWN] * bool((labels < 0).any())
        out |= {"labels": labels % len(names), "classes": names}
        notes.insert(0, f"{n}: {len(found)} classes")
    if attributes.shape[1]:
        out["attributes"] = attributes
    notes += [f"left out: {', '.join(map(str, left))}"] if left else []
    return out, ", ".join(notes)


def read_table(source: Any) -> tuple[pd.DataFrame, str]:
    """A table as it stands, and what it is called.

    Args:
        source: a .csv, .tsv or .txt of any separator, with a line of names or without; a .parquet; a
            `DataFrame`; a `Series` or mapping from names of photos to values.

    Raises:
        ValueError: there is no such file, or it is no table.
    """
    if isinstance(source, Mapping | pd.Series):
        source = (
            pd.Series(source, name=getattr(source, "name", None) or "label").rename_axis("file").to_frame()
        )
    if isinstance(source, pd.DataFrame):
        plain = isinstance(source.index, pd.RangeIndex) and source.index.name is None
        return source if plain else source.reset_index(), "the table"
    file = Path(source).expanduser()
    try:
        if file.suffix.lower() == ".parquet":
            return read_table(pd.read_parquet(file))[0], file.name
        if file.suffix.lower() not in (".csv", ".tsv", ".txt"):
            raise ValueError("it is of another kind")
        return _lines(file.read_text("utf-8-sig", "backslashreplace")), file.name
    except (ImportError, OSError, ValueError) as e:
        kinds = ".csv, .tsv, .txt or (with PyArrow) .parquet"
        raise ValueError(f"{file} cannot be read: {e}. Labels are a {kinds} with a row per photo") from e


def _lines(text: str) -> pd.DataFrame:
    """Lines as a table of strings: a name such as 007 is no number yet."""
    head, _, rest = text.lstrip().partition("\n")
    if head.strip().isdigit():  # as in CelebA's lists, which begin with how many lines follow
        text, head = rest, rest.partition("\n")[0]
    sep = max("\t;,|", key=head.count)
    named = not any(end.decode() in head.lower() for end in SUFFIXES + NOT_READ)
    table = pd.read_csv(
        io.StringIO(text), sep=sep if sep in head or " " not in head else r"\s+", dtype=str, na_values=["?"],
        header=0 if named else None, skipinitialspace=True,
    )  # fmt: skip
    if not isinstance(table.index, pd.RangeIndex):  # the first column has no name
        table = table.reset_index()
    elif str(table.columns[0]) == "Unnamed: 0" and (table.iloc[:, 0] == table.index.astype(str)).all():
        table = table.iloc[:, 1:]  # the index of a `DataFrame`
    if sep == ";":  # where a comma stands before decimals
        table = table.replace(r"^(-?\d+),(\d+)$", r"\1.\2", regex=True)
    return table if named else table.rename(columns=lambda i: f"column {i + 1}")


def aligned(table: pd.DataFrame, files: Sequence[str], above: str) -> tuple[pd.DataFrame, str, str]:
    """The rows of these photos, in their order; the column that names them; what has no partner, if anything.

    A photo is named by its path or the last parts of it, with its ending or without.

    Args:
        files: (N,) paths of the photos below a folder.
        above: the folder's name.

    Raises:
        ValueError: no column names the photos, a name means several of them, or rows of one photo differ.
    """
    full = [f"{above}/{file}" for file in files]
    deepest = max(f.count("/") for f in full)
    ways = [(w, d, _keys(full if d else files, w, d)) for w, d in product((False, True), range(deepest + 1))]
    best, column, names = 0, "", list[str | None]()
    cells = {str(name): [str(cell) for cell in table[name].dropna().unique()] for name in table}
    for name in list(cells)[1:]:  # numbers are names in the first column alone, not ages
        cells[name] = [] if all(cell.isdigit() for cell in cells[name]) else cells[name]
    for name, (plain, depth, mine) in product(cells, ways):
        at = dict(zip(_keys(cells[name], plain, depth), cells[name], strict=True))
        found = [at.get(key) for key in mine]
        each_is_one = len(at) == len(cells[name]) and len(set(mine)) == len(mine)
        if each_is_one and (hits := len(found) - found.count(None)) > best:
            best, column, names = hits, name, found
    ends = _keys(full, True, 1)
    several = {key for key, n in Counter(ends).items() if n > 1}
    for name in [column] if best else cells:
        for cell, key in zip(cells[name], _keys(cells[name], True, 1), strict=True):
            if key in several and cell not in names and "/" not in cell:
                a, b, *_ = (file for file, end in zip(files, ends, strict=True) if end == key)
                raise ValueError(f"{cell!r} (column {name!r}) can be {a} or {b}: name photos by their paths")
    if not best:
        held = "; ".join(f"{name!r} ({', '.join(some[:2])} …)" for name, some in cells.items())
        raise ValueError(f"no column names the photos, as {files[0]!r}. There are {held}")
    rows = table.rename(columns=str).dropna(subset=column).drop_duplicates()
    rows = rows.set_index(rows.pop(column).astype(str))
    if len(twice := rows.index[rows.index.duplicated() & rows.index.isin(names)]):
        raise ValueError(f"rows of one photo differ, first of {twice[0]!r}: there must be one row per photo")
    alone = [file for file, name in zip(files, names, strict=True) if name is None]
    strange = list(rows.index.difference(names, sort=False))
    lost = {"photos without a row": alone, "rows without a photo": strange}
    said = "; ".join(f"{what}: {len(some):,}, first {some[0]}" for what, some in lost.items() if some)
    return rows.reindex(names).reset_index(drop=True), column, said


def _keys(names: Sequence[str], plain: bool, depth: int) -> list[str]:
    """What names are compared by.

    Args:
        plain: without the ending, in small letters, and 7 is 007.
        depth: so many parts of the path count, from its end; 0: all.
    """
    keys = []
    for name in (unicodedata.normalize("NFC", name.strip().replace("\\", "/")) for name in names):
        stem, ending = os.path.splitext(name.casefold())
        short = stem if os.fsencode(ending) in SUFFIXES + NOT_READ else stem + ending
        parts = [part for part in (short if plain else name).split("/") if part not in ("", ".")][-depth:]
        if plain and parts and parts[-1].isdigit():
            parts[-1] = parts[-1].lstrip("0")
        keys.append("/".join(parts))
    return keys
