"""Since when a rule stands, and which of its runs are younger: by a history made for the test."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from kmgan_book import claims, dates

RULE = {
    "title": "It works", "quote": "it works", "section": "4", "paper": "no number", "chapter": "intro",
    "measure": "a score", "rule": "Holds if it works.", "needs": {"mnist/kmgan": [0]},
    "holds": [{"every": {"of": "mnist/kmgan", "measure": "classifier_score.value", "above": 8}}],
    "fails": [{"every": {"of": "mnist/kmgan", "measure": "classifier_score.value", "below": 6}}],
}  # fmt: skip


def git(folder: Path, *words: str, at: int = 0) -> str:
    env = {"GIT_COMMITTER_DATE": f"{1_700_000_000 + 3600 * at} +0000", "GIT_CONFIG_GLOBAL": "/dev/null", **os.environ}
    who = ["-c", "user.name=n", "-c", "user.email=e@x"]
    done = subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, encoding="utf8", env=env)
    return done.stdout.strip()


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_a_rule_is_as_old_as_what_decides_and_runs_are_counted_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = tmp_path / "book"
    record = book / "results" / "mnist" / "kmgan" / "quick-seed0"
    record.mkdir(parents=True)
    path = book / "claims.yml"
    git(tmp_path, "init", "-q")

    def commit(rule: dict[str, object], at: int) -> str:
        path.write_text(yaml.safe_dump({"X1": rule}))
        git(tmp_path, "add", "-A")
        git(tmp_path, "commit", "-qm", "m", "--allow-empty", at=at)
        return git(tmp_path, "rev-parse", "HEAD")

    old = commit({**RULE, "rule": "Another."}, 0)
    new = commit(RULE, 1)
    commit({**RULE, "title": "Only another title"}, 2)
    monkeypatch.setattr(dates, "LEDGER", path)

    def said(code: str) -> str:
        for cached in (dates.rules, dates._commits, dates._recordings):
            cached.cache_clear()
        (claim,) = claims.load(path)
        run = claims.Record(directory=record, result={"commit": code, "seed": 0})
        return dates.sentence(claims.Verdict(claim, claims.HOLDS, "quick", {}, [], {"mnist/kmgan": [run]}))

    assert said(new) == "The rule has stood as it is since 14 November 2023, 23:13 UTC."
    (record / "result.json").write_text("{}")
    commit(RULE, 3)
    assert "recorded from 15 November 2023, 01:13 UTC" in said(new)
    assert said(new[:12]).endswith("; 1 of 1 were trained by code that holds it.")
    assert said(old[:12]).endswith("; 0 of 1 were trained by code that holds it.")
    shutil.rmtree(tmp_path / ".git")
    assert said(new) == ""
    for cached in (dates.rules, dates._commits, dates._recordings):
        cached.cache_clear()
