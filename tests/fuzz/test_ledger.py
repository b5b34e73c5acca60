"""The two YAML files of the book, changed by anybody: computed, or refused in one line that says where."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import strategies as st

from book.tools import profiles
from book.tools.profiles import Profile
from kmgan_book import claims, tables
from kmgan_lib.errors import UsageError

from ..conftest import MadeUp
from ..kit.conftest import put_in
from .conftest import JUNK, cases, refused

ROOT = Path(__file__).resolve().parents[2]
LEDGER = yaml.safe_load((ROOT / "book" / "claims.yml").read_text(encoding="utf8"))
PROFILES = yaml.safe_load((ROOT / "book" / "profiles.yml").read_text(encoding="utf8"))


def places(node: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to every part of a nested structure."""
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [at, *(place for key, value in inner for place in places(value, (*at, key)))]


def changed(root: Any, place: tuple[Any, ...], junk: Any) -> Any:
    """A copy in which one part is replaced, or with ... as junk removed."""
    if not place:
        return junk
    root = copy.deepcopy(root)
    put_in(root, place, junk)
    return root


MEASURES = st.sampled_from(["clustering.nmi", "history.center_step", "nothing.here", "x", ".", "a.", ".b", "history."])


@pytest.fixture(scope="module")
def results(made_up: MadeUp, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few records, so that conditions have something to find."""
    folder = tmp_path_factory.mktemp("ledger") / "results"
    for preset in ("mnist/kmgan", "mnist/kmgan-nocenter"):
        for seed in range(3):
            made_up(folder, preset, seed=seed, score=None if seed == 2 else 8.0 + seed)
    return folder


@cases(20, st.sampled_from(sorted(LEDGER)), st.data())
def test_a_claim_of_the_ledger_in_which_one_thing_is_changed(
    results: Path, tmp_path: Path, name: str, data: st.DataObject
) -> None:
    place = data.draw(st.sampled_from(places(LEDGER[name])))
    junk = data.draw(JUNK | MEASURES | st.sampled_from([["mnist/kmgan"], {"mnist/kmgan": [0, 2]}, 1e308, -1, ...]))
    entry = changed(LEDGER[name], place, junk)
    path = tmp_path / "claims.yml"
    path.write_text(json.dumps({name: entry}, default=str), encoding="utf8")
    found = refused(lambda: claims.verdicts(path, results=results), path.name)
    if not isinstance(found, UsageError):
        assert all(verdict.word in claims.VERDICTS for verdict in found)
        tables.ledger(found)
        for profile in claims.PROFILES:
            claims.lacking(profile, path, results=results)


TYPES = {"profile": "str", "iterations": "int", "seeds": "list[int]", "dataset": "str", "group": "str"}
KNOWN = dict.fromkeys(PROFILES["smoke"]["chapters"], TYPES)


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A book whose chapters are known without reading notebooks."""
    monkeypatch.setattr(profiles, "chapters", lambda _: {name: tmp_path / f"{name}.ipynb" for name in KNOWN})
    monkeypatch.setattr(profiles, "parameters", lambda path: KNOWN[path.stem])
    (tmp_path / "book").mkdir()
    return tmp_path


@cases(25, st.sampled_from(places(PROFILES)), JUNK | st.just(...))
def test_profiles_in_which_one_thing_is_changed(book: Path, place: tuple[Any, ...], junk: Any) -> None:
    text = json.dumps(changed(PROFILES, place, junk), default=str)
    (book / "book" / "profiles.yml").write_text(text, encoding="utf8")
    found = refused(lambda: profiles.load(book, "smoke"))
    if isinstance(found, Profile):
        assert found.workers >= 1
        assert set(found.chapters) == set(KNOWN)
