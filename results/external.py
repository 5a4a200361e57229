"""External results: an FID that somebody else measured, in a file written by hand, as a record.

`meanflow results template` prints such a file to fill in, from the fields of external_fields.py.
"""

import datetime as dt
import math
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from impls.common.config import Config
from impls.common.config_files import config_hash, load_config, preset_names
from impls.common.errors import UserError, did_you_mean
from impls.common.yaml_files import read_yaml
from results.external_fields import UNKNOWN, External, Protocol
from results.reading import nearest, read
from results.schema import Record, append, record_file
from results.verdict import IMAGES_PER_EPOCH, SAME_EPOCHS

# Data sets that FIDs are published of, and the images of their training sets.
SCORED = {"imgnet_latent": IMAGES_PER_EPOCH, "cifar10": 50_000}
WEIGHTS = {"none": "params", UNKNOWN: UNKNOWN}  # ema -> which parameters were scored


class ExternalError(UserError):
    """Invalid external result; the message is one sentence on one line."""


def load(path: Path) -> External:
    """External result read from a YAML or JSON file.

    Raises:
        ExternalError: naming file and key, the invalid value and what was expected.
        ConfigError: for a file that is not YAML.
    """
    content = read_yaml(path)
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ExternalError(
            f"{path} is not a mapping of names to values, expected the keys that meanflow results"
            " template prints"
        )
    try:
        # A key that may be left out may be left empty.
        optional = {k for k, field in External.model_fields.items() if not field.is_required()}
        given = {k: v for k, v in content.items() if v is not None or k not in optional}
        found = External.model_validate(given, strict=True)
    except ValidationError as error:
        raise ExternalError(_explain(path, error.errors()[0])) from None
    _check_run(path, found)
    return found


def _check_run(path: Path, found: External) -> None:
    """Raise ExternalError for a preset without FID, and for values that its changes contradict."""
    if found.preset == UNKNOWN:
        if found.changes:
            raise ExternalError(
                f"changes in {path} need a preset, which is unknown: name it, or use notes"
            )
        return
    names = preset_names()
    if found.preset not in names:
        raise ExternalError(
            f"preset in {path} is {found.preset}, expected one of"
            f" {', '.join(names)}{did_you_mean(found.preset, names)}"
        )
    try:
        config = load_config(found.preset, found.changes)
    except UserError as error:
        raise ExternalError(f"changes in {path}: {error}") from error
    data_set = config.dataset.name
    if data_set not in SCORED:
        raise ExternalError(
            f"preset in {path} is {found.preset}, of {data_set}, which FID is not measured on"
        )
    for key, (name, known) in _told_twice(config).items():
        got, room = getattr(found, name), SAME_EPOCHS if name == "epochs" else 0.0
        is_known = isinstance(got, str) or any(math.isclose(got, n, rel_tol=room) for n in known)
        if key in found.changes and not is_known:
            made = " or ".join(f"{number:g}" for number in known)
            raise ExternalError(
                f"{name} in {path} is {got}, but {key} in its changes makes that {made}: correct"
                " one of them, or leave the key out"
            )


def _told_twice(config: Config) -> dict[str, tuple[str, tuple[float, ...]]]:
    """Keys of the changes that determine a field of a result: key -> (field, possible values)."""
    run, images = config.training, SCORED[config.dataset.name]
    by_steps = "training.num_steps", (run.num_steps or 0) * run.batch_size / images
    key, epochs = by_steps if run.num_steps else ("training.num_epochs", run.num_epochs)
    return {
        key: ("epochs", (epochs,)),
        "training.ema_val": ("ema", (run.ema_val, *run.ema_more)),
        "sampling.num_steps": ("num_steps", (config.sampling.num_steps,)),
        "fid.num_samples": ("num_samples", (config.fid.num_samples,)),
    }


def as_record(found: External) -> Record:
    """Record of an external result; values that are not given are `unknown`."""
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
        ExternalError: also when the same result is recorded already, with any date.
    """
    made = as_record(load(path))
    for known in read(folder):
        if known.model_copy(update={"digest": "", "date": made.date}) == made:
            raise ExternalError(f"{path} is recorded already, as {made.subject} of {known.date}")
    file = record_file(folder, "external", dt.datetime.now(dt.UTC).isoformat())
    append([made], file)
    return made, file


def template() -> str:
    """Template: a commented YAML file to fill in, with an example for every key."""
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
    """Error of pydantic as one sentence."""
    model: type[BaseModel] = External
    name = key = str(error["loc"][0])
    if name == "protocol" and len(error["loc"]) > 1:
        model, name = Protocol, str(error["loc"][1])
        key = f"protocol.{name}"
    if error["type"] == "extra_forbidden":
        return f"{key} in {path} is not a key of a result{nearest(name, model.model_fields)}"
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
    elif error["type"].startswith(("greater", "less", "string_too", "finite")):
        expected += f" ({error['msg'].partition(' should ')[2]})"
    shown = "empty" if got is None else repr(got)[:60]
    return f"{key} in {path} is {shown}, expected {expected}"
