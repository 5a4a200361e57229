"""`verify --official`: its settings, its errors, and, on a checkout, that it agrees and catches.

No code of the authors may be stored here. Set MEANFLOW_OFFICIAL to a checkout of theirs to run the
tests that need one.
"""

import functools
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from checkouts import CHECKOUT, STANDIN
from results_records import refused
from without_packages import JAX, meanflow

import reference
from impls.common.config_files import from_sizes
from impls.common.draws import image_shape
from impls.common.errors import UserError
from meanflow_repro import main
from verify.golden import BUNDLED
from verify.mutants import MUTANTS, mutants, planted
from verify.official import checkout
from verify.official.checkout import (
    METHOD_FIELDS,
    NEEDED,
    SHIMS,
    UNCALLED,
    CheckoutError,
    commit_of,
    official_code,
)
from verify.official.live import run_official
from verify.official.settings import MAX_ROWS, PER_NETWORK, random_settings
from verify.runner import run, select

# Slips that a port could make, and which leave many settings as they were.
SLIPS = mutants("""
@ impls/meanflow_torch/objective.py
a small kappa is none
- if method.kappa == 0:
+ if method.kappa < 0.3:

the last rows lose their labels
- _rows(labels) < num_drop
+ _rows(labels) >= len(labels) - num_drop

the interval ends at 1/2
- clip(t - r, 0, 1)) * du
+ clip(t - r, 0, 0.5)) * du

a share of the rows is rounded up
- return int(num_rows * config.method.data_proportion)
+ return round(num_rows * config.method.data_proportion)
""")


def settings_of(num_settings, seed):
    return [s for network in random_settings(num_settings, seed) for s in network.values()]


# ----------------------------------------------------------------------------- the settings


def test_settings_follow_from_their_seed():
    assert random_settings(20, 3) == random_settings(20, 3)
    assert random_settings(20, 3) != random_settings(20, 4)
    assert json.loads(json.dumps(random_settings(5, 0))) == random_settings(5, 0)


@pytest.mark.parametrize("num_settings", [1, PER_NETWORK, PER_NETWORK + 1, 33])
def test_there_are_as_many_settings_as_were_asked_for(num_settings):
    networks = random_settings(num_settings, 0)
    names = [name for network in networks for name in network]
    assert names == [f"setting_{i}" for i in range(num_settings)]
    for network in networks:  # whose parameters, and compiled operations, they share
        first, *others = network.values()
        assert all((s["model"], s["batch"]) == (first["model"], first["batch"]) for s in others)


@pytest.mark.parametrize("seed", range(20))
def test_every_setting_is_a_configuration_that_the_official_code_takes(seed):
    for setting in settings_of(30, seed):
        config = from_sizes(setting["model"], setting["method"], setting["training"])
        assert config.method.equal_rows == "first"
        assert 1 <= setting["batch"] <= MAX_ROWS
        assert config.network.in_channels < 7  # their patch embedding asserts it
        assert np.prod(image_shape(config.network)) >= 8
        ((_, times),) = setting["sampling"].items()
        assert (times[0], times[-1]) == (1, 0)
        assert np.all(np.diff(times) < 0)


@pytest.mark.parametrize("seed", range(5))
def test_twenty_settings_see_every_branch_and_edge(seed):
    methods = [setting["method"] for setting in settings_of(20, seed)]

    def seen(key):
        return {method[key] for method in methods}

    assert seen("noise_dist") == {"logit_normal", "uniform"}
    guided = [m for m in methods if m["guidance_eq"] == "cfg"]
    assert 0 < sum(m["kappa"] == 0 for m in guided) < len(guided) < len(methods)
    for key in ("data_proportion", "class_dropout_prob"):
        assert {0, 1} < seen(key)
    assert {0, 0.5, 1} < seen("norm_p")
    assert {0, 1} < seen("omega")
    assert any(0 < m["t_start"] < m["t_end"] < 1 and m["omega"] != 1 for m in guided)


# ------------------------------------------------------------------------------- the errors


def stand_in(folder, **sources):
    """Files with the names of theirs, empty unless a source is given."""
    for name in NEEDED:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(sources.get(path.stem, ""))
    return folder


@pytest.mark.parametrize("name", NEEDED)
def test_a_folder_that_is_no_checkout_is_refused_with_the_missing_file(name, tmp_path, capsys):
    (stand_in(tmp_path) / name).unlink()
    said = refused(capsys, "verify", "--official", str(tmp_path))
    assert f"has no {name}: give a checkout of github.com/Gsunshine/meanflow" in said


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--official=nowhere", "--golden=reference/golden"], "leave out --golden"),
        (["--official-settings=3"], "--official-settings needs --official"),
        (["--official-seed=3"], "--official-seed needs --official"),
        (["--official=nowhere", "--official-settings=0"], "--official-settings is 0"),
        (["--official=nowhere", "--official-seed=-1"], "--official-seed is -1"),
        (["--official=nowhere", "--check=network"], "family official"),
        (["--official=nowhere"], "nowhere has no meanflow.py"),
    ],
)
def test_options_that_do_not_go_together_are_said_in_one_sentence(options, says, capsys):
    assert says in refused(capsys, "verify", *options)


def test_without_jax_it_says_which_extra_is_needed(tmp_path):
    pytest.importorskip("torch")
    done = meanflow(JAX, "verify", "--official", str(stand_in(tmp_path)))
    assert done.returncode == 2
    assert 'needs the package jax: install it with pip install -e ".[jax]"' in done.stderr


@pytest.mark.parametrize(
    ("sources", "place", "words"),
    [
        ({"train": "\nimport no_such_library"}, "train.py line 2", "No module named 'no_such_"),
        ({"train": "import meanflow", "meanflow": "1 / 0"}, "meanflow.py line 1", "ZeroDivision"),
        ({"train": "def f(:"}, "", "SyntaxError"),
    ],
)
def test_code_that_fails_is_quoted_with_its_place(sources, place, words, tmp_path):
    pytest.importorskip("jax")
    with pytest.raises(UserError) as caught:
        run_official(stand_in(tmp_path, **sources), 1, 0)
    said = str(caught.value)
    assert said.startswith(f"the code of {tmp_path} fails")
    assert place in said
    assert words in said
    assert len(said) < 500


# ------------------------------------------------------------------------------ the checkout


def test_theirs_are_importable_for_a_while_and_nothing_stays(tmp_path):
    jax = pytest.importorskip("jax")
    source = "import diffusers, torch\nfrom clu import metric_writers\nimport meanflow, json.tool\n"
    sources = {"train": source, "meanflow": "import jax.numpy as jnp"}
    loaded, path = dict(sys.modules), list(sys.path)
    sys.modules.pop("json.tool", None)
    with official_code(stand_in(tmp_path, **sources)) as (train, shims):
        assert isinstance(train.torch, checkout.mock.MagicMock)
        assert {shim.name for shim in shims} <= {shim.name for shim in SHIMS}
        assert jax.tree_map(abs, [-1]) == [1]
        assert train.meanflow.jnp.clip(2.0, a_min=0.0, a_max=1.0) == 1
        assert sys.modules.get("torch") is loaded.get("torch")  # mocked for the import alone
    assert "json.tool" in sys.modules  # what others had loaded meanwhile stays
    assert not {"train", "meanflow"} & set(sys.modules)
    assert sys.path == path
    assert not list(tmp_path.rglob("__pycache__"))
    assert {name: sys.modules.get(name) for name in UNCALLED} == {
        n: loaded.get(n) for n in UNCALLED
    }


def test_their_class_takes_the_official_keys_and_refuses_ours():
    pytest.importorskip("jax")
    cases = json.loads((BUNDLED / "cases.json").read_text())
    assert all(set(case["method"]) == METHOD_FIELDS for case in cases.values())
    with official_code(Path(CHECKOUT or STANDIN)) as (train, _):
        make = functools.partial(train.MeanFlow, model_str="DiT_S_4", model_config={})
        make(**cases["cfg_kappa"]["method"])
        with pytest.raises(TypeError, match="tangent"):
            make(tangent="v01")


def test_a_loaded_module_of_a_name_of_theirs_is_not_hidden(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "utils.more", SimpleNamespace())
    with (
        pytest.raises(CheckoutError, match=r"utils\.more is loaded already"),
        official_code(stand_in(tmp_path)),
    ):
        pass


def test_a_jax_that_has_the_names_needs_no_shim():
    def clip(array, a_min=None, a_max=None): ...

    old = SimpleNamespace(tree_map=0, tree_leaves=0, numpy=SimpleNamespace(clip=clip))
    assert [shim.name for shim in SHIMS if shim.needed(old)] == []
    new = SimpleNamespace(numpy=SimpleNamespace(clip=lambda array, low, high: None))
    assert [shim for shim in SHIMS if shim.needed(new)] == list(SHIMS)


def test_the_commit_is_that_of_the_checkout_and_of_no_folder_around_it(tmp_path):
    assert commit_of(tmp_path) == ""
    name = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], [*name, "commit", "-qm", "one"]):
        stand_in(tmp_path / "inner")
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    found = commit_of(tmp_path)
    assert len(found) == 7
    (tmp_path / "inner" / "train.py").write_text("1")
    assert commit_of(tmp_path) == f"{found} with changes"
    assert commit_of(tmp_path / "inner") == ""


# ------------------------------------------------------------------- on a checkout of theirs


@functools.cache
def live(num_settings=20, seed=0):
    return run_official(Path(CHECKOUT), num_settings, seed)


def failures(mutant):
    """Checks that fail on a subject with the bug, at the dtype in which it shows."""
    dtype = np.dtype(mutant.dtype).type
    with planted(mutant) as subject:
        problems = live().cases, live().trainings
        found = run([("subject", subject)], select(["official"]), *problems, dtypes=(dtype,))
    return {outcome.check for outcome in found.failed}


@pytest.mark.slow
@pytest.mark.skipif(not CHECKOUT, reason="MEANFLOW_OFFICIAL names no checkout of their code")
class TestOnACheckout:
    def test_everything_agrees_with_the_authors_code(self, tmp_path, capsys):
        file = tmp_path / "outcomes.json"
        options = ["--official-settings=5", "--official-seed=1", f"--json={file}"]
        assert main(["verify", f"--official={CHECKOUT}", *options]) == 0
        written = json.loads(file.read_text())
        assert {outcome["status"] for outcome in written["outcomes"]} == {"pass"}
        assert {outcome["family"] for outcome in written["outcomes"]} == {"official"}
        assert "reference" in {outcome["subject"] for outcome in written["outcomes"]}
        (note,) = written["notes"]
        assert f"the authors' code of {CHECKOUT}" in note
        assert "5 random settings, seed 1" in note
        assert note in capsys.readouterr().out

    def test_in_float64_it_agrees_to_thirteen_digits(self):
        wide = [case for case in live().cases if case.dtype == np.float64]
        assert len(wide) == len(live().cases) / 2 == 20
        problems = live().cases, live().trainings
        modules = [("reference", reference)]
        found = run(modules, select(["official"]), *problems, dtypes=(np.float64,))
        assert [o.check for o in found.outcomes if o.error is None or o.error > 1e-13] == []

    @pytest.mark.parametrize(
        "mutant",
        [m for m in MUTANTS if any(name.startswith("official_") for name in m.caught_by)],
        ids=lambda mutant: mutant.name,
    )
    def test_what_the_stored_numbers_catch_is_caught(self, mutant):
        if mutant.framework:
            pytest.importorskip(mutant.framework)
        assert failures(mutant)

    @pytest.mark.parametrize("mutant", SLIPS, ids=lambda mutant: mutant.name)
    def test_a_slip_in_one_branch_is_caught(self, mutant):
        pytest.importorskip("torch")
        assert failures(mutant)
