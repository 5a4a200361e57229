"""What the keys of the configuration mean, in the words of the comments beside them.

    method.kappa
        weight of the class-conditional prediction in v_g
        a number from 0 up to but not 1; 0.5 by default

The comments of `impls.common.config` are the one source of the text; a comment above a key goes on
to the next blank line or key.
"""

import inspect
import re
import textwrap
from collections.abc import Iterator
from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from impls.common.config import Config, Section
from impls.common.errors import ConfigError, cut, did_you_mean

WIDTH = 80  # columns
FIELD = re.compile(r"    (\w+): [^#]*?(?:  # (.*))?")
COMMENT = re.compile(r"    # (.*)")


def explain(key: str | None = None) -> str:
    """Lines about a key, every key of a section, or every key.

    Raises:
        ConfigError: for what is neither a key nor a section.
    """
    known = dict(_keys())
    chosen = [name for name in known if key is None or name == key or name.startswith(f"{key}.")]
    if not chosen:
        sections = (name.partition(".")[0] for name in known)
        leaves = {name.rpartition(".")[2]: name for name in known}
        near = leaves.get(key or "") or did_you_mean(key or "", [*known, *sections])
        near = f"; did you mean {near}?" if near in known else near
        raise ConfigError(f"there is no key {cut(key or '')} in the configuration{near}")
    return "\n".join(_entry(name, *known[name]) for name in chosen)


def comments(section: type[Section]) -> dict[str, str]:
    """The comment of each key of a section, those above it and beside it in one."""
    found: dict[str, str] = {}
    above: list[str] = []
    for line in inspect.getsource(section).splitlines():
        if comment := COMMENT.fullmatch(line):
            above.append(comment[1])
        elif (field := FIELD.fullmatch(line)) and field[1] in section.model_fields:
            found[field[1]] = " ".join([*above, field[2] or ""]).strip()
            above = []
        else:
            above = []
    return found


def _keys() -> Iterator[tuple[str, tuple[str, FieldInfo]]]:
    """Each dotted key with its comment and its field."""
    for name, field in Config.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            said = comments(kind)
            for key, own in kind.model_fields.items():
                yield f"{name}.{key}", (said.get(key, ""), own)
        else:
            yield name, (comments(Config).get(name, ""), field)


def _entry(name: str, said: str, field: FieldInfo) -> str:
    default = field.default
    shown = {None: "null", True: "true", False: "false"}.get(default, default)
    if isinstance(default, tuple):
        shown = list(default)
    expected = f"{expectation(field)}; {shown} by default"
    lines = [line for text in (said, expected) for line in textwrap.wrap(text, WIDTH - 4)]
    return "\n".join([name, *(f"    {line}" for line in lines)])


def expectation(field: FieldInfo) -> str:
    """What a value of a field must be, as error messages say it."""
    texts = [text for text in field.metadata if isinstance(text, str)]
    if texts:
        return texts[-1]
    kind = field.annotation
    return " or ".join(get_args(kind)) if get_origin(kind) is Literal else "text"
