"""Every variant of the minimal ports has the findings that its table says, and no others.

Two processes, one a framework, import one port after the other: their start and JAX's compilation
take longer than a diagnosis. The suite diagnoses a few ports of each kind, drawn by the day;
`--soak=ports` diagnoses all of them, and correct ones with a hundred random seeds a framework.
"""

import datetime as dt
import random

import pytest
from subprocesses import ROOT
from variants import FRAMEWORKS, Variant, minimal, mistakes, variants

from impls.common.errors import UserError
from verify.ports import diagnosis
from verify.ports.finding import HEADINGS, Finding
from verify.ports.process import CALL_SECONDS

FAULTS = ("faults_method", "faults_draws", "faults_sampler")
OF_A_NETWORK = "network"  # a heading of `--network`, which test_network.py is about
FRAMEWORK = pytest.mark.parametrize("framework", FRAMEWORKS)
TORCH_KINDS = ("families", "combined", *(name for name in HEADINGS if name != OF_A_NETWORK))
# Of each group one kind: a diagnosis takes four times as long with JAX.
JAX_KINDS = (
    ("path", "derivative"), ("guidance", "unlabelled rows"), ("target", "weight"),
    ("rows with r = t", "label dropout", "law of times"), ("sampler", "error"),
    ("families", "combined"),
)  # fmt: skip
# If one of these differs, later lines may be unknown.
PREMISES = ("error", "path")
KINDS = [("torch", (kind,)) for kind in TORCH_KINDS] + [("jax", group) for group in JAX_KINDS]
NUM_CORRECT = {"torch": 5, "jax": 1}  # in the suite, beside the minimal port
REPETITIONS = 100
# Each row is a call of its own: thousands of draws take minutes, which the soak has.
LONG = {"JVP row by row under vmap"}


@pytest.fixture
def diagnosed(given):
    """Function that diagnoses a port's text: its findings."""

    def diagnosed(framework: str, text: str, seed: int = 0, call_seconds: float = CALL_SECONDS):
        try:
            port = given(framework, text, call_seconds)
            return diagnosis.of(port, "imagenet", seed)[0].findings
        except UserError as error:  # what the command prints as a sentence
            return [Finding("error", "unknown", str(error), "")]

    return diagnosed


def of_kind(framework: str, kind: str) -> list[Variant]:
    """Variants of a table, or with a line under a heading."""
    if kind in ("combined", "families"):
        return list(variants(framework, kind))
    return [
        variant
        for variant in variants(framework, *FAULTS)
        if any(line.must and kind in line.what.split("|") for line in variant.expected)
    ]


def of_the_day(*what: object) -> random.Random:
    """Random numbers that are others every day."""
    return random.Random(f"{dt.datetime.now(dt.UTC):%Y-%m-%d} {what}")  # noqa: S311


def check(diagnosed, variant: Variant) -> None:
    """Diagnose a variant, and compare what is found with what is expected."""
    seconds = 600.0 if variant.name in LONG else CALL_SECONDS
    if "while True" in variant.source:
        seconds = 5.0
    found = diagnosed(variant.framework, variant.source, call_seconds=seconds)
    alone = f'pytest --soak=ports -k "{variant.name}"'
    assert mistakes(variant, found) == [], f"{variant}; alone: {alone}"
    premises = any(line.what.split("|")[0] in PREMISES for line in variant.expected)
    unknown = [line for line in found if line.verdict == "unknown"]
    assert premises or unknown == [], f"{variant}; alone: {alone}"


@FRAMEWORK
def test_every_heading_has_variants(framework):
    assert [kind for kind in TORCH_KINDS if not of_kind(framework, kind)] == []
    assert {*TORCH_KINDS} == {kind for group in JAX_KINDS for kind in group}


@FRAMEWORK
def test_the_minimal_port_is_the_same_in_every_line(diagnosed, framework):
    found = diagnosed(framework, minimal(framework))
    assert {line.what for line in found} == {*HEADINGS} - {"error", OF_A_NETWORK}
    assert [line for line in found if line.verdict != "same"] == []


@FRAMEWORK
def test_a_few_correct_variants_of_the_day_have_no_line(diagnosed, framework):
    correct = [variant for variant in variants(framework, "correct") if variant.name not in LONG]
    for variant in of_the_day(framework).sample(correct, NUM_CORRECT[framework]):
        check(diagnosed, variant)


@pytest.mark.parametrize(
    ("framework", "kinds"), KINDS, ids=[f"{name}-{'|'.join(kinds)}" for name, kinds in KINDS]
)
def test_a_fault_of_the_day_has_its_lines(diagnosed, framework, kinds):
    numbers = of_the_day(framework, kinds)
    check(diagnosed, numbers.choice(of_kind(framework, numbers.choice(kinds))))


@pytest.mark.soak("ports", of="variant", share=None)
@pytest.mark.parametrize("variant", [v for f in FRAMEWORKS for v in variants(f)], ids=str)
def test_every_variant_has_its_lines(diagnosed, variant):
    check(diagnosed, variant)


@pytest.mark.soak("ports", of="repetition", share=None)
@pytest.mark.parametrize("repetition", range(REPETITIONS))
@FRAMEWORK
def test_a_correct_port_has_no_false_line(diagnosed, framework, repetition, moments):
    correct = [variant for variant in variants(framework, "correct") if variant.name not in LONG]
    texts = [variant.source for variant in correct]
    texts.append((ROOT / "examples" / "ports" / f"meanflow_{framework}.py").read_text())
    seed = moments.randrange(2**31)
    text = texts[repetition % len(texts)]
    found = diagnosed(framework, text, seed)
    assert [line for line in found if line.verdict != "same"] == [], f"seed {seed} of\n{text}"
