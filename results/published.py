"""Published numbers, read from reference/published.yml."""

import functools
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict

FILE = Path(__file__).parent.parent / "reference" / "published.yml"
KNOWN = ("value", "preset", "small", "epochs")  # keys of a row that have a field of their own

Setting = dict[str, int | float | str]


class Source(BaseModel):
    """Source of published numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    url: str


class Published(BaseModel):
    """Published number with its setting. Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    group: str
    quantity: str
    value: float
    setting: Setting  # what it was measured of, by name
    preset: str | None = None  # of impls/common/presets, which has this setting
    small: str | None = None  # a preset that varies the same in small
    epochs: int | None = None
    source: Source
    place: str  # in the source
    places: int = 0  # digits after the point, as it was printed: 2 of 18.70
    sure: Literal["A", "B", "C", "D"]  # see the head of the file

    @property
    def printed(self) -> str:
        """Value as it was printed: 18.70."""
        return f"{self.value:.{self.places}f}"


class _Loader(yaml.SafeLoader):
    """YAML loader that reads 18.70 as a number of two decimal places."""


_Loader.add_constructor("tag:yaml.org,2002:float", lambda _, node: Decimal(node.value))


@functools.cache
def all_published() -> tuple[Published, ...]:
    """Published numbers, in the order of the file.

    Raises:
        ValueError: for an invalid key or value.
    """
    # The loader is PyYAML's safe one, but for how it reads numbers.
    content = yaml.load(FILE.read_text(encoding="utf-8"), _Loader)  # noqa: S506
    sources = {name: Source(**about) for name, about in content["sources"].items()}
    return tuple(
        _number(group, sources[group["source"]], {**group.get("common", {}), **row})
        for group in content["groups"]
        for row in group["rows"]
    )


def _number(group: dict[str, Any], source: Source, row: dict[str, Any]) -> Published:
    plain: dict[str, Any] = {k: float(v) if isinstance(v, Decimal) else v for k, v in row.items()}
    _, _, exponent = Decimal(row["value"]).as_tuple()
    return Published(
        group=group["name"],
        source=source,
        setting={name: value for name, value in plain.items() if name not in KNOWN},
        places=-int(exponent),
        **{name: plain[name] for name in KNOWN if name in plain},
        **{name: group[name] for name in ("quantity", "place", "sure")},
    )


def published(group: str) -> tuple[Published, ...]:
    """Published numbers of a group.

    Raises:
        KeyError: when the file has no such group.
    """
    found = tuple(number for number in all_published() if number.group == group)
    if not found:
        raise KeyError(f"{FILE.name} has no group {group}")
    return found


def one_seed() -> float:
    """Relative difference of FIDs that one training seed cannot resolve."""
    return published("one_seed")[0].value
