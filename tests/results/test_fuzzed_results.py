"""Records and external results with any damage are refused in one line, or read as before."""

import json
import math
import warnings

import pytest
import yaml
from damage import DAMAGE, damaged, edits, refused_or_read
from hypothesis import given, settings
from hypothesis import strategies as st
from results_records import TOLD, fid, record

from impls.common.errors import Notice
from results.compare import newest
from results.external import add
from results.reading import parse, read
from results.schema import digest, line
from results.show import print_records
from results.tabulate.cells import markdown
from results.tabulate.write import ALL

WRITTEN = [
    record(detail="é… | `x`"), fid(), fid(subject="external:someone/port", interval=None),
    record(value=None, interval=None, what="verify/jvp/x", tolerance=1e-6, dtype="float64"),
]  # fmt: skip
LINES = [line(one).encode() for one in WRITTEN]
DIGESTS = {json.loads(text)["digest"]: text for text in LINES}


@given(DAMAGE)
def test_a_damaged_file_of_records_loses_no_line_without_a_word(tmp_path_factory, damage):
    """But one that is gone as a whole, which git shows."""
    folder = tmp_path_factory.mktemp("records")
    content = damaged(b"\n".join(LINES) + b"\n", damage)
    (folder / "a.jsonl").write_bytes(content)
    found = []
    with warnings.catch_warnings(record=True) as notices:
        warnings.simplefilter("always", Notice)
        is_read = refused_or_read(lambda: found.extend(read(folder)), str(folder / "a.jsonl"))
    if not is_read:
        return
    for one in found:
        assert json.loads(line(one)) == json.loads(DIGESTS[one.digest])
    whole = [text for text in content.split(b"\n") if text.strip()]
    assert len(found) + len(notices) == len(whole)


@st.composite
def edited(draw):
    """A record with any value in it changed, with the digest of what it then says where it can."""
    content = draw(edits(json.loads(draw(st.sampled_from(LINES)))))
    if draw(st.booleans()):
        try:
            content["digest"] = digest(content)
        except ValueError:  # infinite, which no digest is of
            content["digest"] = "0" * 16
    return content


@given(edited())
def test_a_record_with_any_value_changed_is_refused_or_can_be_shown(content):
    """Another program may have signed it: then it says something else, and breaks nothing."""
    text, found = json.dumps(content), []
    place = "a.jsonl, line 1"
    if not refused_or_read(lambda: found.append(parse(text.encode(), place)), place):
        return
    assert digest(json.loads(text)) == found[0].digest
    for number in (found[0].value, *(found[0].interval or ()), found[0].tolerance):
        assert number is None or math.isfinite(number)
    assert json.loads(line(found[0])) == json.loads(line(parse(line(found[0]).encode(), place)))
    print_records(newest([found[0], *WRITTEN]).values())


@settings(max_examples=50)
@given(edits(TOLD | {"notes": "x", "changes": {"training.batch_size": 512, "method.omega": 2.0}}))
def test_a_result_of_somebody_with_any_value_changed_is_refused_or_a_record(
    tmp_path_factory, content
):
    folder = tmp_path_factory.mktemp("told")
    path, records = folder / "theirs.yml", folder / "records"
    try:
        path.write_text(yaml.safe_dump(content, allow_unicode=True))
    except (UnicodeEncodeError, ValueError):  # half a character, a number too long to be written
        return
    records.mkdir()
    if not refused_or_read(lambda: add(path, records), str(path)):
        assert list(records.iterdir()) == []
        return
    (found,) = read(records)
    low, high = found.interval or (found.value, found.value)
    assert 0 <= low <= found.value <= high < math.inf
    for make in ALL.values():
        table = make([found])
        rows = [row for row in markdown(table).splitlines() if row.startswith("| ")]
        assert len(rows) == 1 + len(table.rows)


@settings(max_examples=50)
@given(DAMAGE)
def test_a_damaged_result_of_somebody_is_refused_or_a_record(tmp_path_factory, damage):
    folder = tmp_path_factory.mktemp("told")
    path, records = folder / "theirs.yml", folder / "records"
    path.write_bytes(damaged(yaml.safe_dump(TOLD).encode(), damage))
    records.mkdir()
    if refused_or_read(lambda: add(path, records), str(path)):
        assert len(read(records)) == 1


@pytest.mark.parametrize("depth", [100, 1000, 100_000])
def test_a_result_nested_however_deep_is_refused(depth, tmp_path):
    path = tmp_path / "theirs.yml"
    path.write_text("who: " + "[" * depth)
    assert not refused_or_read(lambda: add(path, tmp_path), str(path))
