"""When could one have known that a run would fail? What the histories of failed and of good runs say."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from kmgan_book.gallery import count_failed, failed
from kmgan_book.records import Record


class Sign(NamedTuple):
    """From `iteration` on a column tells all failed runs, which have the `lower` values or not, from all others."""

    iteration: int
    lower: bool
    threshold: float


def told_apart(group: Sequence[Record], column: str, *, rows: int = 10) -> Sign | None:
    """The first iteration from which a mean over the last `rows` rows tells failed runs from good ones, or None.

    The threshold is found afterwards, on the runs that it tells apart: it describes them and predicts nothing. A run
    without the column counts as not told apart.
    """
    wrong = np.asarray([failed(record) for record in group])
    if not wrong.any() or wrong.all() or any(column not in record.history[-1] for record in group):
        return None
    length = min(len(record.history) for record in group)
    values = np.asarray([[row.get(column, np.nan) for row in record.history[:length]] for record in group])
    means = np.asarray([values[:, max(0, end - rows) : end].mean(1) for end in range(1, length + 1)]).T
    for lower in (True, False):
        signed = means if lower else -means
        high, low = signed[wrong].max(0), signed[~wrong].min(0)
        apart = high < low
        last = length - int(np.argmin(apart[::-1])) if not apart.all() else 0
        if last < length:
            threshold = (high[last] + low[last]) / 2 * (1 if lower else -1)
            return Sign(int(group[0].history[last]["iteration"]), lower, float(threshold))
    return None


def when_known(group: Sequence[Record], columns: Mapping[str, str], *, rows: int = 10) -> str:
    """One to three sentences: which columns of the history told failed runs from good ones, from when on.

    `columns` maps the name of a column to its name in the text.
    """
    wrong = sum(map(failed, group))
    if not 0 < wrong < len(group):
        return f"{count_failed(group)}: there is nothing to tell apart."
    signs = {text: told_apart(group, column, rows=rows) for column, text in columns.items()}
    span = group[0].history[rows]["iteration"] - group[0].history[0]["iteration"]
    known = [
        f"{text} is {'lower' if sign.lower else 'higher'} in every failed run than in every good one from iteration "
        f"{sign.iteration:,} on (about {sign.threshold:.3g} lies between them)"
        for text, sign in signs.items()
        if sign
    ]
    unknown = [text for text, sign in signs.items() if not sign]
    texts = [f"{count_failed(group)}."]
    if known:
        texts.append(f"Averaged over {span:,.0f} iterations, {'; '.join(known)}.")
    if unknown:
        texts.append(f"No threshold on {' or '.join(unknown)} tells them from the others until the end.")
    if known:
        texts.append("Such a threshold is found afterwards, on these very runs: it says where to look first.")
    return " ".join(texts)
