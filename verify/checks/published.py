"""Published facts about the networks: parameter counts and the tensors of DiT_B_4."""

import json
import math
from typing import Any

from impls.common import parameters
from impls.common.config import Config
from impls.common.config_files import load_config
from verify.golden import BUNDLED
from verify.probe import Probe
from verify.registry import Errors, check


def _config(size: str) -> Config:
    return load_config("mf_b4", {"model.cls": size})


def _shapes(probe: Probe, size: str) -> dict[str, tuple[int, ...]]:
    """Shapes of parameters of the subject's network of this size."""
    return probe.once(("shapes", size), lambda: probe.subject.parameter_shapes(_config(size)))


def _read(name: str) -> Any:
    return json.loads((BUNDLED / name).read_text())


@check("parameter_shapes", exact=True)
def parameter_counts_are_official(probe: Probe) -> Errors:
    """All fifteen sizes, DiT_S_2 to DiT_XL_8: as many parameters and tensors as officially."""
    for size, official in _read("param_counts.json").items():
        shapes = _shapes(probe, size).values()
        count = sum(math.prod(shape) for shape in shapes)
        yield f"{size} parameters", float(abs(count - official["params"]))
        yield f"{size} tensors", float(abs(len(shapes) - official["tensors"]))


@check("parameter_shapes", exact=True)
def dit_b_4_tensors_are_official(probe: Probe) -> Errors:
    """DiT_B_4: exactly the official tensors, by name and shape."""
    config = _config("DiT_B_4")
    names = {tensor.name: tensor.official for tensor in parameters.tensors(config.network)}
    shapes = _shapes(probe, "DiT_B_4")
    ours = {names.get(name, name): list(shape) for name, shape in shapes.items()}
    official = _read("params_DiT_B_4.json")
    different = [name for name in {*ours, *official} if ours.get(name) != official.get(name)]
    yield "tensors that differ", float(len(different))
