"""Cases with other settings: random rows of r = t, and the paper's Table 1 (b) and (c)."""

import functools
from dataclasses import replace

import numpy as np

from verify.cases import Case, perturbed_parameters, with_method
from verify.probe import Probe
from verify.registry import NotApplicable

# method.tangent with model.embedding: between them each of both, and a tangent of each time.
ABLATIONS = (("v00", "t_r_h"), ("v10", "t_r_h"), ("v11", "t_r"), ("v01", "h"))
SEED = 7


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
