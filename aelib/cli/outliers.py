"""The verb that looks for what does not belong."""

import json as json_
from pathlib import Path
from typing import Any

from ..errors import shown, unknown
from .use import _file

SHEET = 32  # pictures on the page, and lines in the terminal, at most


def outliers(
    run: str, data: str | None = None, rate: float | None = None, score: str = "error", normal: str = "",
    out: str = "", json: bool = False, which: str | None = None, labels: str | None = None,
) -> None:  # fmt: skip
    """Find the pictures that do not belong: those that are reconstructed worse than nearly all normal ones.

    What a normal one scores is taken from the validation pictures of the run, which should be normal. If
    nothing says what it was trained on, most of DATA count as normal.

    Args:
        data: pictures to look through, a dataset or a folder; those of the run by default.
        rate: the share of normal pictures that may be called strange; 0.01 by default, or what the number of
            validation pictures allows.
        score: error, standardised, density or distance; of a VAE also bound, likelihood or corrected.
        normal: the classes that belong, as 3,5: how well the score separates the others is measured.
        out: a .html with the strangest pictures, replaced if aelib wrote it; none is written by default.
    """
    import numpy as np

    from .. import pretrained, report
    from ..outliers import Scores, detection, threshold
    from ..runs import Run, RunError

    file = _file(out, run, "", suffixes=report.SUFFIXES) if out else None
    whose = "validation pictures"
    try:
        model, split = pretrained.load_with_data(run, which=which, labels=None if data else labels)
    except RunError:  # it does not say what it was trained on, or that is not here
        if data is None:
            raise
        model, split = pretrained.load_with_data(run, data, which=which, labels=labels)
        pictures, whose = split.all, "of them, since nothing here says what the model was trained on"
    else:
        other = split if data is None else pretrained.load_with_data(run, data, which=which, labels=labels)[1]
        pictures = other.all
    strange = _others(pictures, normal) if normal else None
    scores = Scores(model, split.train, split.valid)
    least = 1 / (len(split.valid) + 1)
    limit = threshold(scores(split.valid, score), max(0.01, least) if rate is None else rate)
    found = scores(pictures, score).numpy()
    measured = {} if strange is None else detection(found, strange)
    order = np.argsort(-found, kind="stable")
    above = order[: (found > limit.value).sum()]
    said = (f"{len(above):,} of {len(found):,} pictures have a score ({score}) above {limit.value:.4g}. Of "
            f"normal ones {limit.rate:.2%} have ({limit.low:.2%} to {limit.high:.2%}, by "
            f"{len(split.valid):,} {whose}).")  # fmt: skip
    known = Path(run).is_dir() and pictures.paths is not None and Run(run).trained(pictures).any()
    if data is None or known:
        said += (" Pictures that it was trained on are among them, whose error is small even where they are "
                 "strange: --score density finds them rather.")  # fmt: skip
    for k, v in measured.items():
        said += f" {k if ' ' in k else k.upper()} {v.value:.3f} ({v.low:.3f} to {v.high:.3f})."
    if file is not None:
        report.of_outliers(file, f"{run}: what does not belong", said, scores, pictures, order[:SHEET], found)
    names = pictures.files if pictures.files is not None else np.arange(len(pictures)).astype(str)
    if json:
        each = [{"file": str(names[i]), "score": float(found[i])} for i in above]
        about = {"run": run, "score": score, "threshold": limit._asdict(), "pictures": len(found)}
        about |= {k: v._asdict() for k, v in measured.items()} | {"strange": each, "out": out or None}
        print(json_.dumps(about))
        return
    print(said)
    for i in above[:SHEET]:
        print(f"{found[i]:.4g}  {shown(names[i])}")
    if len(above) > SHEET:
        print(f"… and {len(above) - SHEET:,} more: --json lists them all")
    if file is not None:
        print(f"{file}: the strangest {min(SHEET, len(found))}, and where they are: open it in a browser")


def _others(pictures: Any, normal: str) -> Any:
    """(N,) bool, which pictures are of none of these classes."""
    import numpy as np

    if pictures.names is None:
        raise ValueError(f"--normal {normal}: nothing is known of these pictures. Give --labels FILE, or a "
                         "folder with a folder for each class")  # fmt: skip
    for name in (belong := normal.split(",")):
        if name not in pictures.names:
            raise ValueError(unknown("class", name, map(str, np.unique(pictures.names))))
    return ~np.isin(pictures.names, belong)
