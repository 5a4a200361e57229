"""Recognition of failed downloads: an HTML page, a Git LFS pointer, an empty file."""

from pathlib import Path

PAGE = "a web page, not the file itself"
BEGINNINGS = {
    b"<!doctype html": PAGE,
    b"<html": PAGE,
    b"<?xml": PAGE,
    b"version https://git-lfs": "a Git LFS pointer, not the file, which git lfs pull fetches",
}
LONGEST = max(map(len, BEGINNINGS))


def not_the_file(file: Path) -> str | None:
    """Kind of a failed download: a web page, a pointer, empty, absent; None for anything else.

    Returns:
        The end of a sentence that begins with "FILE is …".
    """
    if not file.is_file():
        return "not there"
    try:
        with file.open("rb") as opened:
            start = opened.read(LONGEST + 64).lstrip().lower()
    except OSError as error:
        return f"not readable ({error.strerror or error})"
    if not start:
        return "empty"
    return next((what for begin, what in BEGINNINGS.items() if start.startswith(begin)), None)
