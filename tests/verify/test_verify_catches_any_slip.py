"""Every small slip turns a check red: from the network to checkpoints, in both texts.

`verify.mutants.slips` makes the slips by rule. Each is put into a copy of the implementation and
run through the suite in float64, the most sensitive checks first, until one fails (what float64
cannot see, lower precision and checkpoints, in float32); an exception counts as caught. One slip in
twenty (of JAX in a hundred) goes through the suite, all of them through `nox -s slips`. First a few
cases are used; a slip that survives them goes through all. What survives must change nothing by a
rule of `verify.mutants.rules`, or be listed in `verify.mutants.equivalent` with the reason why; and
no check may catch what does.

Not covered: a slip that is not of the listed kinds, two slips at once, the code shared by both
texts (impls/common), and JAX's compilation: its functions run here operation by operation, which
is many times faster for a text that runs once.
"""

import functools
import importlib
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from repetitions import SHARE

from verify.cases import DIGITS, LATENT, cases, make_case
from verify.checks import all_checks
from verify.mutants import altered, slips
from verify.mutants.equivalent import EQUIVALENT
from verify.outcome import FAIL
from verify.probe import Probe
from verify.runner import outcome_of

ROOT = Path(__file__).parents[2]
# Between them these have every branch of the objective and both networks, of a single block.
FEW = {
    "few_guided": (DIGITS, 8, {}),
    "few_latent": (LATENT, 5, {"omega": 0.2, "kappa": 0.7, "t_start": 0.35, "t_end": 0.6}),
    "few_omega": (DIGITS, 7, {"omega": 3.0, "kappa": 0.0, "t_start": 0.35, "t_end": 0.6}),
    "few_unguided": (DIGITS, 8, {"guidance_eq": "none", "noise_dist": "uniform"}),
    "few_dropped": (DIGITS, 8, {
        "data_proportion": 0.25, "class_dropout_prob": 0.6, "P_mean": -1.0, "P_std": 2.0,
        "norm_p": 0.5, "norm_eps": 1e-3,
    }),
}  # fmt: skip
# For each file the checks most likely to fail, which first get one case alone; the families of
# checks that run its code; and those of them that need float32.
FILES = {
    "dit.py": (
        """mean_velocity_matches dit_b_4_tensors_are_official
        patch_and_position_embedding_match modulation_matches""",
        "network jvp weights published", "precision"),
    "network.py": (
        """mean_velocity_matches dit_b_4_tensors_are_official jvp_matches_hand_written_tangents
        patch_and_position_embedding_match modulation_matches other_form_of_the_jvp_gives_the_same
        rows_without_a_tangent_are_not_changed""",
        "network jvp weights published", "precision"),
    "layers.py": (
        """mean_velocity_matches jvp_matches_hand_written_tangents
        patch_and_position_embedding_match modulation_matches""",
        "network jvp", ""),
    "dual_dit.py": (
        "jvp_matches_hand_written_tangents jvp_returns_the_mean_velocity",
        "jvp gradient", "precision"),
    "objective.py": (
        """logit_normal_times_match interpolation_matches target_matches squared_error_is_a_sum
        adaptive_weight_matches dropout_takes_the_first_rows guidance_with_kappa_matches
        gradient_matches_hand_written whole_target_matches per_sample_errors_match""",
        "objective gradient", ""),
    "optimizer.py": (
        """learning_rate_matches clipped_gradient_matches adam_steps_match moving_average_matches
        steps_with_every_setting_match""",
        "training", ""),
    "step.py": ("steps_are_counted moving_average_matches parts_of_a_batch_match", "training", ""),
    "sample.py": ("uneven_steps_match", "sampling", ""),
    "vision/autoencoder.py": ("encoder_matches decoder_matches", "autoencoder", ""),
    "vision/inception.py": ("legacy_inception_features_match", "inception", "inception"),
    "checkpoint.py": ("exported_state_is_the_state", "checkpoint", "checkpoint"),
    "draws.py": ("device_draws_are_float32_records", "draws", ""),
}  # fmt: skip
PARTS = 100  # that a file's slips are dealt into
LONGEST = ("jax", "checkpoint.py")
# The suite runs one part of JAX, whose slips take several times as long, and five of PyTorch; of
# JAX's checkpoints, where one slip takes more than a minute, it runs none.
TEXTS = [
    pytest.param(
        framework,
        file,
        marks=pytest.mark.soak(
            "slips", of="part", share=None if (framework, file) == LONGEST else share
        ),
    )
    for framework, share in (("jax", PARTS), ("torch", SHARE))
    for file in FILES
    if (ROOT / f"impls/meanflow_{framework}" / file).exists()
]
# Slow, and blind to nothing that their neighbours see.
LEFT_OUT = (
    "gradient_matches_complex_step",
    "jvp_matches_complex_step",
    "jvp_matches_central_difference",
    "parameter_counts_are_official",
    "steps_compiled_by_the_framework_match",
)


@pytest.fixture
def framework(request):
    module = pytest.importorskip(request.param)
    if request.param == "torch":
        threads = module.get_num_threads()
        module.set_num_threads(1)  # the arrays are tiny
        yield request.param
        module.set_num_threads(threads)
    else:
        with module.disable_jit():
            yield request.param


@functools.cache
def few(file):
    """All of FEW for the objective; elsewhere the settings play no part, and one of each size."""
    names = list(FEW) if file == "objective.py" else ["few_guided", "few_latent"]
    few = ((name, *FEW[name]) for name in names)
    return tuple(make_case(name, {**sizes, "depth": 1}, *rest) for name, sizes, *rest in few)


def first_failure(subject, file, chosen, left_out=LEFT_OUT, only=None):
    """The name of the first check that fails, of all or of `only` one, or None."""
    likely, wide, narrow = FILES[file]
    members = {
        families: [name for name, check in all_checks().items() if check.family in families.split()]
        for families in (wide, narrow)
    }
    for names, given, dtype in (
        (likely.split(), chosen[:1], np.float64),
        (members[wide], chosen, np.float64),
        (members[narrow], chosen, np.float32),
    ):
        probe = Probe(subject, dtype, given)
        for name in names:
            if name in left_out or name != (only or name):
                continue
            if outcome_of(all_checks()[name], "slip", (probe,)).status == FAIL:
                return name
    return None


@functools.cache
def slips_of(framework, file):
    """Every slip of a file; last those that change nothing, which go through every check."""
    text = (ROOT / f"impls/meanflow_{framework}" / file).read_text(encoding="utf-8")
    return tuple(sorted(slips(text), key=lambda slip: is_equivalent(framework, file, slip)))


def is_equivalent(framework, file, slip):
    """Whether a slip changes nothing, as a rule or the list says."""
    return bool(slip.changes_nothing) or str(slip) in EQUIVALENT[framework, file]


@functools.cache
def original_passes(framework, file, check):
    """Whether a check that a slip fails passes where there is none."""
    subject = importlib.import_module(f"impls.meanflow_{framework}")
    return first_failure(subject, file, few(file), only=check) is None


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize(("framework", "file"), TEXTS, indirect=["framework"])
def test_every_slip_is_caught_unless_it_changes_nothing(framework, file, part, record_property):
    chosen = slips_of(framework, file)[part::PARTS]
    listed = {str(slip) for slip in chosen if is_equivalent(framework, file, slip)}
    found = {str(slip): failure_for(framework, file, slip, str(slip) in listed) for slip in chosen}
    caught = Counter(filter(None, found.values()))
    survivors = [slip for slip, name in found.items() if name is None]
    assert [name for name in caught if not original_passes(framework, file, name)] == []
    record_property("repetitions", len(chosen))
    lines = [f"{framework}/{file}: {len(survivors)} slips change nothing; caught are"]
    lines += [f"{count:4d} by {name}" for name, count in caught.most_common()]
    sys.stdout.write("\n  ".join(lines) + "\n")
    unlisted = [slip for slip in survivors if slip not in listed]
    assert not unlisted, "no check sees:\n" + "\n".join(unlisted)
    wrong = [slip for slip in listed if slip not in survivors]
    assert not wrong, "said to change nothing, but caught:\n" + "\n".join(wrong)


def failure_for(framework, file, slip, is_listed):
    """The name of the first check that fails for a slip, or of what it raised, or None."""
    try:
        with altered(f"impls/meanflow_{framework}", file, slip.source) as subject:
            found = first_failure(subject, file, few(file))
            if found is None and not is_listed:
                found = first_failure(subject, file, cases(), left_out=())
    except Exception as error:  # noqa: BLE001  it cannot even be imported
        return type(error).__name__
    return found


@pytest.mark.parametrize(("framework_name", "file"), [text.values for text in TEXTS])
def test_every_slip_that_is_listed_can_be_made(framework_name, file):
    made = {str(slip) for slip in slips_of(framework_name, file)}
    assert made
    assert set(EQUIVALENT[framework_name, file]) <= made


@pytest.mark.parametrize(
    ("text", "ruled"),
    [
        ("a = max(b, c)", ["a = max(c, b)"]),
        ("a = b.swapaxes(-1, -2)", ["a = b.swapaxes(-2, -1)"]),
        ("import torch\na = b.transpose(1, 2)", ["import torch\na = b.transpose(2, 1)"]),
        ("a = b.addcmul(c, d)", ["a = b.addcmul(d, c)"]),
        ("a = f.addcmul(b, c, d)", ["a = f.addcmul(b, d, c)"]),
        ("a = b.sum((2, 3))", ["a = b.sum((3, 2))"]),
        ("a = zip(b, strict=True)", ["a = zip(b, strict=False)"]),
        ("import numpy\na = b.transpose(1, 2)", []),
        ("a = zip(b, strict=False)", []),
        ("a = f(b, c)", []),
    ],
)
def test_a_rule_says_which_slips_change_nothing(text, ruled):
    made = list(slips(text))
    assert made
    assert [slip.source for slip in made if slip.changes_nothing] == ruled
