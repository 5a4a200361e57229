"""Whatever a configuration file or an option holds, it is read, or refused in one sentence."""

import datetime as dt
import math

import pytest
import yaml  # type: ignore[import-untyped, unused-ignore]
from hypothesis import example, given, settings
from hypothesis import strategies as st
from refusals import refusal

from impls.common.config import DATA_SETS, OTHER_DATA_SETS, Config
from impls.common.config_files import (
    ConfigError,
    config_hash,
    effective_yaml,
    load_config,
)
from impls.common.errors import UserError
from impls.common.yaml_files import LARGEST
from impls.data.loader import SOURCES
from impls.files.reading import root_folder
from meanflow_repro.options import overrides, spell_out

KEYS = [
    f"{name}.{key}" if hasattr(field.annotation, "model_fields") else name
    for name, field in Config.model_fields.items()
    for key in getattr(field.annotation, "model_fields", [name])
]


def loaded_or_refused(source, changes):
    """A configuration, or None where one sentence refuses it; nothing else is raised."""
    config, message = None, "one line when it is read"
    try:
        config = load_config(source, changes)
    except UserError as error:
        message = str(error)
    assert len(message.splitlines()) == 1
    assert len(message) < 400
    return config


def assert_survives(config, path):
    """A configuration is the same after it was written and read."""
    path.write_text(effective_yaml(config), encoding="utf-8")
    again = load_config(path)
    assert again == config
    assert config_hash(again) == config_hash(config)


@pytest.fixture(scope="session")
def file(tmp_path_factory):
    """A file with a short name, to be written again and again."""
    return tmp_path_factory.mktemp("c") / "c.yml"


ITSELF: list[object] = []
ITSELF.append(ITSELF)
DEEP: list[object] = []
for _ in range(50):
    DEEP = [DEEP, DEEP]  # 2^50 lists, should anybody write them out
HOSTILE = [
    None, True, math.nan, -math.inf, 1e308, 1e-320, 10**400, 16**5000, -1, 0, 2**31, 2**32,
    "", " ", "²", "٣", "010", "1_000", "1e-3", "1e400", "nan", "0x10",
    "\0", "a\0b", "\ud800", "\x85",
    "x" * 10**6, "x y " * 10**5, "9" * 5000, "~/x", "~nobody/x", b"5", b"\xff", {}, {"a": {"b": 1}},
    [], [[]], [None], {0.5}, (1, 0), [1.0, 0.5, 0.0], dt.date(2026, 1, 1), ITSELF, DEEP, object(),
    1 + 2j, "!!python/object:os.system {}", "&a [*a]", "null", "none", "on",
]  # fmt: skip
# By number: Hypothesis writes out what it samples from, and DEEP has no end.
VALUES = (
    st.integers(0, len(HOSTILE) - 1).map(HOSTILE.__getitem__)
    | st.floats()
    | st.integers()
    | st.text(max_size=9)
)


@given(key=st.sampled_from(KEYS), value=VALUES, more=st.booleans())
@settings(max_examples=150)
def test_any_value_of_any_key_is_taken_or_refused_in_one_sentence(file, key, value, more):
    changes = {key: value, "training.seed": 3} if more else {key: value}
    config = loaded_or_refused("digits", changes)
    if config is not None:
        assert_survives(config, file)


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_no_hostile_value_of_a_number_or_a_text_is_anything_but_one_sentence(file, value):
    for key in ("training.seed", "method.omega", "dataset.root", "training.ema_more", "eval_only"):
        config = loaded_or_refused("digits", {key: value})
        if config is not None:
            assert_survives(config, file)


SCALARS = st.sampled_from([
    "1", "-1", "1e-3", ".inf", ".nan", "1e400", "010", "08", "1:1:1", "1:1.5", "0x1F", "0b11",
    "yes", "Off", "~", "null", "2026-01-01", "2026-99-99", "²", "'\\0'", '"\\0"', '"\\ud800"',
    "*a", "&a [*a]", "&b {b: *b}", "!!python/object:os.system {}", "!!python/name:os.system",
    "!!binary aGk=", "!!set {a, b}", "!!int x", "!!bool maybe", "!x y", "[1, [2, {a: b}]]",
    "{a: 1, a: 2}", "? [1]", "<<: {seed: 1}", "|\n  text", "'", "[",
    "9" * 5000, "x" * 2000, "0x" + "f" * 5000,
])  # fmt: skip
NAMES = st.sampled_from([
    *KEYS, "training", "model", "base", "<<", "a.b", "", "? x", "0x" + "f" * 5000, "k" * 2000, "²",
    "~",
]).map(lambda key: key.rpartition(".")[2] or key)  # fmt: skip
LINES = st.lists(st.tuples(st.sampled_from(["", "  ", "    ", "\t", "- "]), NAMES, SCALARS))
TEXTS = LINES.map(
    lambda lines: "".join(f"{indent}{key}: {value}\n" for indent, key, value in lines)
)
ENCODINGS = st.sampled_from(["utf-8", "utf-16", "utf-32", "latin-1"])
FILES = (
    st.binary(max_size=60)
    | st.builds(lambda text, code: text.encode(code, "replace"), TEXTS, ENCODINGS)
    | st.tuples(st.sampled_from(KEYS), SCALARS).map(
        lambda pair: (
            "{}:\n  {}: {}\n".format(*pair[0].split(".")[:2], pair[1]).encode()
            if "." in pair[0]
            else f"{pair[0]}: {pair[1]}\n".encode()
        )
    )
)


@given(content=FILES)
@example(content=b"training: {seed: 1}" + b" " * LARGEST)
@example(content=b'method:\n equal_rows: "\\ud800"')
@example(content=b"x: &a [1, 2]\n" + b"".join(b"k%d: &a [*a, *a, *a]\n" % i for i in range(60)))
@settings(max_examples=120)
def test_any_file_is_read_or_refused_in_one_sentence(file, content):
    file.write_bytes(content)
    config = loaded_or_refused(file, {})
    if config is not None:
        assert_survives(config, file)


@given(key=st.sampled_from(KEYS), value=SCALARS | st.text(max_size=20))
@settings(max_examples=150)
def test_any_option_is_read_or_refused_in_one_sentence(key, value):
    changes, message = {}, ""
    try:
        changes = overrides([f"{key}={value}"])
    except UserError as error:
        message = str(error)
    assert len(message) < 400
    loaded_or_refused("digits", changes)


# What YAML 1.1 and YAML 1.2 read otherwise


@pytest.mark.parametrize(
    ("written", "read", "better"),
    [("010", 8, "10"), ("-012", -10, "-12"), ("1:1:1", 3661, "3661"), ("1:30.5", 90.5, "90.5")],
)
def test_a_number_that_readers_differ_on_is_refused_with_what_to_write(written, read, better, file):
    assert yaml.safe_load(written) == read
    says = f"is {written}, which YAML 1.1 reads as {read}: write {better}, or '{written}' in quotes"
    file.write_text(f"training: {{seed: {written}}}")
    assert refusal(ConfigError, load_config, file).startswith(f"training.seed in {file} {says}")
    assert refusal(ConfigError, overrides, [f"training.seed={written}"]).startswith(
        f"training.seed {says}"
    )
    file.write_text(f"load_from: '{written}'")
    assert load_config(file).load_from == written


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "Off"])
def test_words_for_true_and_false_are_no_text_without_quotes(word, file):
    file.write_text(f"dataset: {{root: {word}}}\nfid: {{on_training: {word}}}")
    message = refusal(ConfigError, load_config, file)
    assert "dataset.root" in message
    assert "in quotes where it looks like a number, a date or yes and no" in message
    file.write_text(f"dataset: {{root: '{word}'}}\nfid: {{on_training: {word}}}")
    config = load_config(file)
    assert (config.dataset.root, config.fid.on_training) == (word, word in ("yes", "on"))


# Options


def test_a_key_given_twice_on_the_command_line_is_refused():
    twice = ["--training.seed", "1", "--training.seed=2"]
    given_twice = spell_out(twice)[1::2]
    says = "training.seed is given twice on the command line: keep one of them"
    assert refusal(UserError, overrides, given_twice) == says
    assert refusal(UserError, overrides, ["load_from=a"], load_from="b").startswith("load_from is")


def test_a_tilde_is_the_home_but_null_as_the_value_of_a_key(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    asked = [
        "~/a",
        "--workdir=~/b",
        "--set",
        "load_from=~",
        "--training.num-steps",
        "~",
        "~no_such_user/c",
    ]
    assert spell_out(asked) == [
        "/home/somebody/a", "--workdir=/home/somebody/b", "--set", "load_from=~",
        "--set", "training.num_steps=~", "~no_such_user/c",
    ]  # fmt: skip
    assert overrides(["load_from=~"]) == {"load_from": None}


def test_a_tilde_in_a_configuration_is_the_home_where_it_is_used(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "run.yml").write_text("dataset: {root: ~/data, name: folder}")
    (tmp_path / "data").mkdir()
    config = load_config("~/run.yml")
    assert config.dataset.root == "~/data"  # as it was written: the same on every machine
    assert root_folder(config.dataset, "a folder") == tmp_path / "data"
    unknown = load_config("~/run.yml", {"dataset.root": "~no_such_user/data"})
    assert "which does not exist" in refusal(UserError, root_folder, unknown.dataset, "a folder")


def test_a_key_without_its_value_and_an_endless_argument_are_refused():
    assert "--training.seed has no value" in refusal(UserError, spell_out, ["--training.seed"])
    message = refusal(UserError, spell_out, ["--seed", "x" * 10_000])
    assert "has 10000 characters, expected 1000 at most" in message
    assert len(message) < 200
    assert spell_out(["--set", "x" * 10_000])[1] == "x" * 10_000  # cut where it is refused
    assert len(refusal(UserError, overrides, ["x" * 10_000])) < 400


def test_the_data_sets_of_a_configuration_are_those_that_can_be_read():
    assert set(DATA_SETS) == set(SOURCES)
    assert set(OTHER_DATA_SETS.values()) <= set(SOURCES)
    for name, kind in {
        **OTHER_DATA_SETS,
        "my_latents": "imgnet_latent",
        "digits": "digits",
    }.items():
        assert load_config("mf_b4", {"dataset.name": name}).dataset.kind == kind
