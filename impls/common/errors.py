"""Errors that a user can cause, and notices of what a command passes over."""

import difflib
from collections.abc import Iterable

LONGEST_WORD, LONGEST_MESSAGE = 300, 1200  # characters: a path is a word


class UserError(ValueError):
    """The message is one sentence on one line; the command line ends with it and status 2.

    Whatever a user has given, the message does not fill the terminal: long words are cut.
    """

    def __init__(self, message: str) -> None:
        words = (cut(word, LONGEST_WORD) for word in message.split())
        super().__init__(cut(" ".join(words), LONGEST_MESSAGE))


class ConfigError(UserError):
    """A configuration that cannot be used; the message is one sentence on one line."""


class MismatchError(ValueError):
    """Raised inside a configuration for what a single key cannot know: (dotted key, got, expected).

    The reader of the configuration makes a `ConfigError` of it.
    """


class DataError(UserError):
    """Data that cannot be used."""


class NotInstalledError(UserError):
    """A package is missing that only this needs; the message says how to install it."""


class DoesNotFitError(UserError):
    """A program that needs more memory than the device has."""


class Notice(UserWarning):
    """One sentence on one line; the command line prints it to stderr and goes on."""


def cut(text: str, most: int = 80) -> str:
    """Text of at most so many characters: where it has more, its middle is left out."""
    if len(text) <= most:
        return text
    end = most // 4
    return f"{text[: most - end - 3]}...{text[-end:]}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?` for the known word nearest to an unknown one, or nothing."""
    near = difflib.get_close_matches(word[:LONGEST_WORD], tuple(known), 1)
    return f"; did you mean {near[0]}?" if near else ""
