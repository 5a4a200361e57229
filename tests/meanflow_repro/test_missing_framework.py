"""With only one framework installed, `verify` checks that one and says that the other is missing.

An environment without a package is simulated: a finder in a new process refuses its import.
"""

import json

import pytest
from PIL import Image
from without_packages import JAX, MISSING, TORCH, meanflow

from verify.fixtures.standin_vae import STANDIN


@pytest.mark.parametrize(("absent", "present"), [("torch", "jax"), ("jax", "torch")])
def test_the_one_that_is_installed_is_checked(absent, present, tmp_path):
    pytest.importorskip(present)
    path = tmp_path / "outcomes.json"
    done = meanflow(MISSING[absent], "verify", "--check", "parameters_round*", "--json", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    said = f"impls.meanflow_{absent} needs the package {absent}, which is not installed"
    assert f"not checked: {said}" in done.stdout
    assert f"pass  impls.meanflow_{present}: 1 checks, 2 of 2 pass" in done.stdout
    outcomes = json.loads(path.read_text())["outcomes"]
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


def test_the_autoencoder_in_pytorch_is_not_checked_without_diffusers(tmp_path):
    pytest.importorskip("torch")
    path = tmp_path / "outcomes.json"
    command = ("verify", "impls.meanflow_torch", "--check", "autoencoder", "--json", str(path))
    done = meanflow(("diffusers",), *command)
    assert (done.returncode, done.stderr) == (2, "")
    said = " ".join(done.stdout.split())
    assert f"nothing of impls.meanflow_torch was judged: {DIFFUSERS}" in said
    outcomes = json.loads(path.read_text())["outcomes"]
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
    ],
)
def test_what_needs_no_framework_works_with_neither(arguments):
    done = meanflow(JAX + TORCH, *arguments)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("absent", ["cleanfid", "torchvision"])
def test_without_clean_fid_the_features_of_torch_are_not_applicable(absent, tmp_path):
    pytest.importorskip("torch")
    path = tmp_path / "outcomes.json"
    checks = ("--check", "inception", "--check", "one_step_matches")
    done = meanflow((absent,), "verify", "impls.meanflow_torch", *checks, "--json", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    outcomes = json.loads(path.read_text())["outcomes"]
    features = [o for o in outcomes if "inception" in o["check"]]
    assert {o["status"] for o in features} == {"n/a"}
    assert all(f"the package {absent} is not installed" in o["detail"] for o in features)
    assert {o["status"] for o in outcomes if o["family"] == "sampling"} == {"pass"}


def test_figures_without_matplotlib_say_how_to_install_it():
    done = meanflow(("matplotlib",), "tables", "--check")
    assert (done.returncode, done.stdout) == (2, "")
    assert 'pip install -c constraints.txt -e ".[figures]"' in done.stderr
    assert len(done.stderr.splitlines()) == 1
