"""No number stands in the README or the report but a record's, a published one, or one of KINDS."""

from __future__ import annotations

import itertools
import re

import numbers_in_text as scan
import pytest
from results_records import fid, record

from results.published import published
from results.reading import read
from results.report.page import INDEX, page
from results.schema import Record
from results.tabulate.ablations import DISTANCE, GROUPS, SCORED
from results.tabulate.cells import NAMES, Said, Table
from results.tabulate.write import ALL

README = (scan.ROOT / "README.md").read_text(encoding="utf-8")
PAGE = INDEX.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return read()


def test_every_number_of_the_readme_is_vouched_for(records: list[Record]) -> None:
    assert scan.strange_in_readme(README, records) == []


def test_every_number_of_the_report_is_vouched_for(records: list[Record]) -> None:
    assert scan.strange_in_page(PAGE, records) == []


@pytest.mark.parametrize(
    "planted",
    [
        "Training takes 214 seconds.", "It is 1.37 times as fast.", "The FID is 11.36 then.",
        "Everything runs in a minute.", "That takes ten times as long.", "It ends at 3e-07.",
        "mf_b5 is another.", "Images are 9 pixels wide.", "It needs Python 3.10 or later.",
        "After 90 epochs it is done.", "A batch 77 is enough.", "It agrees to 99 %.",
        "60,000 images are made.", "As Table 9 says.", "Of seed 77 it is not known.",
    ],
)  # fmt: skip
def test_a_number_made_up_in_prose_is_found(planted: str, records: list[Record]) -> None:
    changed = README.replace("\n## Training\n", f"\n## Training\n\n{planted}\n")
    (found,) = scan.strange_in_readme(changed, records)
    assert found.startswith("prose: ")


def test_a_number_made_up_in_an_example_is_found(records: list[Record]) -> None:
    line = next(text for text in README.splitlines() if "jvp_matches_complex_step" in text)
    other = re.sub(r"\de-(\d\d)", lambda found: f"7e-{int(found[1]) + 3}", line, count=1)
    changed = README.replace(line, other)
    (found,) = scan.strange_in_readme(changed, records)
    assert found.startswith("example:  jvp_matches_complex_step")


def test_an_example_is_of_records_or_its_numbers_are_found(records: list[Record]) -> None:
    block = "```text\nstage   JAX\n images 6e-07\n```\n\n## Training\n"
    changed = README.replace("## Training\n", block)
    (found,) = scan.strange_in_readme(changed, records)
    assert found.startswith("text block: ")
    assert "6e-07" in found


@pytest.mark.parametrize("begin", ["| JAX | 42 |", "| mf_b4 | 80 |", "| jvp | ", "agrees: "])
def test_a_number_made_up_in_a_table_is_found(begin: str, records: list[Record]) -> None:
    line = next(text for text in README.splitlines() if text.startswith(begin))
    last = [*re.finditer(r"\d", line)][-1].start()
    made_up = str((int(line[last]) + 1) % 10)
    (found,) = scan.strange_in_readme(
        README.replace(line, line[:last] + made_up + line[last + 1 :]), records
    )
    assert begin in found


def test_a_number_typed_into_what_makes_a_table_is_found(records: list[Record]) -> None:
    one = fid()
    good = Table(["of", "FID"], [["mf_b4", Said("11.40 (11.36 to 11.44)", (one,))]])
    assert [*scan.strange_in_table(good, [one])] == []
    for cell in ("11.40", Said("11.41", (one,)), Said("11.40 (11.35 to 11.44)", (one,))):
        assert [*scan.strange_in_table(Table(["of", "FID"], [["mf_b4", cell]]), [one])] != []


def test_a_comment_in_a_block_of_commands_is_prose(records: list[Record]) -> None:
    changed = README.replace("# what each check says", "# what each of 124 checks says")
    (found,) = scan.strange_in_readme(changed, records)
    assert found.startswith("bash block: ")


# The report


def test_a_number_made_up_in_the_report_is_found(records: list[Record]) -> None:
    links = [*re.finditer(r'<td><a [^>]*href="#\w+"[^>]*>(\d\.\d\d) \(', PAGE)]
    assert links
    start, end = links[0].span(1)
    changed = PAGE[:start] + "9.99" + PAGE[end:]
    assert [found for found in scan.strange_in_page(changed, records) if "9.99" in found]


def test_a_number_that_leads_to_another_record_is_found(records: list[Record]) -> None:
    found = re.search(r'<td><a href="#(\w+)" title="[^"]*">\d\.\d\d \(', PAGE)
    other = next(r for r in records if r.what.startswith("verify/") and not r.value)
    assert found
    changed = PAGE.replace(f'<td><a href="#{found[1]}"', f'<td><a href="#{other.digest}"')
    assert scan.strange_in_page(changed, records) != []


@pytest.mark.parametrize("place", ["</h1>", "</h2>", '<p class="note">'])
def test_a_number_made_up_around_the_tables_is_found(place: str, records: list[Record]) -> None:
    changed = PAGE.replace(place, f"{place}<p>That takes 214 seconds.</p>", 1)
    (found,) = scan.strange_in_page(changed, records)
    assert "214" in found


def test_a_row_that_is_not_its_record_is_found(records: list[Record]) -> None:
    row = re.search(r'id="(\w+)">.*?<span class="number">(\d\.\d{4,})</span>', PAGE)
    assert row
    changed = PAGE[: row.start(2)] + "8.76543" + PAGE[row.end(2) :]
    assert scan.strange_in_page(changed, records) == [f"records: 8.76543 of {row[1]}"]


def test_scores_that_are_not_committed_yet_are_vouched_for_too(records: list[Record]) -> None:
    theirs = {"framework": "torch", "url": "https://example.org/x", "weights": "EMA 0.9995"}
    gpu = {
        "machine": {"processor": "x", "device": "NVIDIA H200"}, "dtype": "float32",
        "settings": {"of": "DiT_B_4 batch 256", "model": "DiT_B_4", "batch_size": 256},
    }  # fmt: skip
    more = [
        record(what="bench/images_per_second", value=912.3, digest="3" * 16, **gpu),
        record(what="bench/peak_bytes", value=11.26e9, interval=None, digest="4" * 16, **gpu),
        *ablation_runs(), *records, fid(digest="0" * 16),
        fid(digest="1" * 16, dirty=True, value=11.5, interval=None),
        fid(digest="2" * 16, subject="external:a/port", settings=theirs, interval=None),
    ]  # fmt: skip
    assert scan.strange_in_page(page(more), more) == []
    for name, make in ALL.items():
        assert [*scan.strange_in_table(make(more), more)] == [], name


def ablation_runs() -> list[Record]:
    """A distance for each preset, seed and framework; one preset came to nothing."""
    presets = sorted({str(number.small) for group in GROUPS for number in published(group)})
    runs = itertools.product(NAMES, presets, (42, 43, 44))
    return [
        record(
            subject=subject, what=DISTANCE, interval=None, digest=f"{place:016x}",
            value=None if preset.endswith("v10") else 2 + place * 7.13 % 20,
            settings={"preset": preset, "training_seed": seed, "training_step": 1800, **SCORED},
        )
        for place, (subject, preset, seed) in enumerate(runs, start=1)
    ]  # fmt: skip


# The kinds


@pytest.mark.parametrize("name", scan.KINDS)
def test_a_kind_has_a_reason_and_is_needed(name: str, records: list[Record]) -> None:
    assert scan.KINDS[name].reason
    others = {key: kind for key, kind in scan.KINDS.items() if key != name}
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(scan, "KINDS", others)
        found = scan.strange_in_readme(README, records)
        found += [s for make in ALL.values() for s in scan.strange_in_table(make(records), records)]
        assert found or scan.strange_in_page(PAGE, records)
