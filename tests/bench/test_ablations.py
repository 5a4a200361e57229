"""The study of ablations: each preset changes one thing, and no run is made twice."""

import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from results_records import refused

from bench.studies import ablations
from bench.studies.ablations import DEFAULT, PRESETS, study
from bench.studies.runs import CURVES, NO_PRESET, POINTS, failed_record, preset_of
from impls.common import config_files
from impls.common.config_files import load_config
from impls.trainer.train import NotFiniteError, TrainingError
from results.published import published
from results.reading import read
from results.tabulate.ablations import GROUPS, SCORED

SHORT = {"training.num_steps": 6, "training.log_per_step": 2, "training.batch_size": 16}


@pytest.fixture
def short(monkeypatch, tmp_path):
    """The study with presets of six steps, and 100 samples; returns a folder for it."""
    original = config_files.load_config

    def load(source, overrides=None):
        named = str(source).startswith("ablation/")
        return original(source, {**(SHORT if named else {}), **(overrides or {})})

    monkeypatch.setattr("bench.studies.ablations.load_config", load)
    monkeypatch.setattr("bench.studies.runs.load_config", load)
    monkeypatch.setitem(SCORED, "num_samples", 100)
    return tmp_path


def numbers():
    return [number for group in GROUPS for number in published(group)]


def test_every_row_of_the_table_has_a_preset_and_every_preset_a_row():
    assert {number.small for number in numbers()} == set(PRESETS)


@pytest.mark.parametrize("number", numbers(), ids=lambda number: f"{number.small}")
def test_a_preset_sets_what_its_row_says(number):
    config, setting = load_config(str(number.small)), number.setting
    method = config.method
    law = f"lognorm({method.P_mean}, {method.P_std})"
    said = {
        "share": 1 - method.data_proportion,
        "tangent": f"(v, {method.tangent[1]}, {method.tangent[2]})",
        "embedding": {
            "t_h": "(t, t - r)", "t_r": "(t, r)", "t_r_h": "(t, r, t - r)", "h": "t - r only",
        }[config.model.embedding],
        "sampler": law if method.noise_dist == "logit_normal" else "uniform(0, 1)",
        "p": method.norm_p,
    }  # fmt: skip
    (name,) = set(said) & set(setting)
    assert said[name] == setting[name]


@pytest.mark.parametrize("name", [name for name in PRESETS if name != DEFAULT])
def test_a_preset_changes_one_thing_of_the_default(name):
    default, config = load_config(DEFAULT).model_dump(), load_config(name).model_dump()
    changed = {
        f"{section}.{key}"
        for section, keys in config.items()
        if isinstance(keys, dict)
        for key, value in keys.items()
        if value != default[section][key]
    }
    assert len(changed) == 1 or changed == {"method.P_mean", "method.P_std"}


def test_a_run_is_recorded_once_with_its_curve_and_picture(framework, short):
    folders = short / "runs", short / "records", short / "samples"
    chosen = (DEFAULT, "ablation/tangent_v11")
    said = [*study(framework, chosen, (5, 6), *folders)]
    assert [line.split(":")[0] for line in said] == [
        f"{name.replace('/', '_')}-{framework}-{seed}" for seed in (5, 6) for name in chosen
    ]
    records = read(short / "records")
    distances = [r for r in records if r.what == "evaluate/digits_Frechet_distance"]
    of = [(r.settings["preset"], r.settings["training_seed"]) for r in distances]
    assert sorted(of) == sorted((name, seed) for name in chosen for seed in (5, 6))
    assert all((SCORED | {"num_samples": 100}).items() <= r.settings.items() for r in distances)
    assert {r.subject for r in records} == {f"impls.meanflow_{framework}"}
    for name in CURVES:
        points = [r for r in records if r.what == f"train/{name}"]
        steps = [r.settings["training_step"] for r in points if r.settings["training_seed"] == 5]
        assert steps == [2, 4, 6]
        assert {r.settings["preset"] for r in points} == {DEFAULT}
        assert len(steps) <= POINTS
    pictures = sorted(path.name for path in folders[2].iterdir())
    assert pictures == [f"{name.replace('/', '_')}-{framework}-5.png" for name in chosen]
    assert [*study(framework, chosen, (5, 6), *folders)] == []
    assert len(read(short / "records")) == len(records)


def test_a_run_that_is_not_finite_is_recorded_as_such(short, monkeypatch):
    pytest.importorskip("torch")

    def diverge(*_):
        raise NotFiniteError("the loss is not finite at step 3")

    monkeypatch.setattr(ablations, "train", diverge)
    (said,) = study("torch", ("ablation/tangent_v10",), (5,), short, short / "records", None)
    assert said.endswith("the loss is not finite at step 3")
    (record,) = read(short / "records")
    assert (record.value, record.detail) == (None, "the loss is not finite at step 3")
    assert record.settings["preset"] == "ablation/tangent_v10"


def test_a_run_of_other_settings_in_the_folder_is_no_outcome(short, monkeypatch):
    pytest.importorskip("torch")
    chosen, records = (DEFAULT,), short / "records"
    assert len([*study("torch", chosen, (5,), short / "runs", None, None)]) == 1
    monkeypatch.setitem(SHORT, "training.learning_rate", 0.001)
    with pytest.raises(TrainingError, match=r"training\.learning_rate is 0\.001, but 0\.004"):
        [*study("torch", chosen, (5,), short / "runs", records, None)]
    assert read(records) == []


def test_the_preset_of_a_run_is_found_whatever_its_seed():
    for name in (DEFAULT, "ablation/power_2", "digits"):
        assert preset_of(load_config(name, {"training.seed": 7})) == name
    assert preset_of(load_config("digits", {"training.num_steps": 3})) is None


def test_a_run_of_no_preset_is_recorded_as_such():
    """And not as of none that is told, as records of the digits were before there were others."""
    changed = load_config("digits", {"training.learning_rate": 1e-3})
    assert preset_of(changed) is None
    assert failed_record(changed, "torch", "").settings["preset"] == NO_PRESET


def test_both_frameworks_run_side_by_side(tmp_path):
    """Each in a process of its own."""
    assert ablations.side_by_side(["--workdir", str(tmp_path), "--help"], tmp_path) == 0


@pytest.mark.parametrize(("codes", "status"), [((0, 0), 0), ((0, 2), 2), ((0, -9), 137)])
def test_a_framework_that_failed_or_was_killed_is_the_exit_status(
    codes, status, tmp_path, monkeypatch
):
    ended = dict(zip(ablations.FRAMEWORKS, codes, strict=True))

    def start(command, env):
        assert env["OMP_NUM_THREADS"] == "1"
        code = ended[command[-1]]
        end = f"kill -{-code} $$" if code < 0 else f"exit {code}"
        return subprocess.Popen(["sh", "-c", end])

    monkeypatch.setattr(ablations, "subprocess", SimpleNamespace(Popen=start))
    assert ablations.side_by_side([], tmp_path) == status


SAVING = 'trap "touch $0-saved; exit 0" TERM; touch $0; while :; do sleep 0.05; done'


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")
def test_a_signal_to_end_reaches_both_frameworks_which_save(tmp_path, monkeypatch):
    def start(command, env):
        return subprocess.Popen(["sh", "-c", SAVING, str(tmp_path / command[-1])])

    def end():
        until = time.monotonic() + 30
        while len([*tmp_path.iterdir()]) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(ablations, "subprocess", SimpleNamespace(Popen=start))
    threading.Thread(target=end).start()
    assert ablations.side_by_side([], tmp_path) == 128 + signal.SIGTERM
    saved = sorted(path.name for path in tmp_path.glob("*-saved"))
    assert saved == ["jax-saved", "torch-saved"]


@pytest.mark.parametrize(
    ("preset", "said"),
    [
        ("ablation/tangent_v12", "did you mean ablation/tangent_v1"),
        ("cifar10", "the data set is cifar10"),
    ],
)
def test_an_unknown_preset_and_one_of_other_images_are_refused(preset, said, capsys, tmp_path):
    assert said in refused(capsys, "ablations", "--workdir", tmp_path, "--presets", preset)
