"""The types of the values of a configuration: what is read as what, and what is refused.

The text in each type is what an error message, or `meanflow config --explain`, says is expected.
"""

import re
from numbers import Real as AnyReal
from pathlib import PurePath
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from impls.common.limits import (
    LONGEST_TEXT,
    MOST_COUNTED,
    MOST_PROCESSES,
    MOST_ROWS,
    MOST_SAMPLES,
    MOST_SEED,
    MOST_STEPS,
)

LARGEST, SMALLEST = 3.4e38, 1e-37  # of float32, in which the frameworks compute


def _read_number(value: object) -> object:
    """Read `1e-4`, which YAML 1.1 takes for text; refuse `true`, which Python takes for 1.

    Of text, only what every reader reads alike: no `010`, no `1_000`, no digits but 0-9.
    """
    if isinstance(value, str):
        if value.isascii() and "_" not in value and not re.match(r"\s*[-+]?0\d", value):
            for convert in (int, float):
                try:
                    return convert(value)
                except ValueError:
                    continue
        raise ValueError("not a number")
    if isinstance(value, bool) or not isinstance(value, AnyReal):
        raise ValueError("not a number")
    return value


def _in_float32(value: float) -> float:
    if abs(value) > LARGEST:
        raise ValueError("infinite in float32")
    # Adding 0.0 turns -0.0 into 0.0: configurations that are equal then also have equal hashes.
    return float(value) + 0.0


def _read_list(value: object) -> object:
    """Refuse what pydantic takes for a list, such as a set, which has no order."""
    if value is not None and not isinstance(value, list | tuple):
        raise ValueError("not a list")
    return value


def _read_guidance(value: object) -> object:
    """Read every spelling of "no guidance": the official code tests this key for truth."""
    if value is None or value is False:
        return "none"
    return "none" if isinstance(value, str) and value.lower() in ("", "none") else value


def _storable(value: str) -> str:
    """Refuse text that no file can hold and no file can be called."""
    if "\0" in value:
        raise ValueError("a NUL character")
    value.encode()  # UnicodeEncodeError is a ValueError
    return value


Real = Annotated[
    float,
    BeforeValidator(_read_number),
    AfterValidator(_in_float32),
    "a finite number (in float32: 3.4e38 at most)",
]
Positive = Annotated[Real, Field(ge=SMALLEST), "a number above 0 (in float32: 1e-37 to 3.4e38)"]
OptionalPositive = Annotated[Positive | None, "null or a number above 0 (1e-37 to 3.4e38)"]
NonNegative = Annotated[Real, Field(ge=0), "a number, 0 or more (3.4e38 at most)"]
Fraction = Annotated[Real, Field(ge=0, le=1), "a number from 0 to 1"]
BelowOne = Annotated[Real, Field(ge=0, lt=1), "a number from 0 up to but not 1"]
Decays = Annotated[
    tuple[BelowOne, ...],
    BeforeValidator(_read_list),
    "a list of numbers from 0 up to but not 1",
]
Integer = Annotated[int, BeforeValidator(_read_number)]
Count = Annotated[Integer, Field(ge=1, le=MOST_COUNTED), "a whole number, 1 or more (below 2^31)"]
OptionalCount = Annotated[Count | None, "null or a whole number, 1 or more (below 2^31)"]
Steps = Annotated[
    Integer, Field(ge=1, le=MOST_STEPS), f"a whole number, 1 or more ({MOST_STEPS:,} at most)"
]
Rows = Annotated[
    Integer, Field(ge=1, le=MOST_ROWS), f"a whole number, 1 or more ({MOST_ROWS:,} at most)"
]
Samples = Annotated[
    Integer, Field(ge=1, le=MOST_SAMPLES), f"a whole number, 1 or more ({MOST_SAMPLES:,} at most)"
]
Workers = Annotated[
    Integer,
    Field(ge=0, le=MOST_PROCESSES),
    f"a whole number, 0 or more ({MOST_PROCESSES:,} at most)",
]
Whole = Annotated[Integer, Field(ge=0, le=MOST_COUNTED), "a whole number, 0 or more (below 2^31)"]
Seed = Annotated[Integer, Field(ge=0, le=MOST_SEED), "a whole number, 0 or more (below 2^32)"]
Flag = Annotated[bool, "true or false"]
Text = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if isinstance(value, PurePath) else value),
    AfterValidator(_storable),
    Field(min_length=1, max_length=LONGEST_TEXT, strict=True),
    "text, in quotes where it looks like a number, a date or yes and no"
    f" ({LONGEST_TEXT} characters at most)",
]
OptionalText = Annotated[
    Text | None,
    "null or text, in quotes where it looks like a number, a date or yes and no"
    f" ({LONGEST_TEXT} characters at most)",
]
Guidance = Annotated[Literal["cfg", "none"], BeforeValidator(_read_guidance)]
Times = Annotated[
    tuple[Real, ...] | None,
    BeforeValidator(_read_list),
    "null or a list of numbers that fall from 1 to 0",
]
