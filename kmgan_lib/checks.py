"""Checks of the shapes and types of arguments against their annotations; they never look at a tensor's values."""

from beartype import BeartypeConf, beartype
from jaxtyping import jaxtyped

typed = jaxtyped(typechecker=beartype(conf=BeartypeConf(is_pep484_tower=True)))
"""Decorator for public functions: an argument whose type or shape is not that of its annotation raises a `TypeError`
that names it; an int may stand for a float."""
