"""Reading and writing configurations: presets, YAML files, overrides, golden folders.

    config = load_config("mf_b4", {"training.batch_size": 64})

A file is laid over the defaults, which are the official ones, or over the preset that it names as
its `base`. A mistake raises `ConfigError` with one sentence; a key of official files that has no
effect here is dropped, with a `Notice` where its value is not the official one.
"""

import difflib
import hashlib
import json
import re
import reprlib
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_args

import yaml  # type: ignore[import-untyped, unused-ignore]
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from impls.common import networks
from impls.common.config import LATER, OFFICIAL_ONLY, Config, Section
from impls.common.errors import ConfigError, MismatchError, Notice, cut, did_you_mean
from impls.common.paths import expanded
from impls.common.yaml_files import read_yaml

MOST_NAMED = 12  # keys in a message
PRESETS = Path(__file__).parent / "presets"


def preset_names() -> tuple[str, ...]:
    """Names of the presets that come with the package, sorted: `mf_b4`, `ablation/share_0`, …"""
    files = (path.relative_to(PRESETS).as_posix() for path in PRESETS.rglob("*.yml"))
    return tuple(sorted(name.removesuffix(".yml") for name in files))


def load_config(source: str | Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read a preset or a YAML file over the defaults, then the overrides over both.

    Args:
        source: a preset's name (`mf_b4`), else the path of a YAML file.
        overrides: values by dotted key, such as {"training.batch_size": 4}; numbers may be text.

    Raises:
        ConfigError: one sentence that names the key (or the file), what was got and expected.
    """
    if isinstance(source, str) and source in preset_names():
        return _build(_read_yaml(PRESETS / f"{source}.yml"), f"preset {source}", overrides or {})
    return _build(_read_yaml(expanded(source)), str(source), overrides or {})


def from_sizes(
    model: Mapping[str, Any], method: Mapping[str, Any], training: Mapping[str, Any] | None = None
) -> Config:
    """Make the configuration that a golden folder describes.

    Args:
        model: every field of the network's `Sizes` by name but times; mlp_ratio may be left out. A
            network other than the DiT has its name as cls.
        method: keys of the section method.
        training: keys of the section training, with ema_decay for ema_val.
    """
    cls = model.get("cls", "DiT")
    for field in fields(networks.named(cls).Sizes):
        if field.name not in model and field.default is MISSING:
            raise ConfigError(f"model.{field.name} is missing from the sizes: add it")
    images = {
        "image_size": "input_size",
        "image_channels": "in_channels",
        "num_classes": "num_classes",
    }
    sections = {
        "dataset": {key: model[size] for key, size in images.items()},
        "model": {"cls": cls} | {k: v for k, v in model.items() if k not in images.values()},
        "method": method,
        "training": {"ema_val" if k == "ema_decay" else k: v for k, v in (training or {}).items()},
    }
    return _build(sections, "the sizes", {})


def effective_yaml(config: Config) -> str:
    """Write every key, defaults included; `load_config` reads an equal configuration from it."""
    # Not allow_unicode: PyYAML would write U+0085 bare and read it back as a space.
    return str(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))


def config_hash(config: Config) -> str:
    """Identify a configuration by 12 hexadecimal digits, the same on every machine.

    Every key counts, folders included: sha256 of the JSON with sorted keys and no spaces. Keys of
    `OFFICIAL_ONLY` count with their official values, and those of `LATER` only where they have
    another value than there: hashes of records from before a key was dropped or added stay as they
    are.
    """
    plain = config.model_dump(mode="json")
    for dotted, value in LATER.items():
        section, key = dotted.split(".")
        if plain[section][key] == value:
            del plain[section][key]
    for dotted, value in _official_values(config).items():
        section, key = dotted.split(".")
        plain[section][key] = value
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _build(data: object, name: str, overrides: Mapping[str, Any]) -> Config:
    """Lay the overrides over the sections and validate, with errors for the user."""
    merged = _sections(data, name)
    for dotted, value in overrides.items():
        section, _, key = str(dotted).partition(".")
        if section in _SECTIONS and not key:
            example = f"{section}.{_keys(section)[0]}"
            raise ConfigError(f"{section} in the overrides is a section: name a key like {example}")
        if not key:
            merged[section] = value
        elif isinstance(merged.setdefault(section, {}), dict):
            merged[section][key] = value
    dropped = _take_official_only(merged)
    try:
        config = Config.model_validate(merged)
    except ValidationError as error:
        first, *more = error.errors(include_url=False)
        count = f" (and {len(more)} more error{'s' * (len(more) > 1)})" if more else ""
        raise ConfigError(_explain(first, merged, name, overrides) + count) from None
    official = _official_values(config)
    for key, value in dropped.items():
        if value not in (official[key], OFFICIAL_ONLY[key]):
            place = "the overrides" if key in overrides else name
            said = (
                f"{key} in {place} is {_show(value)}, which has no effect: the key is accepted so"
            )
            warnings.warn(Notice(f"{said} that files of the official code load"), stacklevel=3)
    return config


def _official_values(config: Config) -> dict[str, object]:
    """The value in the official code of each key of `OFFICIAL_ONLY`."""
    return OFFICIAL_ONLY | {"sampling.num_classes": config.dataset.num_classes}


def _take_official_only(sections: dict[str, Any]) -> dict[str, object]:
    """Take the keys of `OFFICIAL_ONLY` out of the sections; returns those that were there."""
    taken = {}
    for dotted in OFFICIAL_ONLY:
        section, key = dotted.split(".")
        keys = sections.get(section)
        if isinstance(keys, dict) and key in keys:
            taken[dotted] = keys.pop(key)
    return taken


def _sections(data: object, name: str) -> dict[str, Any]:
    """The keys of a file by section, laid over those of the preset that is its base."""
    if not isinstance(data, Mapping):
        got = "is empty" if data is None else f"holds {_show(data)}"
        raise ConfigError(f"{name} {got}, expected sections such as `training:`")
    found = {_key(key): value for key, value in data.items()}
    merged: dict[str, Any] = {}
    if "base" in found:
        if (base := found.pop("base")) not in preset_names():
            near = did_you_mean(_key(base), preset_names())
            raise ConfigError(f"base in {name} is {_show(base)}, expected {_PRESETS}{near}")
        merged = _sections(_read_yaml(PRESETS / f"{base}.yml"), f"preset {base}")
    for section, keys in found.items():
        # Sections are copied: an anchor in YAML can make two of them one object.
        mapping = isinstance(keys, Mapping)
        new = {_key(key): value for key, value in keys.items()} if mapping else keys
        below = merged.get(section)
        merged[section] = {**below, **new} if below and isinstance(new, dict) else new
    return merged


def _explain(
    error: ErrorDetails, data: Mapping[str, Any], name: str, overrides: Mapping[str, Any]
) -> str:
    """Say one pydantic error as a sentence: the key, who set it, what was got and expected."""
    place, expected = [str(part) for part in error["loc"][:2]], ""
    got = _lookup(data, place)
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, MismatchError):
        key, got, expected = cause.args
        place = key.split(".")
    key = ".".join(place) or "''"
    shown = cut(key)
    if any(f"{dotted}.".startswith(f"{key}.") for dotted in overrides):
        subject = f"{shown} in the overrides is"
    else:
        set_here = _lookup(data, place) is not _ABSENT
        subject = f"{shown} in {name} is" if set_here else f"{shown} by default is"
    if error["type"] == "extra_forbidden":
        return f"{subject} not a configuration key{_nearest_key(place)}"
    if error["type"] == "model_type":
        expected = f"a mapping with keys such as {_keys(place[0])[0]}"
    elif error["type"] == "literal_error":
        options = re.findall(r"'(.*?)'", error["ctx"]["expected"])
        expected = " or ".join(options) + did_you_mean(_key(got), options)
    elif not expected:
        owner = _SECTIONS[place[0]] if len(place) > 1 else Config
        field = owner.model_fields[place[-1]]
        texts = [text for text in field.metadata if isinstance(text, str)]
        # A choice of words has no text of its own; a half surrogate is no error of the choice.
        expected = texts[-1] if texts else " or ".join(map(str, get_args(field.annotation)))
    return f"{subject} {_show(got)}, expected {expected}"


def _key(key: object) -> str:
    return key if isinstance(key, str) else _show(key)


def _lookup(data: object, place: Iterable[str]) -> object:
    """Find a value by its path of keys, `_ABSENT` where the sections do not set it."""
    for part in place:
        data = data.get(part, _ABSENT) if isinstance(data, Mapping) else _ABSENT
    return data


def _keys(section: str) -> tuple[str, ...]:
    return tuple(_SECTIONS[section].model_fields)


def _nearest_key(place: list[str]) -> str:
    """Name the known key nearest to an unknown one, looking in its own section first."""
    word, prefix = cut(place[-1]), "".join(f"{section}." for section in place[:-1])
    head, _, leaf = word.partition(".")
    if head in _SECTIONS:
        return f": write {leaf} as a key below `{head}:`"
    own = _keys(place[0]) if prefix else tuple(Config.model_fields)
    known = {
        leaf: f"{section}.{leaf}" for section in reversed(_SECTIONS) for leaf in _keys(section)
    }
    known |= {key: prefix + key for key in own}
    near = difflib.get_close_matches(word, own, 1) or difflib.get_close_matches(word, known, 1)
    if near:
        return f"; did you mean {known[near[0]]}?"
    rest = f", ... (meanflow config --explain {place[0]})" if len(own) > MOST_NAMED else ""
    return f", expected one of {', '.join(own[:MOST_NAMED])}{rest}"


def _show(value: object) -> str:
    """Write a value as YAML would, in at most 80 characters."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    try:
        return cut(_SHORT.repr(value))
    except ValueError:  # Python refuses to write integers of many thousand digits
        return "a number with thousands of digits"


def _read_yaml(path: Path) -> object:
    """Read a configuration; where there is no such file, the presets are named too."""
    names = preset_names()
    near = did_you_mean(path.as_posix(), names) or did_you_mean(path.stem, names)
    return read_yaml(path, absent=f"neither {_PRESETS} nor a file{near}")


_ABSENT = object()
_SHORT = reprlib.Repr()  # aliases in YAML can make a few lines a value of gigabytes
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxtuple, _SHORT.maxdict = 3, 12, 12, 6
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 200
_PRESETS = "a preset ({})".format(
    ", ".join(dict.fromkeys(re.sub("/.*", "/…", name) for name in preset_names()))
)
_SECTIONS: dict[str, type[Section]] = {
    name: field.annotation
    for name, field in Config.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
}
