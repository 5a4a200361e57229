"""The ports that `meanflow diagnose` is tested with are what their names say.

Each fault changes what the port computes, and each correct variant changes nothing.
"""

import ast
import re
import sys
from functools import cache

import numpy as np
import pytest
from networks import computed
from variants import FRAMEWORKS, Expected, Variant, minimal, mistakes, variants

from verify.ports.finding import HEADINGS, Finding

ALL = [variant for framework in FRAMEWORKS for variant in variants(framework)]
FAULTS = ("faults_method", "faults_draws", "faults_sampler", "combined", "families")
# Draws are of eight bytes then.
OTHER_DRAWS = {"torch: the file changes the default dtype"}
OTHER_SAMPLES = {
    "the sampler draws its own noise", "the sampler can make one step only", "there is no sampler",
}  # fmt: skip
# Another network only once its parameters are averaged ones.
SAME_NUMBERS = {"guidance by a copy of the network"}


@pytest.fixture(autouse=True)
def _as_before():
    """What a port sets in the whole process is set back."""
    yield
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)


@cache
def minimal_computed(framework):
    return computed(framework, minimal(framework))


def agree(a, b):
    return np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=1e-6, atol=1e-9)


def runs(variant):
    """Whether the port can be run: a variant that may be under the heading `error` is not run."""
    return all("error" not in line.what.split("|") for line in variant.expected if line.must)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_text_occurs_once_and_every_file_is_python(framework):
    for variant in variants(framework):
        ast.parse(variant.source, str(variant), feature_version=(3, 8))


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_expected_lines_have_headings_and_patterns(framework):
    for variant in variants(framework):
        assert (variant.table == "correct") <= (variant.expected == ()), str(variant)
        lines = [(line.loss, line.what, line.pattern) for line in variant.expected]
        assert len(lines) == len(set(lines)), str(variant)
        assert {word for _, what, _ in lines for word in what.split("|")} <= {*HEADINGS}
        for line in variant.expected:
            re.compile(line.pattern)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_there_are_variants_enough(framework):
    num = {table: len(variants(framework, table)) for table in ("correct", *FAULTS)}
    assert num["correct"] >= 13
    assert num["faults_method"] + num["faults_draws"] + num["faults_sampler"] >= 45
    assert num["combined"] >= 8


@pytest.mark.parametrize("variant", [v for v in ALL if v.table == "correct"], ids=str)
def test_a_correct_variant_computes_the_same(variant):
    pytest.importorskip(variant.framework)
    right, found = minimal_computed(variant.framework), computed(variant.framework, variant.source)
    assert np.isfinite(found.loss)
    if str(variant) not in OTHER_DRAWS:
        assert agree(found.loss, right.loss)
        assert agree(found.gradient, right.gradient)
    if variant.name not in OTHER_SAMPLES:
        assert all(map(agree, found.samples, right.samples))


@pytest.mark.parametrize(
    "variant",
    [v for v in ALL if v.table in FAULTS and runs(v) and any(c.old for c in v.changes)],
    ids=str,
)
def test_a_fault_changes_what_is_computed(variant):
    pytest.importorskip(variant.framework)
    right, found = minimal_computed(variant.framework), computed(variant.framework, variant.source)
    in_sampler = not all(map(agree, found.samples, right.samples))
    in_sampler &= variant.table != "families"  # of another network's answer
    in_loss = not (agree(found.loss, right.loss) and agree(found.gradient, right.gradient))
    named = [line.what for line in variant.expected if line.must]
    assert in_sampler == ("sampler" in named)
    assert in_loss == bool({*named} - {"sampler"} and variant.name not in SAME_NUMBERS)


# The comparison of a diagnosis with what is expected


def line(what, verdict, code, detail=""):
    return Finding(what, verdict, code, "official", detail)


LINES = (
    Expected("weight", "mean"),
    Expected("guidance", "2", "claimed"),
    Expected("path", ".", must=False),
)
VARIANT = Variant("any", "torch", "combined", (), LINES)
RIGHT = [line("weight", "differs", "Mean"), line("guidance", "claimed", "omega = 2")]


@pytest.mark.parametrize(
    ("findings", "wrong"),
    [
        (RIGHT, []),
        ([*RIGHT, line("path", "differs", "cos"), line("target", "same", "")], []),
        ([*RIGHT, line("sampler", "unknown", "")], []),
        (RIGHT[:1], ["missing: loss guidance claimed: 2"]),
        (
            RIGHT * 2,
            ["too many: loss weight differs: Mean", "too many: loss guidance claimed: omega = 2"],
        ),
        ([*RIGHT, line("target", "differs", "v")], ["too many: loss target differs: v"]),
        (
            [line("weight", "differs", "sum"), RIGHT[1]],
            ["missing: loss weight differs: mean", "too many: loss weight differs: sum"],
        ),
        (
            [RIGHT[0], line("guidance", "differs", "omega = 2")],
            ["missing: loss guidance claimed: 2", "too many: loss guidance differs: omega = 2"],
        ),
        ([*RIGHT, line("error", "unknown", "")], ["too many: loss error unknown: "]),
    ],
)
def test_mistakes_are_lines_that_are_missing_or_too_many(findings, wrong):
    assert mistakes(VARIANT, findings) == wrong


@pytest.mark.parametrize("verdict", ["unknown", "differs"])
def test_an_error_is_told_by_its_code_or_detail(verdict):
    variant = Variant("any", "torch", "faults_sampler", (), (Expected("error", "no such option"),))
    assert mistakes(variant, [line("error", verdict, "raises", "No such option")]) == []
    assert mistakes(variant, [line("error", verdict, "raises", "another")])
