"""Numbers that a text says and that nothing vouches for: no record, no published number, no kind.

What vouches is the first of these: in a table or an example, the records and published numbers
behind it (and the line must be the one that they make); in prose, a published number as it was
printed; else one of KINDS, numbers that are no outcomes, most of which are looked up.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import NamedTuple

from impls.common.config_files import load_config, preset_names
from meanflow_repro.verify import NUM_SETTINGS
from results.compare import machine_name, passes
from results.published import Published, all_published, one_seed
from results.schema import Record
from results.tabulate.cells import Said, Table, markdown, pieces, with_footnote
from results.tabulate.example import example
from results.tabulate.reproduction import ROWS
from results.tabulate.write import ALL, BENCHED
from results.verdict import IMAGES_PER_EPOCH, PUBLISHED_SAMPLES
from verify.registry import all_checks

ROOT = Path(__file__).parent.parent
NUMBER = re.compile(r"\d+(?:[.,]\d+)*(?:e[+-]?\d+)?")
AMOUNT = r"an?|one|two|three|four|five|six|seven|eight|nine|ten|twenty|thirty|hundred|thousand"
DURATION = re.compile(
    rf"\b(?<!images )(?<!FLOPs )(?:{AMOUNT})\s+(?:seconds?|minutes?|hours?|days?|weeks?|times)\b"
)
CODE = {
    "code": r"`[^`]*`",  # what one types: options and their values, names, no outcome
    "address": r"\]\([^)]*\)|https?://[^\s)]+",
}
SCALES = (1.0, 100.0, 1e-9, 1 / 60)  # as it is, in percent, in GB, in minutes


class Kind(NamedTuple):
    """Numbers that are no outcomes; what `known` says of a match must be true."""

    reason: str
    pattern: str
    known: Callable[[re.Match[str], list[Record]], bool]


@functools.cache
def _names() -> frozenset[str]:
    """Words that are names: of presets, networks, types, data sets, devices and sources."""
    words = ["float64", "float32", "uint8", "bfloat16", "MF-B/4", "DiT-B/4"]
    words += preset_names()
    words += [str(BENCHED["model"]), *map(str, _configured("model", "cls"))]
    for number in all_published():
        for said in (*number.setting.values(), number.source.title, number.place):
            words += re.findall(r"[\w/-]+", str(said))
    return frozenset(words)


@functools.cache
def _configured(section: str, key: str) -> frozenset[object]:
    """The values of a key in the presets."""
    return frozenset(getattr(getattr(load_config(n), section), key) for n in preset_names())


def _python(found: re.Match[str], _: list[Record]) -> bool:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return bool(project["requires-python"] == f">={found[1]}")


def _has_setting(name: str) -> Callable[[re.Match[str], list[Record]], bool]:
    return lambda found, records: found[1] in {str(r.settings.get(name)) for r in records}


def _batch(found: re.Match[str], records: list[Record]) -> bool:
    configured = _configured("training", "batch_size")
    measured = {record.settings.get("batch_size") for record in records}
    said = {number.setting.get("batch") for number in all_published()}
    return int(found[1]) in configured | measured | said | {BENCHED["batch_size"]}


def _epochs(found: re.Match[str], _: list[Record]) -> bool:
    known = {row.epochs for row in ROWS} | {number.epochs for number in all_published()}
    return {int(one) for one in NUMBER.findall(found[0])} <= known


def _steps(found: re.Match[str], _: list[Record]) -> bool:
    return found[0] == f"{IMAGES_PER_EPOCH // int(found[1]):,} steps of batch {found[1]}"


def _dated(found: re.Match[str], records: list[Record]) -> bool:
    return any(
        found[0] == f"{r.date[:10]}, commit {r.commit[:7]}, {machine_name(r)}" for r in records
    )


KINDS = {
    "name": Kind("digits within a name of a network, preset, type, data set or device",
                 r"(?<![\w/.-])[A-Za-z_]\w*(?:[-/]\w+)*", lambda found, _: found[0] in _names()),
    "title": Kind("the title of a published source, with its year",
                  "|".join({re.escape(number.source.title) for number in all_published()}),
                  lambda *_: True),
    "place": Kind("a table of a published source, which numbers are known of",
                  r"Table \d+(?: \([a-z]\))?",
                  lambda found, _: any(n.place.startswith(found[0]) for n in all_published())),
    "article": Kind("the number of the paper, which is its address", r"arXiv (\d{4}\.\d{5})",
                    lambda found, _: any(found[1] in n.source.url for n in all_published())),
    "version": Kind("the Python that pyproject.toml asks for", r"Python (\d+\.\d+) or later",
                    _python),
    "exit status": Kind("what a command returns, by its contract",
                        r"exit status is 0 when[\w\s]+ and 1 when", lambda *_: True),
    "level": Kind("how sure an interval is: its definition",
                  r"95 % (?:bootstrap )?intervals?", lambda *_: True),
    "image size": Kind("pixels of the data set", r"8 x 8",
                       lambda found, _: found[0] == f"{load_config('digits').dataset.image_size} x"
                       f" {load_config('digits').dataset.image_size}"),
    "classes": Kind("labels of the data set", r"digits 0 to (\d)",
                    lambda found, _: {int(found[1]) + 1} < _configured("dataset", "num_classes")),
    "seed": Kind("which run, by a setting of its records", r"seed (\d+)",
                 _has_setting("training_seed")),
    "settings": Kind("the default of an option", r"(\d+) random settings",
                     lambda found, _: int(found[1]) == NUM_SETTINGS),
    "samples": Kind("how many every published FID is of, which is what is asked for",
                    r"50,000 (?:images|samples)|of other than 50,000 samples",
                    lambda found, _: f"{PUBLISHED_SAMPLES:,}" in found[0]),
    "epochs": Kind("of a preset or of a published number: what to train, not what came out",
                   r"\d+-? (?:or \d+)?(?:-epoch| epochs)|\d+- or \d+-epoch", _epochs),
    "batch": Kind("of a configuration, or of a bench's records", r"batch (\d+)", _batch),
    "steps": Kind("arithmetic of the data set's size and the batch",
                  r"\d+,\d+ steps of batch (\d+)", _steps),
    "one seed": Kind("the published share that a verdict allows", r"1\.3 %",
                     lambda found, _: found[0] == f"{100 * one_seed():.1f} %"),
    "origin": Kind("date, commit and machine of a record",
                   r"\d{4}-\d\d-\d\d, commit \w{7}, .+?(?=; \d{4}-|\)\.)", _dated),
}  # fmt: skip


def strange_in_prose(said: str, records: list[Record]) -> Iterator[str]:
    """Numbers of prose, in their context, that are neither published nor of a known kind."""
    for pattern in CODE.values():
        said = re.sub(pattern, " ", said)
    spans = [
        found.span()
        for kind in KINDS.values()
        for found in re.finditer(kind.pattern, said)
        if kind.known(found, records)
    ]
    for found in [*NUMBER.finditer(said), *DURATION.finditer(said)]:
        start, end = found.span()
        places = len(found[0].partition(".")[2])
        is_printed = places > 0 and any(
            places <= number.places and _says(found[0], number.value) for number in all_published()
        )
        if not is_printed and not any(a <= start and end <= b for a, b in spans):
            yield said[max(0, start - 30) : end + 20].replace("\n", " ")


def strange_in_table(table: Table, records: list[Record]) -> Iterator[str]:
    """Numbers of a table that do not follow from what their cells name."""
    settings = {str(value) for row in ROWS for value in row}
    settings |= {str(value) for record in records for value in record.settings.values()}
    yield from strange_in_prose(" | ".join(table.heads), records)
    for part in [p for row in table.rows for cell in row[: table.num_labels] for p in pieces(cell)]:
        if isinstance(part, Said):
            yield from strange_of(part)
        elif part not in settings:
            yield from strange_in_prose(part, records)
    outcomes = [cell for row in table.rows for cell in row[table.num_labels :]]
    for part in [part for cell in (*outcomes, *table.notes) for part in pieces(cell)]:
        if isinstance(part, str):
            yield from strange_in_prose(part, records)
        else:
            yield from strange_of(part)


def strange_of(said: Said) -> Iterator[str]:
    """Numbers of a text that are not those of its sources, as precise as they are printed."""
    rest = re.sub(r"`[^`]*`|mf_\w+", "", said.text)  # names
    checked = [source for source in said.sources if isinstance(source, Record)]
    counts = {len(checked), len({r.what for r in checked}), sum(map(passes, checked))}
    for token in NUMBER.findall(rest):
        derived = token in _derived(said) or token in map(str, counts)
        if not derived and not any(follows(token, s) for s in said.sources):
            yield said.text


def _derived(said: Said) -> list[str]:
    """Numbers of a text that what makes the table computed from its sources."""
    tokens = NUMBER.findall(said.text)
    return [token for token in tokens if any(_says(token, abs(n)) for n in said.derived)]


def _told(said: Said) -> list[str]:
    """Numbers of a text that are published, though a record is where its link leads."""
    told = [source for source in said.sources if isinstance(source, Published)]
    return [token for token in NUMBER.findall(said.text) if any(follows(token, n) for n in told)]


def follows(token: str, source: Record | Published) -> bool:
    """Whether a number is one of a record or published number, rounded as it is printed."""
    said = source.setting if isinstance(source, Published) else source.settings | source.protocol
    numbers = [float(n) for n in said.values() if not isinstance(n, str)]
    about = (source.dtype, source.device) if isinstance(source, Record) else ()
    told = NUMBER.findall(" ".join(map(str, (*said.values(), *about))))
    if isinstance(source, Published):
        numbers += [source.value, float(source.epochs or 0)]
    elif source.value is not None:
        numbers += [source.value, *(source.interval or ())]
        numbers += [source.tolerance, source.value / source.tolerance] if source.tolerance else []
        numbers += [abs(source.value / source.expected - 1)] if source.expected else []
    return token in told or any(_says(token, n * scale) for n in numbers for scale in SCALES)


def _says(token: str, number: float) -> bool:
    plain = token.replace(",", "")
    mantissa, exponent, _ = plain.partition("e")
    places = len(mantissa.partition(".")[2])
    return f"{number:.{places}{'e' if exponent else 'f'}}" == plain or float(plain) == number


def strange_in_readme(readme: str, records: list[Record]) -> list[str]:
    """Numbers of the README, each with its place, that nothing vouches for."""
    found: list[str] = []
    tables = {name: with_footnote(make(records)) for name, make in ALL.items()}
    made = {name: markdown(table) for name, table in tables.items()} | {"example": example(records)}
    block = re.compile(r"<!-- table (\w+) -->(.*?)<!-- end -->", re.DOTALL)
    for name, content in block.findall(readme):
        wanted = made[name].splitlines()
        lines = [line for line in content.splitlines() if line not in wanted]
        found += [f"{name}: {line}" for line in lines if NUMBER.search(line)]
        if name in tables:
            found += [f"{name}: {said}" for said in strange_in_table(tables[name], records)]
    rest = block.sub("", readme)
    fence = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
    for kind, content in fence.findall(rest):
        prose = content
        if kind in ("bash", "python"):  # what one types is code, what a comment says is prose
            prose = "\n".join(line.partition("# ")[2] for line in content.splitlines())
        found += [f"{kind} block: {said}" for said in strange_in_prose(prose, records)]
    prose = re.sub(r"^    .*", "", fence.sub("", rest), flags=re.MULTILINE)
    return found + [f"prose: {said}" for said in strange_in_prose(prose, records)]


# The report


def strange_in_page(page: str, records: list[Record]) -> list[str]:
    """Numbers of the report that do not follow from where they lead, or are of no known kind."""
    body = re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.DOTALL)
    sections = re.findall(r'<section id="(\w+)".*?>(.*?)</section>', body, re.DOTALL)
    found = [f"page: {s}" for s in strange_in_prose(_plain(body.split("<section")[0]), records)]
    known = {record.digest: record for record in records}
    titles = {number.source.title for number in all_published()}
    counts = {
        str(count)
        for make in ALL.values()
        for row in make(records).rows
        for cell in row
        for part in pieces(cell)
        if isinstance(part, Said)
        for count in (
            len(part.sources), len({getattr(s, "what", "") for s in part.sources}),
            *_derived(part), *_told(part),
        )
    }  # fmt: skip
    for name, section in sections:
        if name == "records":
            found += [f"records: {said}" for said in _strange_rows(section, known)]
            continue
        for target, shown in re.findall(r'<a[^>]* href="([^"]+)"[^>]*>(.*?)</a>', section):
            found += [
                f"{name}: {shown}"
                for token in NUMBER.findall(re.sub(r"<code>.*?</code>|mf_\w+", "", shown))
                if unescape(shown) not in titles
                and token not in counts
                and not _leads_to(token, target, known)
            ]
        rest = re.sub(r"<a .*?</a>", "", section)
        found += [f"{name}: {said}" for said in _strange_cells(name, rest, records)]
    return found


def _strange_cells(name: str, section: str, records: list[Record]) -> Iterator[str]:
    """What stands in no link: heads, what rows are of, sentences of checks, notes."""
    sentences = {_plain(check.sentence) for check in all_checks().values()}
    settings = {str(value) for row in ROWS for value in row}
    settings |= {str(value) for record in records for value in record.settings.values()}
    for cell in re.split(r"</?(?:t[hdr]|p|h2|button)\b[^>]*>", section):
        said = _plain(re.sub(r"<code>.*?</code>", "", cell)).strip()
        is_label = said in settings or said in sentences
        if not is_label:
            yield from strange_in_prose(said, records)


def _strange_rows(section: str, known: dict[str, Record]) -> Iterator[str]:
    """Rows of records whose numbers are not those of the record that they are."""
    for digest, row in re.findall(r'<tr>.*?id="(\w+)">(.*?)</tr>', section):
        record = known[digest]
        bounds = [f"{bound:.4g}" for bound in record.interval or ()]
        value = "" if record.value is None else f"{record.value:.6g}"
        told = [digest[:8], value, *bounds, *map(str, record.model_dump().values())]
        told = NUMBER.findall(" ".join([*told, record.commit[:7], record.date[:10]]))
        for token in NUMBER.findall(_plain(row)):
            if token not in told:
                yield f"{token} of {digest}"


def _leads_to(token: str, target: str, known: dict[str, Record]) -> bool:
    if target.startswith("#"):
        return target[1:] in known and follows(token, known[target[1:]])
    return any(follows(token, n) for n in all_published() if n.source.url == target)


def _plain(content: str) -> str:
    """HTML without its tags."""
    return unescape(re.sub(r"<[^>]*>", " ", content))
