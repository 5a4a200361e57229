"""With only one framework installed, `verify` checks that one and says that the other is missing.

An environment without a package is simulated: a finder in a new process refuses its import.
"""

import json
import re

import pytest
from PIL import Image
from without_packages import JAX, MISSING, TORCH, meanflow

from verify.fixtures.standin_vae import STANDIN


@pytest.fixture
def verify(tmp_path):
    """`meanflow verify` where some packages are missing: how it ended, and the outcomes."""

    def run(missing, *arguments):
        path = tmp_path / "outcomes.json"
        done = meanflow(missing, "verify", *arguments, "--json", str(path))
        return done, json.loads(path.read_text())["outcomes"]

    return run


def without_progress(said):
    """What was said, but for how far the checks are."""
    return re.sub(r"^\d+ of \d+ checks, .*\n", "", said, flags=re.MULTILINE)


@pytest.mark.parametrize(("absent", "present"), [("torch", "jax"), ("jax", "torch")])
def test_the_one_that_is_installed_is_checked(absent, present, verify):
    pytest.importorskip(present)
    done, outcomes = verify(MISSING[absent], "--check", "parameters_round*")
    assert (done.returncode, without_progress(done.stderr)) == (0, "")
    said = f"impls.meanflow_{absent} needs the package {absent}, which is not installed"
    assert f"not checked: {said}" in done.stdout
    assert f"pass  impls.meanflow_{present}: 1 checks, 2 of 2 pass" in done.stdout
    of = {(outcome["subject"], outcome["status"]) for outcome in outcomes}
    assert of == {(f"impls.meanflow_{present}", "pass")}


NEEDS_JAX = "impls.meanflow_jax needs the package jax"
NEEDS_TORCH = "impls.meanflow_torch needs the package torch"


@pytest.mark.parametrize(
    ("missing", "subjects", "says"),
    [
        (JAX, ["impls.meanflow_jax"], (f"{NEEDS_JAX}, which is not installed",)),
        (TORCH, ["impls.meanflow_torch"], (f"{NEEDS_TORCH}, which is not installed",)),
        (JAX + TORCH, [], (NEEDS_JAX, NEEDS_TORCH, "pip install")),
    ],
)
def test_naming_one_that_is_missing_and_having_neither_are_refused(missing, subjects, says):
    done = meanflow(missing, "verify", *subjects, "--check", "weights")
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert [said for said in says if said not in line] == []


DIFFUSERS = "the package diffusers is not installed, which the autoencoder in PyTorch needs: pip"


def test_the_autoencoder_in_pytorch_is_not_checked_without_diffusers(verify):
    pytest.importorskip("torch")
    done, outcomes = verify(("diffusers",), "impls.meanflow_torch", "--check", "autoencoder")
    assert (done.returncode, without_progress(done.stderr)) == (2, "")
    said = " ".join(done.stdout.split())
    assert f"nothing of impls.meanflow_torch was checked: {DIFFUSERS}" in said
    assert [outcome["status"] for outcome in outcomes] == ["n/a"] * 4
    assert all(outcome["detail"].startswith(DIFFUSERS) for outcome in outcomes)


@pytest.mark.parametrize(("framework", "status"), [("torch", 2), ("jax", 0)])
def test_only_pytorch_needs_diffusers_to_prepare_latents(tmp_path, framework, status):
    pytest.importorskip(framework)
    (tmp_path / "images" / "one").mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(tmp_path / "images" / "one" / "0.png")
    given = {"imagenet": tmp_path / "images", "vae": STANDIN, "output": tmp_path / "out"}
    options = [word for key, path in given.items() for word in (f"--{key}", str(path))]
    options += ["--image-size", "8", "--framework", framework, "--device", "cpu"]
    done = meanflow(("diffusers",), "prepare", "latents", *options)
    assert done.returncode == status
    if status:
        [line] = done.stderr.splitlines()
        assert line.startswith(f"meanflow: {DIFFUSERS}")
        assert line.endswith('-e ".[vae]"')
    assert (tmp_path / "out" / "index.json").exists() == (not status)
    assert (tmp_path / "out").exists() == (not status)


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify", "reference", "--check", "official_loss_matches"],
        ["verify", "--list"],
        ["config", "mf_b4"],
        ["diagnose", "--template", "torch"],
    ],
)
def test_what_needs_no_framework_works_with_neither(arguments):
    done = meanflow(JAX + TORCH, *arguments)
    assert (done.returncode, without_progress(done.stderr)) == (0, "")


@pytest.mark.parametrize("absent", ["cleanfid", "torchvision"])
def test_without_clean_fid_the_features_of_torch_are_not_applicable(absent, verify):
    pytest.importorskip("torch")
    checks = ("--check", "inception", "--check", "one_step_matches")
    done, outcomes = verify((absent,), "impls.meanflow_torch", *checks)
    assert (done.returncode, without_progress(done.stderr)) == (0, "")
    features = [o for o in outcomes if "inception" in o["check"]]
    assert {o["status"] for o in features} == {"n/a"}
    assert all(f"the package {absent} is not installed" in o["detail"] for o in features)
    assert {o["status"] for o in outcomes if o["family"] == "sampling"} == {"pass"}


@pytest.mark.parametrize(
    "arguments", [["tables", "--check"], ["diagnose", "port.py", "--svg", "a.svg"]]
)
def test_figures_without_matplotlib_say_how_to_install_it(arguments):
    done = meanflow(("matplotlib",), *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert 'pip install -c constraints.txt -e ".[figures]"' in done.stderr
    assert len(done.stderr.splitlines()) == 1
