"""A loss with a schedule asks for the number of steps made."""

import importlib

import pytest

from impls.common.config_files import load_config


@pytest.mark.parametrize("name", ["reference", "impls.meanflow_jax", "impls.meanflow_torch"])
def test_a_schedule_without_a_step_is_one_sentence(name):
    pytest.importorskip(name.rpartition("_")[2] if "_" in name else "numpy")
    objective = importlib.import_module(f"{name}.objective")
    config = load_config("modular/curriculum")
    with pytest.raises(ValueError, match="pass step, the number of steps made"):
        objective.tangent_gradient(config)
    assert [float(objective.tangent_gradient(config, step)) for step in (0, 450, 2000)] == [
        0,
        0.5,
        1,
    ]
