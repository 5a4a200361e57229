"""What a downloaded file really is, when it is not what its name says."""

from __future__ import annotations

from pathlib import Path

BEGINNINGS = {
    b"<!doctype html": "a web page, saved in place of the file",
    b"<html": "a web page, saved in place of the file",
    b"<?xml": "an XML page, saved in place of the file",
    b"version https://git-lfs": "a Git LFS pointer: fetch the file itself with git lfs pull",
}
LONGEST = max(map(len, BEGINNINGS))


def not_the_file(file: Path) -> str | None:
    """What a file is instead of data: a web page, a pointer, empty, absent; None when it may be it.

    Returns:
        The end of a sentence that begins with "FILE is …".
    """
    if not file.is_file():
        return "not there"
    with file.open("rb") as opened:
        start = opened.read(LONGEST + 64).lstrip().lower()
    if not start:
        return "empty"
    return next((what for begin, what in BEGINNINGS.items() if start.startswith(begin)), None)
