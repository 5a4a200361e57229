"""Somebody's FID becomes a record if it is complete; otherwise the missing key is named."""

import datetime as dt
import json
import re

import pytest
import yaml
from results_records import TOLD, refused, told

from impls.common.config_files import config_hash, load_config
from meanflow_repro import main
from results.external import External, Protocol, template
from results.reading import parse, read
from results.schema import RECORDS

NAN, INF = float("nan"), float("inf")
TOMORROW = (dt.datetime.now(dt.UTC) + dt.timedelta(days=2)).date().isoformat()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "records").mkdir()
    return tmp_path / "records"


def added(path, folder):
    """The record that `meanflow results add` makes of a file: the last one of its folder."""
    assert main(["results", "add", str(path), "--records", str(folder)]) == 0
    (file,) = folder.iterdir()
    return parse(file.read_bytes().splitlines()[-1], "the last line")


def test_a_result_becomes_a_record(folder, tmp_path, capsys):
    given = told(tmp_path, commit="0123abc", notes="two seeds", interval=...)
    found = added(given, folder)
    assert "external:someone/port: FID 11.42 of mf_b4" in capsys.readouterr().out
    assert read(folder) == [found]
    assert (found.subject, found.what, found.value) == ("external:someone/port", "fid/fid", 11.42)
    assert found.settings == {
        "preset": "mf_b4", "epochs": 240, "num_steps": 1, "num_samples": 50_000,
        "framework": "torch", "weights": "EMA 0.9999", "url": "https://example.org/run",
    }  # fmt: skip
    assert found.protocol == TOLD["protocol"]
    assert (found.commit, found.dirty, found.python) == ("0123abc", False, "unknown")
    assert (found.device, found.detail, found.date) == ("8 x H100", "two seeds", "2026-01-31")
    assert found.interval is None
    assert found.config_hash == config_hash(load_config("mf_b4"))


def test_json_and_a_bare_date_are_read_too(folder, tmp_path):
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps(TOLD))
    assert added(path, folder).interval == (11.31, 11.53)
    text = yaml.safe_dump(TOLD | {"value": 12, "interval": [11, 13], "ema": "none"})
    assert "'2026-01-31'" in text
    path.write_text(text.replace("'2026-01-31'", "2026-02-01"))
    found = added(path, folder)
    assert (found.value, found.date, found.settings["weights"]) == (12, "2026-02-01", "params")


def test_what_nobody_tells_is_unknown(folder, tmp_path):
    unknown = dict.fromkeys(("preset", "epochs", "framework", "hardware", "ema"), "unknown")
    protocol = dict.fromkeys(Protocol.model_fields, "unknown")
    given = told(tmp_path, **unknown, protocol=protocol, date=..., interval=...)
    found = added(given, folder)
    assert (found.settings["preset"], found.settings["epochs"]) == ("unknown", "unknown")
    assert (found.config_hash, found.detail) == ("", "the date is that of adding")
    assert found.date == dt.datetime.now(dt.UTC).date().isoformat()


def test_the_same_result_is_taken_once_of_whichever_date(folder, tmp_path, capsys):
    added(told(tmp_path), folder)
    capsys.readouterr()
    given = told(tmp_path, date="2026-02-01")
    said = refused(capsys, "results", "add", given, "--records", folder)
    assert "is recorded already, as external:someone/port of 2026-01-31" in said
    assert len(read(folder)) == 1


def test_changes_are_of_the_configuration(folder, tmp_path, capsys):
    changes = {"training.batch_size": 1024, "method.kappa": 0.9}
    found = added(told(tmp_path, changes=changes), folder)
    assert found.settings["changes"] == "method.kappa=0.9 training.batch_size=1024"
    assert found.config_hash == config_hash(load_config("mf_b4", changes))
    given = told(tmp_path, changes={"training.batchsize": 1})
    said = refused(capsys, "results", "add", given, "--records", folder)
    assert "did you mean training.batch_size?" in said


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"protocol": TOLD["protocol"] | {"resizing": "x"}},
         "protocol.resizing in {} is not a key of a result; did you mean resize?"),
        ({"colour": "red"}, "colour in {} is not a key of a result, expected one of who, url,"),
        ({"preset": "mf_b3"}, "preset in {} is mf_b3, expected one of"),
        ({"preset": "mf_b"}, "did you mean mf_b"),
        ({"preset": "digits"}, "preset in {} is digits, of digits, which FID is not measured on"),
        ({"value": ...}, "value is missing in {}: add it (the FID, such as 11.42)"),
        ({"value": None}, "value in {} is empty, expected the FID"),
        ({"value": "11.4"}, "value in {} is '11.4', expected the FID, such as 11.42"),
        ({"value": -1.0, "interval": ...}, "value in {} is -1.0"),
        ({"value": NAN, "interval": ...}, "value in {} is nan"),
        ({"interval": [11.5, 11.6]}, "expected two numbers with the value 11.42 between them"),
        ({"interval": 11}, "interval in {} is 11, expected two numbers"),
        *(({"interval": bounds}, "two numbers with the value 11.42 between them, none below 0")
          for bounds in ([-1.0, 12.0], [11.5, 11.3], [10.0, 11.0])),
        *(({"interval": bounds}, "interval in {}")
          for bounds in ([-INF, INF], [NAN, 12.0], [11.0, NAN], [11.0, INF], [-INF, 12.0])),
        *(({"value": value}, "value in {} is") for value in (INF, -INF, 0.0, 1e300, 10**400)),
        ({"interval": ["a", "b"]}, "interval in {} is 'a', expected its 95 % interval"),
        ({"epochs": 0}, "epochs in {} is 0, expected how many epochs it was trained, or unknown"),
        ({"epochs": 80.5}, "epochs in {} is 80.5"),
        ({"num_samples": "50k"}, "num_samples in {} is '50k', expected"),
        ({"epochs": 10**30}, "how many epochs it was trained, or unknown, such as 240 (be less"),
        *(({"num_samples": count}, "published FIDs are of 50000") for count in (1, -5, 10**30)),
        *(({"ema": decay}, f"ema in {{}} is {decay}") for decay in (7.5, -1, 1.0, 0, NAN)),
        ({"who": "two words"}, "who in {} is 'two words', expected"),
        ({"url": "example.org"}, "url in {} is 'example.org', expected"),
        *(({"url": url}, "expected an address such as https://example.org/runs/mf_b4")
          for url in ("https://?", "http://", "https:///runs", "https://-", "https://example",
                      "https://example.org:port/", "https://[::1", "https://a.org/<script>",
                      'https://a.org/">', "https://a.org/`x`", "https://a.org/a|b")),
        ({"url": "https://example.org/" + "x" * 500}, "(have at most 500 characters)"),
        *(({"date": date}, "expected a day from 2015-01-01 to 2")
          for date in ("0001-01-01", "2014-12-31", "2099-01-01", "9999-12-31", TOMORROW)),
        *(({name: "x" * 201}, f"{name} in {{}} is 'xxx") for name in ("hardware", "commit")),
        ({"notes": "x" * 2001}, "notes in {} is 'xxx"),
        *(({"framework": text}, "expected text that can be printed")
          for text in (" ", "\x1b[2J", "a\x00", "\u202etorch")),
        (
            {"preset": "unknown", "changes": {"training.batch_size": 1}},
            "changes in {} need a preset",
        ),
        ({"date": "January"}, "date in {} is 'January', expected a date such as 2026-01-31"),
        ({"date": 3}, "date in {} is 3, expected a date"),
        ({"ema": True}, "ema in {} is True, expected the decay"),
        ({"protocol": ...}, "protocol is missing in {}: add it"),
        ({"protocol": "clean"}, "protocol in {} is 'clean', expected how it was measured"),
        ({"protocol": TOLD["protocol"] | {"resize": "cleen"}},
         "is 'cleen', expected legacy_tensorflow, clean or unknown; did you mean clean?"),
        ({"protocol": {"labels": "random"}}, "protocol.uint8 is missing in {}"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence(changes, says, folder, tmp_path, capsys):
    given = told(tmp_path, **changes)
    said = refused(capsys, "results", "add", given, "--records", folder)
    assert says.format(given) in said
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("preset", "changes", "told_otherwise", "says"),
    [
        ("mf_b4", {"training.num_epochs": 80}, {}, "epochs in {} is 240, but training.num_epochs"),
        ("mf_b4", {"training.num_epochs": 240}, {"epochs": 80}, "makes that 240: correct one of"),
        ("mf_b4", {"training.num_steps": 400_000}, {}, "its changes makes that 79.9"),
        ("mf_b4", {"training.ema_val": 0.999}, {}, "ema in {} is 0.9999, but training.ema_val"),
        ("mf_b4", {"sampling.num_steps": 2}, {}, "num_steps in {} is 1, but sampling.num_steps"),
        ("mf_b4", {"fid.num_samples": 10_000}, {}, "num_samples in {} is 50000, but"),
        ("cifar10", {"training.num_steps": 400_000}, {}, "makes that 8192"),
    ],
)  # fmt: skip
def test_a_run_that_its_changes_contradict_is_said(
    preset, changes, told_otherwise, says, folder, tmp_path, capsys
):
    given = told(tmp_path, preset=preset, changes=changes, **told_otherwise)
    said = refused(capsys, "results", "add", given, "--records", folder)
    assert says.format(given) in said
    assert list(folder.iterdir()) == []


def test_a_run_that_its_changes_confirm_is_taken(folder, tmp_path):
    changes = {"training.num_steps": 1_201_000, "training.ema_val": 0.999, "sampling.num_steps": 2}
    found = added(told(tmp_path, changes=changes, ema=0.999, num_steps=2), folder)
    assert found.settings["epochs"] == 240
    given = told(tmp_path, changes={"training.ema_val": 0.999}, ema="none", notes="two\nlines")
    assert added(given, folder).settings["weights"] == "params"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not a mapping"), ("- a", "is not a mapping"), ("1: 2", "is not a mapping"),
        ("a: [", "is not valid YAML at line 1"), ("who: a\nwho: b", "given twice (lines 1 and 2)"),
        ("\x00", "is not a YAML text file"), (None, "is no file"),
        (template(), "who in {} is empty, expected a name without spaces, of who measured it"),
    ],
)  # fmt: skip
def test_a_file_that_holds_no_result_is_one_sentence(text, says, folder, tmp_path, capsys):
    given = tmp_path / "theirs.yml"
    if text is not None:
        given.write_text(text)
    said = refused(capsys, "results", "add", given, "--records", folder)
    assert says.format(given) in said
    assert str(given) in said


# The template


def test_the_template_filled_in_with_its_examples_is_a_result(folder, tmp_path, capsys):
    assert main(["results", "template"]) == 0
    printed = capsys.readouterr().out
    assert printed == template()
    assert set(yaml.safe_load(printed)) == set(External.model_fields)
    filled = tmp_path / "filled.yml"
    filled.write_text(re.sub(r"(\w+:)  # .*; e\.g\. (.*)", r"\1 \2", printed))
    found = added(filled, folder)
    assert found.settings["changes"] == "training.batch_size=1024"
    assert found.commit == "0123abc"


def test_the_template_without_what_is_optional_is_a_result(folder, tmp_path):
    filled = tmp_path / "filled.yml"
    required = re.sub(r"(\w+:)  # (?!optional).*; e\.g\. (.*)", r"\1 \2", template())
    assert required.count("optional: ") == 5
    filled.write_text(required)
    assert added(filled, folder).interval is None


def test_a_folder_that_is_not_there_is_said(tmp_path, capsys):
    before = sorted(RECORDS.iterdir())
    said = refused(capsys, "results", "add", told(tmp_path), "--records", tmp_path / "absent")
    assert "absent, expected a folder of records" in said
    assert sorted(RECORDS.iterdir()) == before
