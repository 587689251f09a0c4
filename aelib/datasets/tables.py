"""Tables of what is known about examples: made numbers, read from files, joined by the names of photos."""

import io
import os
import unicodedata
import warnings
from collections.abc import Iterable, Mapping, Sequence
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

    ValueError if two columns have one name, or a column holds dates or more than 20 different words.
    """
    table = pd.DataFrame(table)
    if not table.columns.is_unique:
        raise ValueError(f"two attributes have the same name, of {', '.join(map(str, table.columns))}")
    if all(isinstance(kind, np.dtype) and kind.kind == "f" for kind in table.dtypes):
        return table
    columns: dict[str, pd.Series] = {}
    for name, column in table.items():
        if (values := _floats(column)) is not None:
            columns[str(name)] = values
            continue
        words = sorted(column.dropna().astype(str).unique())
        if column.dtype.kind in "mM" or len(words) > MOST:
            raise ValueError(f"attributes are numbers; {name!r} is dates, or {len(words)} different words")
        for word in words:
            columns[f"{name}={word}"] = (column.astype(str) == word).astype(float).where(column.notna())
    return pd.DataFrame(columns, index=table.index)


def _floats(column: pd.Series) -> pd.Series | None:
    """The column as numbers, NaN where missing; None if it holds words or dates."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        return column if column.dtype.kind == "f" else column.astype(np.float64)
    each = column.dropna().astype(object).unique()  # mostly few
    words = pd.Series(each).astype(str).str.strip().str.lower()
    found = words.map(WORDS) if words.isin(list(WORDS)).all() else pd.to_numeric(words, errors="coerce")
    if column.dtype.kind in "mM" or found.isna().any():
        return None
    return column.astype(object).map(dict(zip(each, found, strict=True))).astype(np.float64)


def known(table: pd.DataFrame) -> tuple[dict[str, Any], str]:
    """Labels, classes and attributes of a table, as `Examples` takes them; and which column became what.

    Classes are a column called label, class, category or target, or else the first of words that repeat.
    Others are attributes: −1 and 1 become 0 and 1, numbers stay as they are; see `numbers`.
    """
    values: dict[Any, Any] = {name: _floats(table[name]) for name in table}
    several = {n: 0 if table[n].dtype.kind in "mM" else table[n].nunique() for n in table}  # 0: of no use
    words = [n for n, v in values.items() if v is None]
    named = [n for n in table if str(n).lower() in CLASSES and (n in words or not (values[n] % 1 > 0).any())]
    classes = [n for n in [*named, *words] if 0 < several[n] < table[n].count()][:1]
    left = [n for n in table if n not in classes and (not several[n] or (n in words and several[n] > MOST))]
    attributes: Any = numbers(table.drop(columns=[*classes, *left]))
    signs = attributes.isin([-1, 1, np.nan]).all()
    attributes = attributes.mask((attributes == -1) & signs, 0)
    yes_no, out = attributes.isin([0, 1, np.nan]).all(), dict[str, Any]()
    notes = [f"{n}: {'yes or no' if yes_no[n] else 'numbers'}" for n in attributes]
    notes = [*notes[:5], f"{len(notes) - 5} more"] if len(notes) > 6 else notes
    for n in classes:
        given = table[n].astype(str).where(table[n].notna())
        measured = pd.to_numeric(given, errors="coerce")
        plain = measured.notna().sum() == table[n].count()  # so that 10 comes after 9
        labels, found = pd.factorize(measured if plain else given, sort=True)
        names = [f"{c:g}" if plain else str(c) for c in found] + [NOT_KNOWN] * bool((labels < 0).any())
        out |= {"labels": labels % len(names), "classes": names}
        notes.insert(0, f"{n}: {len(found)} classes")
    out |= {"attributes": attributes} if attributes.shape[1] else {}
    notes += [f"left out: {', '.join(map(str, left))}"] if left else []
    return out, ", ".join(notes)


def read_table(source: Any) -> tuple[pd.DataFrame, str]:
    """A table as it stands, and what it is called.

    Args:
        source: a .csv, .tsv or .txt of any separator, with a line of names or without; a .parquet; a
            `DataFrame`; a `Series` or mapping from names of photos to values.

    ValueError if there is no such file, or it is no table.
    """
    if isinstance(source, Mapping | pd.Series):
        name = getattr(source, "name", None) or "label"
        source = pd.Series(source, name=name).rename_axis("file").to_frame()
    if isinstance(source, pd.DataFrame):
        plain = source.index.name is None and source.index.dtype.kind in "iu"
        return source.reset_index(drop=plain), "the table"
    try:
        file = Path(source).expanduser()
        if file.suffix.lower() == ".parquet":
            return read_table(pd.read_parquet(file))[0], file.name
        if file.suffix.lower() not in (".csv", ".tsv", ".txt"):
            raise ValueError("it is of another kind")
        raw = file.read_bytes()
        code = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        return _lines(raw.decode(code, "backslashreplace")), file.name
    except (ImportError, OSError, TypeError, ValueError) as e:
        why = (isinstance(e, OSError) and e.strerror) or e
        kinds = ".csv, .tsv, .txt or (with PyArrow) .parquet"
        raise ValueError(f"{source} cannot be read: {why}. Labels are a {kinds} with a row per photo") from e


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


def joined(labels: Any, files: Sequence[str], above: str) -> tuple[pd.DataFrame, str]:
    """The rows of a table that belong to these photos, in their order; and which column names them.

    A photo is named by its path or the last parts of it, with its ending or without. Photos without a row,
    and rows without a photo, are counted in a warning.

    Args:
        labels: as of `read_table`.
        files: (N,) paths of the photos below a folder, whose name is `above`.

    ValueError if no column names the photos (or it names several at once), or rows of one photo differ.
    """
    table, called = read_table(labels)
    table = table.rename(columns=str)
    full, column = [f"{above}/{file}" for file in files], ""
    best: Any = pd.Series(dtype=int)  # of each name in that column the number of its photo
    # numbers are names in the first column alone: elsewhere they are ages
    named = [str(name) for i, name in enumerate(table) if i == 0 or _floats(table[name]) is None]
    cells = {name: table[name].dropna().astype(object).unique() for name in named}
    for plain, depth in product((False, True), range(max(f.count("/") for f in full) + 1)):
        if len(best) == len(files):
            break
        mine: Any = pd.Index(_keys(full if depth else files, plain, depth))
        for name, some in cells.items() if mine.is_unique else ():
            place = pd.Series(mine.get_indexer(_keys(some, plain, depth)), some)
            found = place[place >= 0]
            if found.is_unique and len(found) > len(best):
                column, best = name, found
    if best.empty:
        shared = len(set(_keys(files, True, 1))) < len(files)
        how = ", by their paths, as some share a name" if shared else ""
        held = "; ".join(f"{name!r} ({', '.join(map(str, some[:2]))} …)" for name, some in cells.items())
        raise ValueError(f"no column names the photos, as {files[0]!r}{how}. There are {held}")
    rows = table.dropna(subset=column).drop_duplicates()
    names = rows.pop(column).astype(object)
    place = names.map(best)  # NaN: there is none
    known = place.notna()
    if len(twice := names[known & place.duplicated()]):
        raise ValueError(f"rows of one photo differ, first of {twice.iloc[0]!r}: there must be one per photo")
    alone = np.delete(np.array(files, object), place[known].astype(int))
    lost = {"photos without a row": alone, "rows without a photo": names[~known].to_numpy()}
    if said := [f"{what}: {len(some):,}, first {some[0]}" for what, some in lost.items() if len(some)]:
        warnings.warn(f"{called}: {'; '.join(said)}", stacklevel=5)
    rows = rows[known].set_axis(place[known].to_numpy()).reindex(range(len(files)))
    return rows, f"{called}, joined by {column}"


def _keys(names: Iterable[Any], plain: bool, depth: int) -> list[str]:
    """What names are compared by: the last `depth` parts of the path (0: all).

    Plain names are without the ending, in small letters, and 7 is 007.
    """
    keys = []
    for cell in names:  # which pandas may have made a float
        name = unicodedata.normalize("NFC", str(cell).removesuffix(".0").strip().replace("\\", "/"))
        stem, ending = os.path.splitext(name.casefold())
        short = stem if os.fsencode(ending) in SUFFIXES + NOT_READ else stem + ending
        parts = [part for part in (short if plain else name).split("/") if part not in ("", ".")][-depth:]
        if plain and parts and parts[-1].isdigit():
            parts[-1] = parts[-1].lstrip("0")
        keys.append("/".join(parts))
    return keys
