"""Options of a run that change how it computes, not what."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from small_runs import arrays, assert_same_bits, small

from impls.common.config import Config
from impls.common.config_files import ConfigError, load_config
from impls.files import checkpoints
from impls.interop.convert import implementation
from impls.trainer.train import TrainingError, _samples, num_training_steps, train
from meanflow_repro import main


@pytest.fixture(params=["jax", "torch"])
def framework(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(request.param)
    return str(request.param)


def test_device_draws_resume_to_the_same_bits(framework: str, tmp_path: Path) -> None:
    module, draws = implementation(framework), {"training__draws": "device"}
    train(module, framework, small(**draws), tmp_path / "whole")
    train(module, framework, small(**draws, training__num_steps=4), tmp_path / "halves")
    train(module, framework, small(**draws), tmp_path / "halves")
    assert_same_bits(arrays(framework, tmp_path / "whole"), arrays(framework, tmp_path / "halves"))


def test_bfloat16_products_leave_float32_parameters(framework: str, tmp_path: Path) -> None:
    config = small(training__precision="bfloat16")
    train(implementation(framework), framework, config, tmp_path)
    assert {array.dtype for array in arrays(framework, tmp_path).values()} == {np.dtype("float32")}


def test_no_picture_is_drawn_where_none_is_asked_for(
    framework: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    monkeypatch.setattr(
        "impls.trainer.train._samples", lambda *_: drawn.append(1) or np.zeros((2, 2, 3))
    )
    every = {"training__batch_size": 1438, "training__sample_per_epoch": 1}
    module = implementation(framework)
    train(module, framework, small(**every, training__sample_on_training=False), tmp_path / "no")
    assert len(drawn) == 0
    train(module, framework, small(**every), tmp_path / "yes")
    assert len(drawn) == 6


@pytest.mark.parametrize(
    ("settings", "times"),
    [
        ({}, (1.0, 0.0)),
        ({"num_steps": 2}, (1.0, 0.5, 0.0)),
        ({"num_steps": 2, "sampling_timesteps": [1, 0.8, 0]}, (1.0, 0.8, 0.0)),
    ],
)
def test_pictures_are_drawn_at_the_times_of_the_configuration(
    settings: dict[str, Any], times: tuple[float, ...]
) -> None:
    asked = []

    def sample(config: Config, params: Any, noise: Any, labels: Any, times: Any) -> Any:
        asked.append(times)
        return noise

    module = SimpleNamespace(put=lambda tree: tree, get=lambda tree: tree, sample=sample)
    config = small(**{f"sampling__{key}": value for key, value in settings.items()})
    _samples(module, config, SimpleNamespace(ema_params=None))
    assert asked == [times]


def test_epochs_give_the_number_of_steps() -> None:
    config = small(training__num_steps=None, training__num_epochs=3)
    assert num_training_steps(config, 1438) == 3 * (1438 // 32)
    assert num_training_steps(small(training__num_steps=7), 1438) == 7


def test_a_longer_cosine_is_another_run(framework: str, tmp_path: Path) -> None:
    """Without cycle_steps the number of steps shapes the schedule."""
    module, cosine = implementation(framework), {"training__schedule": "cosine"}
    train(module, framework, small(**cosine, training__num_steps=2), tmp_path)
    with pytest.raises(TrainingError, match=r"training\.num_steps is 6, but 2 in the run"):
        train(module, framework, small(**cosine), tmp_path)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"training.num_microbatches": 5}, "expected a divisor of training.batch_size (128)"),
        ({"training.min_learning_rate": 1}, "expected at most training.learning_rate (0.002)"),
        ({"training.schedule": "cosine", "training.num_steps": None}, "set it, or num_steps"),
        ({"training.ema_more": [0.9, 1]}, "training.ema_more"),
        ({"training.max_grad_norm": 0}, "null or a number above 0"),
        ({"training.precision": "float16"}, "training.precision"),
    ],
)
def test_options_that_do_not_fit_are_one_sentence(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config("digits", settings)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_eval_only_scores_load_from_and_trains_nothing(
    framework: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(implementation(framework), framework, small(training__num_steps=1), tmp_path / "run")
    asked = ["train", "--framework", framework, "--workdir", str(tmp_path / "none")]
    assert main([*asked, "--set", "eval_only=true"]) == 2
    assert "load_from names no checkpoint" in capsys.readouterr().err
    source = ["--set", f"load_from={tmp_path / 'run'}"]
    assert main([*asked, "--set", "eval_only=true", *source]) == 0
    assert "conditional accuracy" in capsys.readouterr().out
    assert not (tmp_path / "none").exists()


def test_a_device_that_is_not_there_is_one_sentence(
    framework: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["train", "--framework", framework, "--workdir", str(tmp_path / "run")]
    assert main([*asked, "--device", "nonsense"]) == 2
    error = capsys.readouterr().err
    assert "--device is nonsense" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_records_of_scores_are_complete(framework: str, tmp_path: Path) -> None:
    from results.schema import Record

    train(implementation(framework), framework, small(training__num_steps=1), tmp_path / "run")
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
