"""Shapes and types of arguments, checked by their annotations; no number in a tensor is looked at."""

from beartype import BeartypeConf, beartype
from jaxtyping import jaxtyped

typed = jaxtyped(typechecker=beartype(conf=BeartypeConf(is_pep484_tower=True)))
"""Decorate a public function: arguments are of the kinds and shapes of their annotations, else a `TypeError` says
which is not; an int may stand for a float."""
