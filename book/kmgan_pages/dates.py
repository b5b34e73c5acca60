"""Since when each rule of the ledger stands, and how many of its runs are younger, by the history of the checkout."""

import functools
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from kmgan_book.claims import LEDGER, PARTS, Verdict
from kmgan_lib.files import RESULT

_DECIDES = ("needs", *(part for part in PARTS if part != "beside"))  # not the prose, nor the records left out


def _git(*words: str) -> str:
    """What git says; nothing where there is no git, no history, or only its end."""
    options: Any = {"cwd": LEDGER.parent, "check": True, "capture_output": True, "encoding": "utf-8", "timeout": 60}
    try:
        return subprocess.run(["git", *words], **options).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


@functools.cache
def _commits(path: str = ".") -> Mapping[str, datetime]:
    """Commits, in twelve digits, that changed something below a path of the book, the newest first, and when."""
    if _git("rev-parse", "--is-shallow-repository").strip() != "false":
        return {}
    lines = (line.split() for line in _git("log", "--format=%H %ct", "--", path).splitlines())
    return {commit[:12]: datetime.fromtimestamp(int(when), UTC) for commit, when in lines}


@functools.cache
def _recordings() -> Mapping[Path, datetime]:
    """Files of records, and when each was last recorded."""
    found, when = dict[Path, datetime](), datetime.now(UTC)
    shown = _git("log", "--relative", "--diff-filter=AM", "--name-only", "--format=@%ct", "--", "results")
    for line in filter(None, shown.splitlines()):
        if line.startswith("@"):
            when = datetime.fromtimestamp(int(line[1:]), UTC)
        else:
            found.setdefault(LEDGER.parent / line, when)
    return found


@functools.cache
def rules() -> Mapping[str, datetime]:
    """Since when each claim is decided as it is now, by runs and conditions. Empty without a history."""
    now = yaml.safe_load(LEDGER.read_text(encoding="utf8"))
    open_, since = set(now), dict[str, datetime]()
    for commit, when in _commits(LEDGER.name).items():
        then = yaml.safe_load(_git("show", f"{commit}:./{LEDGER.name}"))
        open_ = {n for n in open_ if all(then.get(n, {}).get(key) == now[n].get(key) for key in _DECIDES)}
        since.update(dict.fromkeys(open_, when))
        if not open_:
            break
    return since


def sentence(verdict: Verdict) -> str:
    """Since when the rule stands, when its runs were recorded, and how many had its code; nothing if unknown."""
    since = rules().get(verdict.claim.name)
    if since is None:
        return ""
    text = f"The rule has stood unchanged since {_said(since)}."
    added = [when for record in verdict.records if (when := _recordings().get(record.directory / RESULT))]
    if not added:
        return text
    commits = (_commits("..").get(str(record.result["commit"])[:12]) for record in verdict.records)
    return (
        f"{text} Its runs were recorded from {_said(min(added))} to {_said(max(added))}; "
        f"{sum(when is not None and when >= since for when in commits)} of {len(verdict.records)} were trained with "
        "code that contains it."
    )


def _said(when: datetime) -> str:
    return f"{when.day} {when:%B %Y, %H:%M} UTC"
