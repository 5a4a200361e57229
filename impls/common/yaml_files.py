"""YAML as the project reads it: one document, no key twice, no number that readers differ on.

YAML 1.1, which PyYAML and the official code read, takes 010 for 8 and 1:1:1 for 3661; YAML 1.2
takes them for 10 and for text. Such a number is refused, with what to write instead.
"""

import re
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped, unused-ignore]

from impls.common.errors import ConfigError, UserError, cut

LARGEST = 100_000  # bytes: a configuration has a few thousand
OCTAL = re.compile(r"[-+]?0[0-7_]+")
SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")


def read_yaml(path: Path, absent: str = "no file") -> object:
    """Read the one YAML document of a file; whatever is wrong with it becomes a ConfigError.

    Args:
        absent: what a path is said to be where nothing is.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ConfigError(f"{path} is larger than {LARGEST:,} bytes: pass a YAML file")
        return _parsed(content, f" in {path}")
    except ConfigError:
        raise
    except FileNotFoundError:
        raise ConfigError(f"{path} is {absent}") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}): pass a YAML file") from None
    except yaml.MarkedYAMLError as error:
        line = f" at line {error.problem_mark.line + 1}" if error.problem_mark else ""
        problem = str(error.problem)[:120]
        raise ConfigError(f"{path} is not valid YAML{line}: {problem}") from None
    # PyYAML lets plain exceptions out: on `!!bool maybe`, on lists nested a thousand deep.
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"[:120]
        raise ConfigError(f"{path} is not a YAML text file ({reason})") from error


def parse_yaml(text: str, key: str) -> object:
    """Read the value of a key, as it is given on the command line.

    Raises:
        UserError: when it is no YAML.
    """
    try:
        if len(text) > LARGEST:
            raise ConfigError(f"the value of {key} is longer than {LARGEST:,} characters")
        return _parsed(text, "", key)
    except ConfigError:
        raise
    except Exception as error:  # as above
        raise UserError(f"--set {key}={cut(text)}: the value is not readable YAML") from error


def _parsed(content: bytes | str, where: str, key: str = "") -> object:
    loader = yaml.SafeLoader(content)
    try:
        node = loader.get_single_node()
        _check(node, key, where, set())
        return loader.construct_document(node) if node else None
    finally:
        loader.dispose()


def _check(node: Any, key: str, where: str, seen: set[int]) -> None:
    """Refuse a key given twice, of which PyYAML keeps the last, and an ambiguous number.

    Args:
        key: the dotted key of which the node is the value.
        where: said of the key: ` in FILE`, or nothing.
        seen: nodes by their id, since an alias can make one the child of many, or of itself.
    """
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        _check_number(node, f"{key or 'the text'}{where}")
    elif isinstance(node, yaml.SequenceNode):
        for child in node.value:
            _check(child, key, where, seen)
    elif isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for child, value in node.value:
            word = child.value if isinstance(child, yaml.ScalarNode) else "?"
            dotted, line = f"{key}.{word}".removeprefix("."), child.start_mark.line + 1
            if dotted in lines and word != "?":
                both = f"lines {lines[dotted]} and {line}"
                raise ConfigError(f"{cut(dotted)}{where} is given twice ({both}): keep one of them")
            lines[dotted] = line
            _check(value, cut(dotted), where, seen)


def _check_number(node: yaml.ScalarNode, subject: str) -> None:
    written, kind = node.value, node.tag.rpartition(":")[2]
    if node.style is not None or kind not in ("int", "float"):
        return
    if not (OCTAL.fullmatch(written) or SEXAGESIMAL.fullmatch(written)):
        return
    read = str(yaml.safe_load(written))
    better = read if ":" in written else re.sub(r"0+(?=\d)", "", written.replace("_", ""), count=1)
    raise ConfigError(
        f"{subject} is {cut(written)}, which YAML 1.1 reads as {cut(read)}: write"
        f" {cut(better)}, or '{cut(written)}' in quotes for text"
    )
