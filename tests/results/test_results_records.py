"""Records come back as they were written, or it is said which line does not."""

import functools
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from results_records import record, refused
from subprocesses import ROOT, run_python

from impls.common.environment import machine_id
from impls.common.errors import Notice, UserError
from meanflow_repro import main
from results.reading import RecordError, read
from results.schema import FORMAT, RECORDS, append, digest, line, record_file


def file(folder, *records):
    path = folder / "bench-2026-01-01-000000.jsonl"
    append(records, path)
    return path


def test_records_come_back_as_they_were_written(tmp_path):
    written = [
        record(),
        record(value=None, interval=None, detail="it doesn't count…"),
        record(value=1e-300, settings={"of": "x", "lr": 1e-4, "n": 3}, protocol={"labels": "all"}),
        record(expected=11.4, tolerance=0.5, dtype="float32", value=-0.0),
    ]
    file(tmp_path, *written)
    found = read(tmp_path)
    assert [one.model_copy(update={"digest": ""}) for one in found] == written
    assert all(len(one.digest) == 16 for one in found)


def test_records_come_by_date_whatever_their_file(tmp_path):
    append([record(date="2026-01-03"), record(date="2026-01-02T23:00:00")], tmp_path / "a.jsonl")
    append([record(date="2026-01-02T23:30:00+01:00")], tmp_path / "b.jsonl")
    dates = [one.date[8:16] for one in read(tmp_path)]
    assert dates == ["02T23:30", "02T23:00", "03"]


def test_what_two_append_at_the_same_time_is_whole(tmp_path):
    """As the ablations of both frameworks do; a run is more than one buffer of a file."""
    runs = [[record(settings={"run": run, "point": i}) for i in range(60)] for run in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda records: append(records, tmp_path / "a.jsonl"), runs))
    assert [r.settings["point"] for r in read(tmp_path)] == [*range(60)] * 40


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_said_in_words(value, tmp_path):
    file(tmp_path, record(value=value, detail="du/dt"))
    (found,) = read(tmp_path)
    assert found.value is None
    assert found.interval is None
    assert found.detail == f"the value is {value}; du/dt"


@pytest.mark.parametrize(
    "changes",
    [
        {"interval": (1.3, 1.1)}, {"interval": (float("nan"), 1.0)}, {"date": "yesterday"},
        {"interval": (1.0, float("inf"))}, {"tolerance": float("inf")},
        {"settings": {"of": float("nan")}},
        {"what": "fid"}, {"subject": ""}, {"commit": ""}, {"valeu": 1.0},
    ],
)  # fmt: skip
def test_a_record_that_says_nothing_is_not_made(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        record(**changes)


# A disk that is full


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 16 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "none", disk]
    if (
        sys.platform != "linux"
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        pytest.skip("mounting a file system takes root on Linux")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_what_a_full_disk_refuses_of_one_takes_no_line_of_another(small_disk):
    def kept(run):
        try:
            append([record(settings={"run": run, "point": i}) for i in range(5)], path)
        except UserError:
            return None
        return run

    path = small_disk / "a.jsonl"
    with ThreadPoolExecutor(8) as pool:
        runs = {run for run in pool.map(kept, range(40)) if run is not None}
    assert 0 < len(runs) < 40
    assert {one.settings["run"] for one in read(small_disk)} == runs
    assert len(read(small_disk)) == 5 * len(runs)


LIMITED = """
import resource, sys
from pathlib import Path
from results_records import record
from results.schema import append
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
append([record(settings={"point": i}) for i in range(100)], Path(sys.argv[1]))
"""


def test_a_write_that_the_system_cuts_short_is_taken_back(tmp_path):
    """No file may grow beyond 5 kB: the kernel writes up to there and returns the count."""
    pytest.importorskip("resource")
    path = file(tmp_path, record())
    before = path.read_bytes()
    done = run_python("-c", LIMITED, path, PYTHONPATH=f"{ROOT}{os.pathsep}{ROOT / 'tests'}")
    assert f"cannot write to {path}: File too large; nothing was recorded" in done.stderr
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "records").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot write to .*a.jsonl: .*; nothing was recorded$"):
        append([record()], tmp_path / "records" / "a.jsonl")


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_torn_line_is_named_and_skipped_wherever_it_ends(end, tmp_path):
    text = line(record(detail="é…", interval=None, dtype="\x1f")).encode()
    whole = line(record(value=2.0, interval=None)).encode()
    path = tmp_path / "a.jsonl"
    for length in range(1, len(text)):
        path.write_bytes(whole + b"\n" + text[:length] + end)
        with pytest.warns(Notice, match=r"a\.jsonl, line 2 is only part of a record"):
            assert [one.value for one in read(tmp_path)] == [2.0]


def test_what_is_appended_begins_a_line_and_touches_nothing_that_is_there(tmp_path):
    whole, torn = line(record()), line(record(value=2.0))[:-9]
    path = file(tmp_path, record(value=2.5, interval=None))
    path.write_text(path.read_text() + whole)  # without a newline
    file(tmp_path, record(value=1.25))
    assert [one.value for one in read(tmp_path)] == [2.5, 1.2, 1.25]
    path.write_text(before := path.read_text() + torn)
    file(tmp_path, record(value=1.15))
    assert path.read_text().startswith(before)
    with pytest.warns(Notice, match="line 4"):
        assert [one.value for one in read(tmp_path)] == [2.5, 1.2, 1.25, 1.15]


def test_a_command_says_of_a_torn_line_what_to_do_and_goes_on(tmp_path, capsys):
    path = file(tmp_path, record())
    path.write_bytes(path.read_bytes() + line(record(value=2.0)).encode()[:-9])
    assert main(["results", "show", "--records", str(tmp_path)]) == 0
    printed, said = capsys.readouterr()
    assert "1.2" in printed
    assert said == (
        f"meanflow: {path}, line 2 is only part of a record, as a full disk leaves it, and is"
        " skipped: delete the line, and measure it again\n"
    )


# What is refused


def edited(is_signed=False, **changes):
    """An edit of fields, which `...` takes out; signed, as another program could write it."""

    def change(text):
        content = {k: v for k, v in (json.loads(text) | changes).items() if v is not ...}
        return json.dumps(content | ({"digest": digest(content)} if is_signed else {}))

    return change


signed = functools.partial(edited, True)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text[:200] + text, "is not JSON"),  # one that was glued to a torn one
        (lambda text: text[: text.index('{"of') + 1] + text, "is not JSON"),
        (lambda text: text[: text.index('{"of')] + text, "is not JSON"),
        (lambda text: text + "}", "is not JSON"),
        (lambda text: "[1]", "is [1], expected one JSON object"),
        (lambda text: "[" * 100_000, "nested too deep"),
        (lambda text: "<<<<<<< HEAD", "is left from a merge conflict"),
        (lambda text: text.replace("1.2", "NaN"), "NaN is not a number of JSON"),
        (lambda text: text.replace("1.2", "1e999"), "1e999 is beyond float64"),
        (lambda text: text.replace("1.2", "9" * 5000), "is not JSON"),
        (lambda text: text.replace("plain", "\\ud800"), "is not JSON"),
        (lambda text: text.replace('"unit"', '"value": 1.0, "unit"'), "value is given twice"),
        (lambda text: text.replace("plain", "pl\udc80in"), "is not JSON"),
        (edited(value=...), "the field value is missing"),
        (edited(format=...), "has no field format, expected 2"),
        (edited(digest=...), "has no digest"),
        (edited(format=FORMAT + 1), "update the project (git pull)"),
        (edited(format="2"), "has format '2', expected 2"),
        (edited(format=1), "has format 1, expected 2: restore the line"),
        (edited(value=1.1), "was changed after it was written"),
        (edited(digest="0" * 16), "its digest is 0000000000000000, that of what it says"),
        (signed(valeu=1), "valeu is not a field of a record; did you mean value?"),
        (signed(value="1.2"), "value is '1.2', expected a valid number"),
        (signed(value=10**400), "value is 1000"),
        (signed(interval=[1]), "interval is [1], expected two"),
        (signed(interval=[2, 1]), "interval is [2, 1], expected two numbers, the lower one first"),
        (signed(date="soon"), "date is 'soon', expected a date such as"),
        (signed(what="fid"), "what is 'fid', expected a kind and a quantity"),
        (signed(libraries={"numpy": 2}), "libraries.numpy is {'numpy': 2}, expected a valid str"),
        (signed(dirty=1), "dirty is 1, expected a valid boolean"),
    ],
)  # fmt: skip
def test_a_line_that_is_no_record_is_named(change, says, tmp_path, capsys):
    path = file(tmp_path, record(value=0.5, interval=None), record())
    first, second = path.read_text().splitlines()
    path.write_bytes(f"{first}\n{change(second)}\n".encode(errors="surrogateescape"))
    said = refused(capsys, "results", "show", "--records", tmp_path)
    assert says in said
    assert f"{path}, line 2" in said


@pytest.mark.parametrize("second", ["bench-2026-01-01-000000.jsonl", "z.jsonl"])
def test_the_same_record_twice_is_refused_with_both_places(second, tmp_path):
    path = file(tmp_path, record())
    append([record(value=2.0, interval=None), record()], tmp_path / second)
    match = rf"{second}, line [23] is the same record as {path}, line 1"
    with pytest.raises(RecordError, match=match):
        read(tmp_path)


def test_lines_in_another_order_say_the_same(tmp_path):
    """But among records of one date, of which the last counts as the newest."""
    days = [record(value=1.2 + day / 100, date=f"2026-01-0{day}") for day in range(1, 6)]
    path = file(tmp_path, *days)
    path.write_text("\n".join(reversed(path.read_text().splitlines())))
    assert [one.value for one in read(tmp_path)] == [one.value for one in days]


def test_a_line_written_otherwise_says_the_same(tmp_path):
    content = json.loads(line(record()))
    turned = dict(reversed(content.items()))
    (tmp_path / "a.jsonl").write_text(f"\n{json.dumps(turned, separators=(',', ':'))}\r\n\n")
    assert read(tmp_path)[0].value == 1.2


# Two people


def git(folder, *arguments):
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def test_files_of_two_machines_are_two_and_name_neither():
    path = record_file(Path("records"), "verify", "2026-01-31T12:00:00+00:00")
    assert path == Path(f"records/verify-2026-01-31-{machine_id()}.jsonl")
    assert len(machine_id()) == 6
    assert int(machine_id(), 16) >= 0


def test_lines_that_two_people_added_to_one_file_are_merged(tmp_path):
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / ".gitattributes").write_text((RECORDS / ".gitattributes").read_text())
    file(tmp_path, record())
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "one")
    git(tmp_path, "switch", "-qc", "theirs")
    file(tmp_path, record(value=1.25))
    git(tmp_path, "commit", "-qam", "theirs")
    git(tmp_path, "switch", "-q", "main")
    file(tmp_path, record(value=1.15))
    git(tmp_path, "commit", "-qam", "ours")
    git(tmp_path, "merge", "-q", "theirs")
    assert sorted(one.value or 0 for one in read(tmp_path)) == [1.15, 1.2, 1.25]
