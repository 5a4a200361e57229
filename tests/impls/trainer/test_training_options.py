"""Options of a run that change how it computes, not what."""

from types import SimpleNamespace

import numpy as np
import pytest
from results_records import refused
from small_runs import small, state_of, trained

from impls.common.config_files import load_config
from impls.fid.small_images import conditional_accuracy
from impls.files import checkpoints
from impls.files.pictures import TEXT
from impls.frameworks import implementation
from impls.trainer.generate import generate
from impls.trainer.train import ROWS, _samples, num_training_steps, train
from meanflow_repro import main
from results.schema import Record


def test_bfloat16_products_leave_float32_parameters(framework, tmp_path):
    trained(framework, tmp_path, training__precision="bfloat16")
    saved = state_of(tmp_path)
    arrays = [*saved.params.values(), *saved.ema_params.values()]
    assert {array.dtype for array in arrays} == {np.dtype("float32")}


def test_no_picture_is_drawn_where_none_is_asked_for(framework, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "impls.trainer.train._samples",
        lambda *_: drawn.append(1) or np.zeros((2, 2, 3), np.uint8),
    )
    every = {"training__batch_size": 1438, "training__sample_per_epoch": 1}
    trained(framework, tmp_path / "no", **every, training__sample_on_training=False)
    assert len(drawn) == 0
    trained(framework, tmp_path / "yes", **every)
    assert len(drawn) == 6
    pictures = {path.name for path in (tmp_path / "yes" / "samples").iterdir()}
    assert pictures == {f"step_{step}.png" for step in range(1, 7)}


@pytest.mark.parametrize(
    ("settings", "times"),
    [
        ({}, (1.0, 0.0)),
        ({"num_steps": 2}, (1.0, 0.5, 0.0)),
        ({"num_steps": 2, "sampling_timesteps": [1, 0.8, 0]}, (1.0, 0.8, 0.0)),
    ],
)
def test_pictures_are_drawn_at_the_times_of_the_configuration(settings, times):
    asked = []

    def sample(config, params, noise, labels, times):
        asked.append(times)
        return noise

    module = SimpleNamespace(put=lambda tree: tree, get=lambda tree: tree, sample=sample)
    config = small(**{f"sampling__{key}": value for key, value in settings.items()})
    _samples(module, config, SimpleNamespace(ema_params=None))
    assert asked == [times]


def test_a_picture_has_a_column_for_each_class_with_its_number_above():
    asked = []

    def sample(config, params, noise, labels, times):
        asked.extend(labels)
        return labels[:, None, None, None] / 10 + np.zeros_like(noise)

    module = SimpleNamespace(put=lambda tree: tree, get=lambda tree: tree, sample=sample)
    picture = _samples(module, small(), SimpleNamespace(ema_params=None))
    assert asked == list(range(10)) * ROWS
    side = picture.shape[1] // 10  # of an image and the line beside it
    assert picture.shape == (TEXT + ROWS * side, 10 * side, 3)
    for label in range(10):
        column = picture[:, label * side : (label + 1) * side]
        assert (column[TEXT::side, 0] == int(127.5 * label / 10 + 128)).all()
        assert column[:TEXT].max() > 200  # something is written


def test_epochs_give_the_number_of_steps():
    config = small(training__num_steps=None, training__num_epochs=3)
    assert num_training_steps(config, 1438) == 3 * (1438 // 32)
    assert num_training_steps(small(training__num_steps=7), 1438) == 7


def test_eval_only_scores_load_from_and_trains_nothing(framework, tmp_path, capsys):
    trained(framework, tmp_path / "run", training__num_steps=1)
    asked = ["train", "--framework", framework, "--workdir", str(tmp_path / "none")]
    asked += ["--eval-only"]
    assert "load_from names no checkpoint" in refused(capsys, *asked)
    assert main([*asked, "--load-from", str(tmp_path / "run")]) == 0
    assert "conditional accuracy" in capsys.readouterr().out
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("settings", "weights", "said"),
    [
        ({"ema_warmup": False}, "ema", "still 97% initial parameters: 6 steps, few for its decay"),
        ({"ema_warmup": False, "ema_every": 4}, "ema", "still 100% initial parameters"),
        ({"ema_warmup": False, "ema_more": [0.6]}, "0.6", "still 5% initial parameters"),
        ({"ema_warmup": False, "ema_more": [0.4]}, "0.4", None),
        ({"ema_warmup": False}, "params", None),
        ({}, "ema", None),
        ({"num_steps": 1}, "ema", "10% initial parameters: 1 step, few for its decay. Train lo"),
    ],
)
def test_parameters_are_scored_too_where_the_average_is_still_their_start(
    settings, weights, said, tmp_path, capsys
):
    pytest.importorskip("torch")
    settings = {f"training__{key}": value for key, value in settings.items()}
    trained("torch", tmp_path / "run", **settings)
    capsys.readouterr()
    asked = ["evaluate", "--checkpoint", str(tmp_path / "run"), "--weights", weights]
    assert main([*asked, "--num-samples", "100"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("  of the raw parameters  ") == (2 if said else 0)
    assert ("initial parameters" in printed) == bool(said)
    assert (said or "") in printed


def accuracy(run, weights):
    """Share of one-step samples that are read as the label they were asked for."""
    found = checkpoints.find(run)
    made = generate(found, 500, 1, 0, "balanced", which=weights)
    return conditional_accuracy(found.config.dataset, *made).value


@pytest.mark.slow
def test_a_short_run_that_warms_up_is_as_good_as_its_parameters(framework, tmp_path):
    """300 steps of the preset: without the warm-up a fifth of the average is the initial noise."""
    scores = {}
    for warm in (True, False):
        changes = {"training.num_steps": 300, "training.ema_warmup": warm}
        run = tmp_path / str(warm)
        train(implementation(framework), framework, load_config("digits", changes), run)
        scores[warm] = accuracy(run, "ema")
    own = accuracy(tmp_path / "True", "params")
    assert own > 0.9
    assert scores[True] > own - 0.02
    assert scores[False] < 0.5


def test_records_of_scores_are_complete(framework, tmp_path):
    trained(framework, tmp_path / "run", training__num_steps=1)
    options = ["--checkpoint", str(tmp_path / "run"), "--record", str(tmp_path / "records")]
    assert main(["evaluate", *options, "--num-samples", "100"]) == 0
    (file,) = (tmp_path / "records").iterdir()
    records = [Record.model_validate_json(line) for line in file.read_text().splitlines()]
    subject = f"impls.meanflow_{framework}"
    assert [(record.subject, record.what, record.unit) for record in records] == [
        (subject, "evaluate/conditional_accuracy", "1"),
        ("real digits", "evaluate/conditional_accuracy", "1"),
        (subject, "evaluate/digits_Frechet_distance", "1"),
        ("real digits", "evaluate/digits_Frechet_distance", "1"),
        (subject, "train/seconds", "seconds"),
    ]
    for record in records[:4]:
        low, high = record.interval or (1, 0)
        assert low <= (record.value or 0) <= high
    assert records[0].settings == {
        "preset": "none", "training_seed": 42, "training_step": 1, "num_samples": 100,
        "num_steps": 1, "sampling_seed": 0, "weights": "ema",
    }  # fmt: skip
    assert 0 < (records[-1].value or 0) < 600
    assert checkpoints.find(tmp_path / "run").step == 1
