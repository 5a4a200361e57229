"""Fields of an external result, and their validation.

Texts may hold any printable characters: tables and the report escape markup.
"""

import datetime as dt
import re
from typing import Annotated, Any, Literal
from unicodedata import category
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

UNKNOWN = "unknown"
FIRST_DAY = dt.date(2015, 1, 1)  # FID is of 2017, and its Inception of December 2015
HOST = re.compile(r"([\w-]+\.)+[\w-]{2,}")
ADDRESS = re.compile(r"https?://[\w.~:/?#\[\]@!$&'()*+,;=%-]+")  # of RFC 3986, and other alphabets


def _asked(says: str, example: Any, default: Any = ..., **limits: Any) -> Any:
    """Field with a description and an example, for the template and for errors."""
    return Field(default, description=says, examples=[example], **limits)


def _prints(text: str) -> str:
    """Refuse blank texts and control characters, which a terminal could take for commands."""
    is_blank = bool(text) and not text.strip()
    if is_blank or any(category(c)[0] == "C" for c in text if c not in "\t\n"):
        raise ValueError("text that can be printed")
    return text


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_address = HOST.fullmatch(parts.hostname or "") and parts.port != 0
    except ValueError:  # a port that is not a number, unbalanced brackets
        is_address = None
    if not is_address or not ADDRESS.fullmatch(url):
        raise ValueError("an address such as https://example.org/runs/mf_b4")
    return url


Text = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_prints)]
Count = Annotated[int, Field(gt=0, le=10**6)]
Decay = Annotated[float, Field(gt=0, lt=1)]


class Protocol(BaseModel):
    """Protocol of the FID; `unknown` where it was not written down."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: Literal["random", "balanced", "unknown"] = _asked(
        "of the samples: random, balanced or unknown", "random"
    )
    uint8: Text = _asked("how numbers became pixels", "clip(127.5 x + 128, 0, 255), truncated")
    inception: Text = _asked("the Inception file", "inception-2015-12-05.pt")
    resize: Literal["legacy_tensorflow", "clean", "unknown"] = _asked(
        "to Inception's size: legacy_tensorflow, clean or unknown", "legacy_tensorflow"
    )
    reference: Text = _asked(
        "the statistics it is measured from", "imagenet_256_fid_stats.npz of the official code"
    )
    vae: Text = _asked("what decodes latents; none of pixels", "stabilityai/sd-vae-ft-mse")


class External(BaseModel):
    """External result: an FID measured by somebody else."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    who: str = _asked(
        "a name without spaces, of who measured it", "someone/meanflow-port",
        pattern=r"^[\w.@/-]+$", max_length=100,
    )  # fmt: skip
    url: Annotated[str, AfterValidator(_address)] = _asked(
        "an address where it can be read: a log, a README, a paper",
        "https://example.org/runs/mf_b4",
        max_length=500,
    )
    date: str = _asked("the day of the measurement; that of adding, if untold", "2026-01-31", "")
    preset: Text = _asked("a configuration, which meanflow config NAME shows, or unknown", "mf_b4")
    changes: dict[str, int | float | str | bool] = _asked(
        "keys in which the run differs from the preset", "{training.batch_size: 1024}", {}
    )
    epochs: Count | Literal["unknown"] = _asked("how many epochs it was trained, or unknown", 240)
    framework: Text = _asked("what trained it: jax, torch, …", "torch")
    hardware: Text = _asked("what it was trained on", "8 x H100")
    commit: Text = _asked("the commit of the code that trained it, in quotes", '"0123abc"', UNKNOWN)
    value: float = _asked("the FID", 11.42, gt=0, lt=10_000)
    interval: tuple[float, float] | None = _asked(
        "its 95 % interval, without which nothing is said to agree", "[11.31, 11.53]", None
    )
    num_samples: int = _asked(
        "how many samples; published FIDs are of 50000", 50000, ge=2, le=10**9
    )
    num_steps: Count = _asked("network calls for each sample", 1)
    ema: Decay | Literal["none", "unknown"] = _asked(
        "the decay of the averaged parameters, or none, or unknown", 0.9999
    )
    protocol: Protocol = Field(description="how it was measured; unknown is an answer too")
    notes: Annotated[str, AfterValidator(_prints)] = _asked(
        "whatever else a reader should know", "one training seed", "", max_length=2000
    )

    @field_validator("date", mode="before")
    @classmethod
    def _day(cls, date: Any) -> Any:
        """YAML reads a bare date as one."""
        text = date.isoformat() if isinstance(date, dt.date) else date
        try:
            day = dt.datetime.fromisoformat(text).date()
        except (TypeError, ValueError):
            raise ValueError("a date such as 2026-01-31") from None
        today = max(dt.date.today(), dt.datetime.now(dt.UTC).date())
        if not FIRST_DAY <= day <= today:
            raise ValueError(f"a day from {FIRST_DAY} to {today}")
        return text

    @field_validator("interval", mode="before")
    @classmethod
    def _bounds(cls, bounds: Any) -> Any:
        if isinstance(bounds, list) and len(bounds) == 2:
            return tuple(bounds)
        if bounds is None:
            return bounds
        raise ValueError("two numbers, as in [11.31, 11.53]")

    @field_validator("interval")
    @classmethod
    def _around(cls, bounds: tuple[float, float] | None, info: Any) -> tuple[float, float] | None:
        value = info.data.get("value")
        if bounds and value is not None and not 0 <= bounds[0] <= value <= bounds[1]:
            raise ValueError(f"two numbers with the value {value} between them, none below 0")
        return bounds
