"""Since when each rule of the ledger stands, and how many of its runs are younger, by the history of the checkout."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import yaml

from kmgan_book.claims import LEDGER, PARTS, Verdict
from kmgan_book.records import Record
from kmgan_lib.files import RESULT

_DECIDES = ("rule", "needs", *(part for part in PARTS if part != "beside"))


def _git(*words: str) -> str:
    """What git says; nothing where there is no git, no history, or only its end."""
    options: Any = {"cwd": LEDGER.parent, "check": True, "capture_output": True, "encoding": "utf-8", "timeout": 60}
    try:
        return subprocess.run(["git", *words], **options).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


@functools.cache
def _commits(path: str = ".") -> Mapping[str, datetime]:
    """Commits that changed something below a path of the book, the newest first, and when."""
    if _git("rev-parse", "--is-shallow-repository").strip() != "false":
        return {}
    lines = (line.split() for line in _git("log", "--format=%H %ct", "--", path).splitlines())
    return {commit: datetime.fromtimestamp(int(when), UTC) for commit, when in lines}


@functools.cache
def _recordings() -> Mapping[str, datetime]:
    """Files of records, by their paths in the book, and when each was last recorded."""
    if not _commits():
        return {}
    found, when = dict[str, datetime](), datetime.now(UTC)
    shown = _git("log", "--relative", "--diff-filter=AM", "--name-only", "--format=@%ct", "--", "results")
    for line in filter(None, shown.splitlines()):
        if line.startswith("@"):
            when = datetime.fromtimestamp(int(line[1:]), UTC)
        else:
            found.setdefault(line, when)
    return found


def _deciding(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: entry.get(key) for key in _DECIDES}


@functools.cache
def rules() -> Mapping[str, datetime]:
    """Since when each claim is decided as it is now: its rule, runs and conditions. Empty without a history."""
    now = yaml.safe_load(LEDGER.read_text(encoding="utf8"))
    open_, since = set(now), dict[str, datetime]()
    for commit, when in _commits(LEDGER.name).items():
        then = yaml.safe_load(_git("show", f"{commit}:./{LEDGER.name}"))
        open_ = {name for name in open_ if name in then and _deciding(then[name]) == _deciding(now[name])}
        since.update(dict.fromkeys(open_, when))
        if not open_:
            break
    return since


def sentence(verdict: Verdict) -> str:
    """Since when the rule stands, when its runs were recorded, and how many had its code; nothing if unknown."""
    since = rules().get(verdict.claim.name)
    if since is None:
        return ""
    text = f"The rule has stood as it is since {_said(since)}."
    added = [when for when in map(_added, verdict.records) if when]
    if not added:
        return text
    after = [when for record in verdict.records if (when := _commit(record.result["commit"]))]
    return (
        f"{text} Its runs were recorded from {_said(min(added))} to {_said(max(added))}; "
        f"{sum(when >= since for when in after)} of {len(verdict.records)} were trained by code that holds it."
    )


def _said(when: datetime) -> str:
    return f"{when.day} {when:%B %Y, %H:%M} UTC"


def _commit(name: str) -> datetime | None:
    """When the code was committed that a run was trained by."""
    return next((when for commit, when in _commits("..").items() if name and commit.startswith(name[:12])), None)


def _added(record: Record) -> datetime | None:
    """When a record came into the checkout as it is."""
    if not record.directory.is_relative_to(LEDGER.parent):
        return None
    return _recordings().get(f"{record.directory.relative_to(LEDGER.parent).as_posix()}/{RESULT}")
