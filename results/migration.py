"""Records of format 1 carried over to format 2: `python -m results.migration FOLDER`, once.

Format 2 has a digest in each line, and fields of their own for the protocol and for the published
value. No number is changed, and what a record of format 1 does not say is not made up: the digest
vouches for a line from the day on which it was carried over, not before.
"""

from __future__ import annotations

import sys
from pathlib import Path

from impls.common.errors import UserError
from results.reading import parse, plain_content
from results.schema import FORMAT, Record, line


def carried_over(text: bytes, place: str) -> str:
    """A line in format 2: of format 1 with the same content, of format 2 as it is.

    Raises:
        RecordError: for a line that is a record of neither.
    """
    content = plain_content(text, place)
    if content.get("format") != 1:
        parse(text, place)
        return text.decode()
    record = Record.model_validate(content | {"format": FORMAT})
    made = line(record)
    kept = parse(made.encode(), place).model_dump(mode="json")
    changed = [name for name, value in content.items() if name != "format" and kept[name] != value]
    assert not changed, f"{place}: {changed} changed"
    return made


def migrate(folder: Path) -> list[Path]:
    """Write every file of a folder that has records of format 1 anew; returns those files."""
    written = []
    for file in sorted(folder.glob("*.jsonl")):
        lines = file.read_bytes().splitlines()
        made = [
            carried_over(text, f"{file}, line {number}")
            for number, text in enumerate(lines, start=1)
        ]
        if made != [text.decode() for text in lines]:
            file.write_text("".join(f"{text}\n" for text in made), encoding="utf-8")
            written.append(file)
    return written


def main(arguments: list[str]) -> int:
    """Carry the folders over that are named; returns the exit status."""
    try:
        for folder in arguments:
            for file in migrate(Path(folder)):
                sys.stdout.write(f"carried over {file}\n")
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
