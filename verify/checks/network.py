"""Network: each module against the reference, then the whole."""

from verify.cases import Case
from verify.compare import row_error
from verify.probe import Probe, both
from verify.registry import Errors, NotApplicable, check, checks
from verify.variations import ablations

MODULES = {  # check -> what the module computes, and its name or the end of it
    "patch_and_position_embedding_match":
        ("Linear patch embedding plus the 2-D sine-cosine position embedding, column before row.",
         "x_embedder"),
    "time_embedding_matches":
        ("T(t): [cos, sin] of the raw time in 0..1, Linear, SiLU, Linear.", "t_embedder"),
    "interval_embedding_matches": ("H(h): an embedder of its own for h = t - r.", "h_embedder"),
    "label_embedding_matches": ("Y(y): a table whose last row is the null label.", "y_embedder"),
    "modulation_matches": ("adaLN: six chunks of Linear(SiLU(T + H + Y)).", "adaLN"),
    "attention_matches":
        ("softmax(q k^T / sqrt(head_dim)) v, between the qkv and output projections.", "attn"),
    "mlp_matches": ("Linear, tanh-GELU, Linear.", "mlp"),
    "blocks_match":
        ("Each block: modulated LayerNorm, attention, gate; modulated LayerNorm, MLP, gate.",
         "blocks"),
    "final_layer_matches": ("Modulated LayerNorm and the linear layer to pixels.", "final_layer"),
}  # fmt: skip
U = "mean_velocity load_params"


@checks("activations load_params", MODULES)
def modules_match(probe: Probe, case: Case, *endings: str) -> Errors:
    """Error of the worst row of outputs of modules whose canonical name ends in one of these."""
    inputs = case.inputs
    expected = {k: array for k, array in case.activations.items() if _is_one_of(k, endings)}
    if not expected:
        raise NotApplicable(f"its network has no {' or '.join(endings)}")
    actual = probe.activations(case, inputs.z, inputs.t, inputs.h, inputs.labels)
    for name, array in expected.items():
        yield name, row_error(actual[name], array)


def _is_one_of(name: str, endings: tuple[str, ...]) -> bool:
    last = name.rpartition("/")[2]
    return last in endings or (last.startswith("blocks_") and "blocks" in endings)


@check(U)
def mean_velocity_matches(probe: Probe, case: Case) -> float:
    """u(z, t, h, y) of the whole network against the reference, sample by sample."""
    return _whole_error(probe, case)


def _whole_error(probe: Probe, case: Case) -> float:
    x = case.inputs
    return row_error(*both(probe, "mean_velocity", case.config, case, x.z, x.t, x.h, x.labels))


@check(U, like="mean_velocity_matches", only=lambda case: len(case.inputs.t) > 1)
def rows_are_independent(probe: Probe, case: Case) -> float:
    """Without its first row, and in another order, a batch gives the same u for the rest."""
    x, params = case.inputs, probe.params(case)
    arguments = (x.z, x.t, x.h, x.labels)
    u = probe.call("mean_velocity", case.config, params, *arguments)
    rest = [array[:0:-1].copy() for array in arguments]
    rest_u = probe.call("mean_velocity", case.config, params, *rest)
    return row_error(rest_u, u[:0:-1])


@check("mean_velocity mean_velocity_jvp load_params", exact=True)
def dtype_is_kept(probe: Probe, case: Case) -> Errors:
    """Inputs and parameters of one dtype give outputs of that dtype, u and du/dt."""
    x, params = case.inputs, probe.params(case)
    u = probe.call("mean_velocity", case.config, params, x.z, x.t, x.h, x.labels)
    pair = probe.call("mean_velocity_jvp", case.config, params, x.z, x.r, x.t, x.labels, x.tangent)
    for name, array in zip(("u", "jvp u", "du/dt"), (u, *pair), strict=True):
        yield f"{name} is {array.dtype}", float(array.dtype != probe.dtype)


@check(f"{U} ablations")
def embedded_times_match(probe: Probe) -> Errors:
    """Embeddings of (t, r), (t, r, t - r) and t - r alone, an embedder of its own for each time."""
    for case in ablations(probe, "model.embedding"):
        yield case.name, _whole_error(probe, case)
