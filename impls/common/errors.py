"""Errors that a user can cause, and notices of what a command passes over."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """The message is one sentence on one line; the command line ends with it and status 2."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class DataError(UserError):
    """Data that cannot be used."""


class NotInstalledError(UserError):
    """A package is missing that only this needs; the message says how to install it."""


class Notice(UserWarning):
    """One sentence on one line; the command line prints it to stderr and goes on."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?` for the known word nearest to an unknown one, or nothing."""
    near = difflib.get_close_matches(word, tuple(known), 1)
    return f"; did you mean {near[0]}?" if near else ""
