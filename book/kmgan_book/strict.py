"""Files read strictly as pydantic models, with one line that says what is wrong with them."""

from pathlib import Path
from typing import Any, ClassVar, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from kmgan_lib.errors import UsageError, shorten


def read_yaml(path: Path) -> Any:
    """The content of a YAML file, plain data only; a `UsageError` says in one line why it cannot be read."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except Exception as error:  # besides its own error PyYAML has others, such as KeyError for `!!bool x`
        raise UsageError(f"{path} is not YAML: {' '.join(str(error).split())}") from None


class Strict(BaseModel):
    """A model that converts no value and allows no extra key; of the fields in `one_of`, exactly one must be given."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)
    one_of: ClassVar[tuple[str, ...]] = ()

    @property
    def way(self) -> str:
        """The field of `one_of` that is given."""
        return next(name for name in self.one_of if getattr(self, name) is not None)

    @property
    def given(self) -> Any:
        """The value of that field."""
        return getattr(self, self.way)

    @model_validator(mode="after")
    def _has_one_of(self) -> Self:
        if self.one_of and sum(getattr(self, name) is not None for name in self.one_of) != 1:
            raise ValueError(f"needs one of {', '.join(self.one_of).rstrip('_')}")
        return self


def complaint(error: ValidationError, most: int = 3) -> str:
    """Where something is wrong and what it should be, for the first few places."""
    texts = []
    found = [each for each in error.errors(include_url=False) if each["type"] != "default_factory_not_called"]
    for each in found[:most]:
        place = ".".join(str(part) for part in each["loc"] if "[" not in str(part))  # without pydantic's own parts
        given = each["input"]
        said = place if isinstance(given, (dict, list)) else f"{place}={shorten(given)}"
        texts.append(f"{said}: {each['msg'].removeprefix('Value error, ')}".removeprefix(": "))
    return "; ".join(texts)
