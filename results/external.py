"""An FID that somebody else measured: a file written by hand, checked, and made a record.

`meanflow results template` prints such a file to fill in; it follows from the fields below.
"""

import datetime as dt
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from impls.common.config_files import config_hash, load_config, preset_names
from impls.common.errors import UserError, did_you_mean
from impls.common.yaml_files import read_yaml
from results.reading import nearest, read
from results.schema import Record, append, record_file

SCORED = ("imgnet_latent", "cifar10")  # data sets that FIDs are published of
UNKNOWN = "unknown"
WEIGHTS = {"none": "params", UNKNOWN: UNKNOWN}  # ema -> which parameters were scored


class ExternalError(UserError):
    """An external result that cannot be taken; the message is one sentence on one line."""


def _asked(says: str, example: Any, default: Any = ..., **limits: Any) -> Any:
    """A field with what it says and an example, for the template and for errors."""
    return Field(default, description=says, examples=[example], **limits)


Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(gt=0)]


class Protocol(BaseModel):
    """How the FID was measured; `unknown` where nobody wrote it down."""

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
    """One FID of somebody else."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    who: str = _asked(
        "a name without spaces, of who measured it", "someone/meanflow-port", pattern=r"^[\w.@/-]+$"
    )
    url: str = _asked(
        "an address where it can be read: a log, a README, a paper",
        "https://example.org/runs/mf_b4",
        pattern=r"^https?://\S+$",
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
    value: float = _asked("the FID", 11.42, gt=0, allow_inf_nan=False)
    interval: tuple[float, float] | None = _asked(
        "its 95 % interval, without which nothing is said to agree", "[11.31, 11.53]", None
    )
    num_samples: Count = _asked("how many samples; published FIDs are of 50000", 50000)
    num_steps: Count = _asked("network calls for each sample", 1)
    ema: float | Literal["none", "unknown"] = _asked(
        "the decay of the averaged parameters, or none, or unknown", 0.9999
    )
    protocol: Protocol = Field(description="how it was measured; unknown is an answer too")
    notes: str = _asked("whatever else a reader should know", "one training seed", "")

    @field_validator("date", mode="before")
    @classmethod
    def _day(cls, date: Any) -> Any:
        """YAML reads a bare date as one."""
        text = date.isoformat() if isinstance(date, dt.date) else date
        try:
            dt.datetime.fromisoformat(text)
        except (TypeError, ValueError):
            raise ValueError("a date such as 2026-01-31") from None
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
        if bounds and value is not None and not bounds[0] <= value <= bounds[1]:
            raise ValueError(f"two numbers with the value {value} between them")
        return bounds


def load(path: Path) -> External:
    """Read an external result from a YAML or JSON file.

    Raises:
        ExternalError: one sentence that names file and key, what was got and expected.
        ConfigError: for a file that is no YAML, or changes that the preset does not take.
    """
    content = read_yaml(path)
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ExternalError(
            f"{path} is no mapping of names to values, expected the keys that meanflow results"
            " template prints"
        )
    try:
        # A key that may be left out may be left empty.
        optional = {k for k, field in External.model_fields.items() if not field.is_required()}
        given = {k: v for k, v in content.items() if v is not None or k not in optional}
        found = External.model_validate(given, strict=True)
    except ValidationError as error:
        raise ExternalError(_explain(path, error.errors()[0])) from None
    if found.preset == UNKNOWN:
        return found
    names = preset_names()
    if found.preset not in names:
        raise ExternalError(
            f"preset in {path} is {found.preset}, expected one of"
            f" {', '.join(names)}{did_you_mean(found.preset, names)}"
        )
    data_set = load_config(found.preset, found.changes).dataset.name
    if data_set not in SCORED:
        raise ExternalError(
            f"preset in {path} is {found.preset}, of {data_set}: there is no FID of that"
        )
    return found


def as_record(found: External) -> Record:
    """The record of an external result: what it does not tell is `unknown`, not ours."""
    settings: dict[str, int | float | str] = {
        "preset": found.preset,
        "epochs": found.epochs,
        "num_steps": found.num_steps,
        "num_samples": found.num_samples,
        "framework": found.framework,
        "weights": f"EMA {found.ema:g}" if isinstance(found.ema, float) else WEIGHTS[found.ema],
        "url": found.url,
    }
    if found.changes:
        changed = (f"{key}={value}" for key, value in sorted(found.changes.items()))
        settings["changes"] = " ".join(changed)
    is_known = found.preset != UNKNOWN
    date_of = "" if found.date else "the date is that of adding"
    return Record(
        subject=f"external:{found.who}",
        what="fid/fid",
        value=found.value,
        unit="1",
        interval=found.interval,
        settings=settings,
        protocol=found.protocol.model_dump(),
        detail="; ".join(filter(None, (found.notes, date_of))),
        config_hash=config_hash(load_config(found.preset, found.changes)) if is_known else "",
        commit=found.commit,
        dirty=False,
        machine={"device": found.hardware},
        python=UNKNOWN,
        libraries={},
        date=found.date or dt.datetime.now(dt.UTC).date().isoformat(),
    )


def add(path: Path, folder: Path) -> tuple[Record, Path]:
    """Append an external result to the records; returns the record and its file.

    Raises:
        ExternalError: also when that very result is there already, of whichever date.
    """
    made = as_record(load(path))
    for known in read(folder):
        if known.model_copy(update={"digest": "", "date": made.date}) == made:
            raise ExternalError(f"{path} is recorded already, as {made.subject} of {known.date}")
    file = record_file(folder, "external", dt.datetime.now(dt.UTC).isoformat())
    append([made], file)
    return made, file


def template() -> str:
    """A commented YAML file to fill in: every key with what it says and an example."""
    lines = [
        "# One FID that somebody measured. Fill in, then: meanflow results add FILE",
        "# Keys marked optional may be left out.",
        *_keys(External, ""),
    ]
    return "\n".join(lines) + "\n"


def _keys(model: type[BaseModel], indent: str) -> list[str]:
    lines = []
    for name, field in model.model_fields.items():
        nested = field.annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            lines += [f"{indent}{name}:  # {field.description}", *_keys(nested, f"{indent}  ")]
        else:
            said = field.description if field.is_required() else f"optional: {field.description}"
            lines.append(f"{indent}{name}:  # {said}; e.g. {field.examples[0]}")  # type: ignore[index]
    return lines


def _explain(path: Path, error: Any) -> str:
    """One pydantic error as a sentence."""
    model: type[BaseModel] = External
    name = key = str(error["loc"][0])
    if name == "protocol" and len(error["loc"]) > 1:
        model, name = Protocol, str(error["loc"][1])
        key = f"protocol.{name}"
    if error["type"] == "extra_forbidden":
        return f"{key} in {path} is no key of a result{nearest(name, model.model_fields)}"
    field = model.model_fields[name]
    asked = f"{field.description}" + (f", such as {field.examples[0]}" if field.examples else "")
    if error["type"] == "missing":
        return f"{key} is missing in {path}: add it ({asked})"
    got, expected = error["input"], asked
    if error["type"] == "value_error":
        expected = error["msg"].removeprefix("Value error, ")
    elif error["type"] == "literal_error":
        expected = error["msg"].removeprefix("Input should be ").replace("'", "")
        if isinstance(got, str):
            expected += did_you_mean(got, get_args(field.annotation))
    shown = "empty" if got is None else repr(got)[:60]
    return f"{key} in {path} is {shown}, expected {expected}"
