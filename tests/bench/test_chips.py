"""Chips and machines by name, with their published peaks."""

import pytest
import yaml
from refusals import refusal

from bench.chips import FILE, all_chips, chip, machine
from impls.common.errors import UserError


def test_every_chip_has_a_source_and_dense_peaks():
    for name, about in yaml.safe_load(FILE.read_text())["chips"].items():
        found = chip(name)
        assert found.url.startswith("https://")
        assert found.place
        assert about["sure"] in ("A", "C")
        assert found.peak_flops == found.peak("bfloat16") >= found.peak("tf32")
        assert 100e12 < found.peak_flops < 1e15
        assert 100 < found.peak_flops / found.bandwidth < 600  # FLOPs per byte: units are right
        assert (found.topology or name).startswith(name)


@pytest.mark.parametrize(
    ("name", "of", "num_chips"),
    [
        ("v3-256", "v3", 128),  # the name counts cores
        ("v4-8", "v4", 4),
        ("v5p-128", "v5p", 64),
        ("v5e-256", "v5e", 256),  # the name counts chips
        ("V6E-8", "v6e", 8),
        ("8xH200", "h200", 8),
        ("1xa100", "a100", 1),
        ("h100", "h100", 1),
    ],
)
def test_a_machine_has_the_chips_that_its_name_says(name, of, num_chips):
    found = machine(name)
    assert (found.name, found.chip, found.num_chips) == (name, all_chips()[of], num_chips)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("v9-8", "chip v9 is unknown, expected one of v3, v4, "),
        ("8xH10", "did you mean h100"),
        ("v5e-3", "there is no slice v5e-3: sizes are v5e-1, v5e-4, … v5e-256"),
        ("v5e-512", "there is no slice"),
        ("v4-7", "there is no slice v4-7: sizes are v4-8, v4-16, … v4-8192"),
        ("v4-4", "there is no slice"),
        ("v4-0", "there is no slice"),
        ("0xH100", "0 GPUs, expected 1 to "),
        ("4xv4", "not the name of a TPU slice: write v4-N"),
        ("h100-8", "write 8xh100"),
        ("v4", "write v5e-256 or 8xH100"),
        ("", "write v5e-256 or 8xH100"),
    ],
)
def test_a_machine_that_does_not_exist_is_refused_in_one_sentence(name, said):
    assert said in refusal(UserError, machine, name)
