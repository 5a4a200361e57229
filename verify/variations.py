"""Cases with other settings: random rows of r = t, Table 1 (b) and (c), other losses."""

import functools
from dataclasses import replace
from typing import Any

import numpy as np

from verify.cases import Case, perturbed_parameters, with_method
from verify.probe import Probe
from verify.registry import NotApplicable

# method.tangent with model.embedding: between them each of both, and a tangent of each time.
ABLATIONS = (("v00", "t_r_h"), ("v10", "t_r_h"), ("v11", "t_r"), ("v01", "h"))
SEED = 7
# Loss of Modular MeanFlow, of improved MeanFlow without its head, and both: settings, steps made.
COMPOUND: tuple[tuple[dict[str, Any], int | None], ...] = (
    ({"tangent_gradient": 1.0}, None),
    ({
        "tangent_velocity": "network", "guidance_eq": "none",
        "tangent_gradient": 0.8, "tangent_gradient_steps": 7,
    }, 3),
    ({"tangent_velocity": "network", "jvp": "dense"}, None),
    ({"tangent_velocity": "network", "tangent_gradient": 0.3, "reduction": "mean"}, None),
)  # fmt: skip
MOST_APART = {"data_proportion": 0.25, "class_dropout_prob": 0.6}  # r < t in most rows
OTHER_LOSSES = ("method.tangent_gradient", "method.tangent_velocity", "method.reduction")


@functools.cache
def with_random_rows(case: Case, data_proportion: float = 0.5) -> Case:
    """Case with r = t in every other row, and r < t in the first rows, whose labels are dropped."""
    settings = {"data_proportion": data_proportion, "class_dropout_prob": 0.5}
    uniforms = np.resize(np.array([0.75, 0.25, 0.5, 0.0], np.float32), len(case.batch.labels))
    return replace(
        case,
        name=f"{case.name}, random rows",
        config=with_method(case.config, equal_rows="random", **settings),
        draws=case.draws._replace(equal_uniform=uniforms),
    )


def ablations(probe: Probe, *needed: str) -> tuple[Case, ...]:
    """The first case with each pair of a tangent and embedded times.

    A port need not have them: it says which it understands by `ablations`.

    Raises:
        NotApplicable: when the subject lacks one of these settings.
    """
    for key in needed:
        if key not in probe.subject.ablations():
            raise NotApplicable(f"it has no {key}")
    return _ablations(probe.cases[0])


@functools.cache
def _ablations(case: Case) -> tuple[Case, ...]:
    """Ablations of a case, with r < t in every row and no guidance, which plays no part in them."""
    made = []
    for tangent, embedding in ABLATIONS:
        settings = {"tangent": tangent, "guidance_eq": "none", "data_proportion": 0.0}
        model = case.config.model.model_copy(update={"embedding": embedding})
        config = with_method(case.config.model_copy(update={"model": model}), **settings)
        params = perturbed_parameters(config, SEED)
        name = f"{case.name} {tangent} {embedding}"
        made.append(replace(case, name=name, config=config, params=params))
    return tuple(made)


def compound(probe: Probe) -> tuple[Case, ...]:
    """Cases with each of COMPOUND: most rows with r < t, some labels dropped.

    Raises:
        NotApplicable: when the subject lacks one of these settings.
    """
    for key in OTHER_LOSSES:
        if key not in probe.subject.ablations():
            raise NotApplicable(f"it has no {key}")
    return _compound(probe.cases[0])


@functools.cache
def _compound(case: Case) -> tuple[Case, ...]:
    made = []
    for settings, steps_made in COMPOUND:
        config = with_method(case.config, **{**MOST_APART, **settings})
        said = " ".join(f"{key} {value}" for key, value in settings.items())
        made.append(replace(case, name=said, config=config, steps_made=steps_made))
    return tuple(made)
