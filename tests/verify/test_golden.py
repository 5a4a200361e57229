"""Golden folders of any size are checked, and nothing in them can be altered unnoticed."""

import importlib

import numpy as np
import pytest
from golden_folders import FOLDERS, NAMES, TRAINED, arrays_of, copy_of, rewrite

from verify.golden import BUNDLED, load_golden, load_trainings, unread
from verify.runner import run, select

# torch.func.jvp scripts its decompositions when it first runs, and torch deprecates that itself.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")

CASE = "omega_window"  # of patch_2; it stores every gradient tensor
STORED = arrays_of(FOLDERS / "patch_2" / f"case_{CASE}.npz")
TRAINING = arrays_of(FOLDERS / "patch_4" / f"{TRAINED}.npz")
PARAMETERS = sorted(arrays_of(FOLDERS / "patch_2" / "params.npz"))
TRAINING_CHECKS = {
    "official_training_losses_match",
    "official_trained_parameters_match",
    "official_trained_average_matches",
}

# A result of the official code -> the check that compares it.
CHECK_OF = {
    "jvp_t": "official_times_match",
    "jvp_r": "official_times_match",
    "jvp_z": "official_state_matches",
    "jvp_tangent": "official_tangent_matches",
    "jvp_u": "official_mean_velocity_matches",
    "jvp_du_dt": "official_derivative_matches",
    "v_loss": "official_velocity_loss_matches",
    "loss": "official_loss_matches",
    "grad_names": "official_gradient_norms_match",
    "grad_norms": "official_gradient_norms_match",
    "sample_s1": "official_samples_match",
    "sample_s2": "official_samples_match",
    "sample_s4": "official_samples_match",
} | {name: "official_gradients_match" for name in STORED if name.startswith("grad/")}
# An input -> a check that cannot miss it.
INPUTS = {
    "x": "official_state_matches",
    "y": "official_mean_velocity_matches",
    "draw_t_raw": "official_times_match",
    "draw_r_raw": "official_times_match",
    "draw_e": "official_state_matches",
    "draw_drop_uniform": "official_tangent_matches",
    "sample_noise": "official_samples_match",
    "sample_s2_times": "official_samples_match",
    "sample_s4_times": "official_samples_match",
}


def check_folder(folder, subject="reference", dtype=np.float64):
    modules = [(subject, importlib.import_module(subject))]
    cases, trainings = load_golden(folder), load_trainings(folder)
    return run(modules, select(["official"]), cases, trainings, dtypes=(dtype,))


def altered(name, array, factor=1.001):
    """The array with one entry, one that the results depend on, multiplied by the factor."""
    name, changed = name.rpartition("/")[2] if name.startswith("step") else name, array.copy()
    if name == "y":
        changed[-1] = (changed[-1] + 1) % 3
    elif name == "draw_drop_uniform":  # only on which side of class_dropout_prob matters
        changed[np.argmax(changed)] = 0.0
    elif name == "grad_names":
        changed[[0, 1]] = changed[[1, 0]]
    elif name.endswith("_times"):
        changed[1] *= factor
    else:
        # Of the last row, because in the first ones r = t hides r.
        by_row = name.startswith(("x", "draw", "jvp", "sample", "latents"))
        view = changed[-1:] if by_row else changed
        view[np.unravel_index(np.argmax(np.abs(view)), view.shape)] *= factor
    return changed


@pytest.mark.parametrize("folder", NAMES)
@pytest.mark.parametrize(
    ("subject", "dtype"),
    [
        ("reference", np.float64),
        ("reference", np.float32),
        ("impls.meanflow_torch", np.float64),
        ("impls.meanflow_torch", np.float32),
        ("impls.meanflow_jax", np.float64),
        pytest.param("impls.meanflow_jax", np.float32, marks=pytest.mark.slow),  # compiling
    ],
)
def test_official_numbers_of_other_sizes_are_matched(folder, subject, dtype):
    framework = subject.rpartition("meanflow_")[2]
    if framework in ("jax", "torch"):
        pytest.importorskip(framework)
    report = check_folder(FOLDERS / folder, subject, dtype)
    assert not report.failed
    left_out = {outcome.check for outcome in report.outcomes if outcome.status != "pass"}
    assert left_out == (set() if folder == "patch_4" else TRAINING_CHECKS)


@pytest.mark.parametrize("folder", [BUNDLED, *(FOLDERS / name for name in NAMES)])
def test_every_array_of_a_case_is_read(folder):
    assert [unread(case) for case in load_golden(folder) if unread(case)] == []


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("patch_size", {2, 4, 8}),
        ("in_channels", {1, 3, 4}),
        ("depth", {1, 2, 4}),
        ("mlp_ratio", {2.0, 2.5, 4.0}),
        ("num_classes", {3, 5, 10}),
        ("rows", {1, 3, 5, 7}),
        ("norm_p", {0.0, 0.5, 1.0, 2.0}),
        ("data_proportion", {0.0, 0.3, 0.75, 1.0}),
        ("class_dropout_prob", {0.0, 0.1, 0.25, 0.6, 1.0}),
        ("noise_dist", {"uniform", "logit_normal"}),
        ("guidance_eq", {"cfg", "none"}),
    ],
)
def test_folders_cover_the_settings_they_claim(key, values):
    def value(case):
        own = {"rows": len(case.batch.labels)}
        return (vars(case.config.method) | vars(case.config.network) | own)[key]

    assert {value(case) for name in NAMES for case in load_golden(FOLDERS / name)} == values


def test_the_lists_above_name_every_array():
    # sample_s1_times is [1, 0], which admits no other times: see test_golden_malformed.
    assert {*CHECK_OF, *INPUTS, "sample_s1_times"} == set(STORED)


def failed_with(target, **changes):
    """Checks that fail where arrays of the case are others."""
    folder = copy_of("patch_2", target, CASE)
    rewrite(folder / f"case_{CASE}.npz", **changes)
    return check_folder(folder).failed


@pytest.mark.parametrize("name", sorted(CHECK_OF))
def test_an_altered_result_fails_its_check_and_no_other(name, tmp_path):
    [failure] = failed_with(tmp_path, **{name: altered(name, STORED[name])})
    assert failure.check == CHECK_OF[name]
    assert CASE in failure.detail
    if not name.startswith("grad_"):  # compared as a whole
        assert name in failure.detail


@pytest.mark.parametrize("name", INPUTS)
def test_an_altered_input_changes_the_results(name, tmp_path):
    failed = failed_with(tmp_path, **{name: altered(name, STORED[name])})
    assert INPUTS[name] in {outcome.check for outcome in failed}


@pytest.mark.parametrize("name", PARAMETERS)
def test_an_altered_parameter_changes_the_results(name, tmp_path):
    folder = copy_of("patch_2", tmp_path, CASE)
    array = arrays_of(folder / "params.npz")[name]
    # Where the gradient is largest: the key bias and unread label rows have no influence at all.
    gradient = np.abs(STORED[f"grad/{name}"])
    array[np.unravel_index(np.argmax(gradient), array.shape)] += 1e-3 * np.abs(array).max()
    rewrite(folder / "params.npz", **{name: array})
    failed = {outcome.check for outcome in check_folder(folder).failed}
    assert "official_gradients_match" in failed


@pytest.mark.parametrize("name", sorted(TRAINING))
def test_an_altered_training_array_is_noticed(name, tmp_path):
    folder = copy_of("patch_4", tmp_path)
    factor = 1.1 if name.startswith("step") and not name.endswith("loss") else 1.001
    rewrite(folder / f"{TRAINED}.npz", **{name: altered(name, TRAINING[name], factor)})
    failed = {outcome.check for outcome in check_folder(folder).failed}
    assert failed
    assert failed <= TRAINING_CHECKS
