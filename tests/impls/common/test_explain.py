"""`meanflow config --explain` says what every key means, in the words of the source."""

import pytest
from refusals import refusal

from impls.common.config import Config
from impls.common.config_files import effective_yaml, load_config
from impls.common.errors import ConfigError
from impls.common.explain import WIDTH, comments, explain
from meanflow_repro import main

SECTIONS = {
    name: field.annotation
    for name, field in Config.model_fields.items()
    if hasattr(field.annotation, "model_fields")
}
KEYS = [f"{name}.{key}" for name, section in SECTIONS.items() for key in section.model_fields]


def test_every_key_has_a_text_of_its_own_and_is_explained():
    for section in (*SECTIONS.values(), Config):
        said = comments(section)
        keys = [key for key in section.model_fields if key not in SECTIONS]
        assert [key for key in keys if len(said[key]) < len("width")] == []
    lines = explain().splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [*KEYS, "load_from", "eval_only"]
    assert [line for line in lines if len(line) > WIDTH] == []


def test_a_key_is_explained_with_what_it_may_be_and_its_default(capsys):
    assert main(["config", "--explain", "method.kappa"]) == 0
    assert capsys.readouterr().out == (
        "method.kappa\n"
        "    weight of the class-conditional prediction in v_g\n"
        "    a number from 0 up to but not 1; 0.5 by default\n"
    )
    assert explain("training.precision").endswith("float32 or bfloat16; float32 by default")
    assert explain("eval_only").endswith("true or false; false by default")
    assert "Which rows have r = t. first: the first" in explain("method.equal_rows")


def test_a_section_is_explained_key_by_key():
    names = [line for line in explain("fid").splitlines() if not line.startswith(" ")]
    assert names == [key for key in KEYS if key.startswith("fid.")]


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("kappa", "; did you mean method.kappa?"),
        ("method.kapa", "; did you mean method.kappa?"),
        ("trainig", "; did you mean training?"),
        ("", ""),
    ],
)
def test_what_is_no_key_is_refused_with_the_nearest(key, near):
    message = f"there is no key {key} in the configuration{near}"
    assert refusal(ConfigError, explain, key) == " ".join(message.split())


def test_without_explain_the_configuration_of_digits_is_printed(capsys):
    assert main(["config"]) == 0
    assert effective_yaml(load_config("digits")) in capsys.readouterr().out
