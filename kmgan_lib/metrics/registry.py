"""The registry of measures: what each asks of a preset, and how its result reads in a table."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from kmgan_lib import methods
from kmgan_lib.config import Preset
from kmgan_lib.methods import KMGAN
from kmgan_lib.metrics.classifier import judged
from kmgan_lib.metrics.subject import Subject

Compute = TypeVar("Compute", bound=Callable[..., dict[str, Any]])
Show = str | Callable[[Mapping[str, Any]], str]


class _NoValue:
    """A dash in the place of a number that there is not, such as a ratio to a distance of 0."""

    def __format__(self, format_spec: str) -> str:
        return "–"


@dataclass(frozen=True)
class Measure:
    """A measure of runs; `shown` puts its result into one line."""

    compute: Callable[[Subject], dict[str, Any]]  # at least ``value``, ``samples`` and ``extractor``
    text: str
    applies: Callable[[Preset], bool]
    needs: str  # of a preset
    show: Show  # the result in a table: a format string over its keys, or a function of it
    quick: bool = False  # measured after every training

    def shown(self, result: Mapping[str, Any]) -> str:
        """The result in one line."""
        shown = {key: _NoValue() if value is None else value for key, value in result.items()}
        return self.show.format(**shown) if isinstance(self.show, str) else self.show(shown)


Need = tuple[Callable[[Preset], bool], str]
METRICS: dict[str, Measure] = {}
IMAGES: Need = (lambda p: p.network != "synthetic", "images")
JUDGED: Need = (lambda p: judged(p.dataset), "a data set with classes")
CENTERS: Need = (lambda p: issubclass(methods.method_class(p), KMGAN), "a method with K-Means")
CENTERS_OF_IMAGES: Need = (lambda p: CENTERS[0](p) and IMAGES[0](p), "a method with K-Means, and images")
# A conditional D is told the class: clustering its features would measure the label it was given.
CLASSES: Need = (
    lambda p: (JUDGED[0](p) or p.dataset == "synthetic") and not p.conditional,
    "known classes, and a D that is not told them: it would only give them back",
)


def measure(
    name: str, text: str, need: Need, show: Show, *, quick: bool = False, **arguments: str
) -> Callable[[Compute], Compute]:
    """Decorate a function that computes a measure: `METRICS` has it under this name, with these further arguments."""

    def register(compute: Compute) -> Compute:
        METRICS[name] = Measure(functools.partial(compute, **arguments), text, *need, show, quick)
        return compute

    return register
