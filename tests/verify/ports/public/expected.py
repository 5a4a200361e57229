"""Deviations of public ports, listed by reading their code before anything was run.

MEANFLOW_PORTS names a folder of checkouts, each named OWNER+NAME as at github.com/OWNER/NAME, and
OWNER+NAME@COMMIT for an older commit of one (only loss.py and meanflow_sampler.py of it):

    git -C zhuyu-cs+MeanFlow archive COMMIT loss.py meanflow_sampler.py | tar -x -C FOLDER

Read at these commits: zhuyu-cs/MeanFlow b006921 (and those in the adapters' names), its branch
cifar10 1221603; Gsunshine/meanflow d70cb55; Gsunshine/py-meanflow 1f6d72d;
lucidrains/rectified-flow-pytorch 26fbed9; tofsi/mean-flows 06d71e6; magicknight/MeanFlow 69a249d.
"""

from tests.verify.ports.public.expectation import Deviation, Port
from tests.verify.ports.public.expected_zhuyu import ZHUYU

_FLOW = "rectified_flow_pytorch/mean_flow.py"


def _no_labels(source: str) -> tuple[Deviation, ...]:
    """Of an unconditional port: it has no labels that could be dropped or guided."""
    return (
        Deviation("guidance", "none", "", source, "differs|claimed|unknown", optional=True),
        Deviation("label dropout", "none", "", source, "differs|claimed", optional=True),
    )


_NO_LABELS = _no_labels(f"{_FLOW}:242")
_BATCH_COIN = Deviation(
    "rows with r = t", "all rows of a batch or none", "batch|call", f"{_FLOW}:227"
)
_HALF = Deviation("rows with r = t", "share 0.5", r"0\.5|50 ?%", f"{_FLOW}:43", "differs|claimed")
_SINGLE = Deviation(
    "law of times|rows with r = t", "rows with r = t: t is a single draw, not the larger of two",
    "before|single|one draw|not the (larger|maximum)|max", f"{_FLOW}:223",
)  # fmt: skip


def _lucidrains_weight(verdict: str) -> tuple[Deviation, ...]:
    return (
        Deviation("weight", "p = 0.5", r"0\.5", f"{_FLOW}:39", verdict),
        Deviation("weight", "eps = 0.001", r"0?\.001|1e-0?3", f"{_FLOW}:48", verdict),
        Deviation("weight", "mean over pixels", r"mean|\bD\b|/ ?D", f"{_FLOW}:292", verdict),
    )


LUCIDRAINS = Port("lucidrains.py", "lucidrains+rectified-flow-pytorch", {
    "loss": (*_lucidrains_weight("differs"), _BATCH_COIN, _HALF, _SINGLE, *_NO_LABELS),
    "loss_cond": (
        *_lucidrains_weight("claimed"), _BATCH_COIN, _HALF, _SINGLE,
        Deviation("guidance", "v_g = v", r"none|^v\b|= v\b", f"{_FLOW}:242", "claimed"),
        Deviation("label dropout", "never", r"no row|none|never|\b0\b", f"{_FLOW}:266", "claimed"),
    ),
    "sample": (
        Deviation("sampler", "h = 0 at 2 and 4 steps", r"h = 0|instantaneous|u\(z, t, 0",
                  f"{_FLOW}:142"),
        Deviation("sampler", "2 and 4 steps: the noise given is not used", "own|noise|ignore",
                  f"{_FLOW}:179", "differs|unknown", optional=True),
    ),
}, needs=("einops",))  # fmt: skip

LUCIDRAINS_OPTIONS = Port("lucidrains_options.py", "lucidrains+rectified-flow-pytorch", {
    "loss": (
        *_lucidrains_weight("claimed"), _BATCH_COIN, _SINGLE, *_NO_LABELS,
        Deviation("rows with r = t", "share 0.25", r"0?\.[123]", f"{_FLOW}:227", "claimed|differs"),
    ),
    "loss_plain": (
        Deviation("weight", "p = 0", r"p = 0|no weight|none|unweighted|^s\b|mean",
                  f"{_FLOW}:291", "claimed"),
        Deviation("law of times", "uniform", "uniform", f"{_FLOW}:96", "claimed|differs"),
        _BATCH_COIN, _HALF, _SINGLE, *_NO_LABELS,
    ),
    # The second term is t^2 |u - target|^2, since z - x = t v: the same target, another weight.
    "loss_recon": (
        *_lucidrains_weight("differs|unknown"), _BATCH_COIN, _HALF, _SINGLE, *_NO_LABELS,
        Deviation("weight", "(m + 0.001)^-0.5 + t^2, m the mean over pixels", r"\bt\b|times",
                  f"{_FLOW}:309", "differs|unknown"),
    ),
    "loss_noise": (
        Deviation("path", "noise of standard deviation 2", r"\b2\b|\b4\b|deviation|scale|variance",
                  f"{_FLOW}:240"),
        *_lucidrains_weight("claimed"), _BATCH_COIN, _HALF, _SINGLE, *_NO_LABELS,
    ),
}, needs=("einops",))  # fmt: skip

# Another family: once it is named, no other line is judged.
_ANY = Deviation(
    "|".join(("derivative", "guidance", "unlabelled rows", "target", "weight", "rows with r = t",
              "label dropout", "law of times", "sampler", "path")),
    "", "", "rectified_flow_pytorch/split_mean_flow.py:205", "differs|unknown", optional=True,
)  # fmt: skip
SPLIT = Port("lucidrains_split.py", "lucidrains+rectified-flow-pytorch", {
    "loss": (
        Deviation("path|target", "z = (1 - t) e + t x, v = x - e",
                  "reverse|t = 1 is data|data at t = 1|x - e|split",
                  "rectified_flow_pytorch/split_mean_flow.py:208", "differs|unknown"),
        _ANY,
    ),
    "sample": (_ANY,),
}, needs=("einops",))  # fmt: skip

_COIN = Deviation("rows with r = t", "a coin per row", "coin|random|independent|each row",
                  "mean_flows.py:67")  # fmt: skip
_DROP = Deviation("label dropout", "a coin per row", "coin|random|independent|each row",
                  "mean_flows.py:172")  # fmt: skip
_WEIGHT = (
    Deviation("weight", "eps = 1e-6", r"1e-0?6|0\.000001|too small", "mean_flows.py:16"),
    Deviation("weight", "mean over pixels", r"mean|\bD\b|/ ?D", "mean_flows.py:25"),
    Deviation("weight", "divided by their mean over the batch", "batch|normali|rows|mean weight",
              "mean_flows.py:28"),
)  # fmt: skip
_UNGUIDED = Deviation("guidance", "v_g = v", r"none|^v\b|= v\b|omega = 1|kappa = 0",
                      "mean_flows.py:186")  # fmt: skip
_TOFSI = (_COIN, _DROP, *_WEIGHT)
TOFSI = Port("tofsi.py", "tofsi+mean-flows", {
    "loss": (*_TOFSI, _UNGUIDED),
    "loss_best": (
        *_WEIGHT, _DROP,
        Deviation("guidance", "1.5 v - 0.5 u(z, t, 0, y): y where the null label belongs",
                  r"u_y|u_c|u\(.*y\)|label|cond", "mean_flows.py:188"),
        Deviation("unlabelled rows", "1.5 v - 0.5 u(z, t, 0, null)", r"0\.5|1\.5|null|guid",
                  "mean_flows.py:189"),
        Deviation("weight", "p = 0.5", r"0\.5", "mean_flows.py:26", "claimed|differs"),
        Deviation("rows with r = t", "none", r"none|\b0\b|no row", "mean_flows.py:67", "claimed"),
        Deviation("law of times", "logit-normal (-0.4, 1.2)", r"1\.2", "mean_flows.py:58",
                  "claimed"),
    ),
    "sample": (),
})  # fmt: skip

TOFSI_OPTIONS = Port("tofsi_options.py", "tofsi+mean-flows", {
    "loss": (*_TOFSI, _UNGUIDED),
    "loss_uniform": (
        *_TOFSI,
        _UNGUIDED._replace(verdict="claimed"),
        Deviation("law of times", "uniform", "uniform", "mean_flows.py:49", "claimed"),
    ),
    "loss_tangent": (
        *_TOFSI, _UNGUIDED,
        Deviation("derivative", "tangent (v, 1, 0) of (z, r, t)", r"1, ?0|\br\b",
                  "mean_flows.py:196"),
    ),
    "loss_unlabelled": (_COIN, *_WEIGHT, *_no_labels("mean_flows.py:146")),
})  # fmt: skip

MAGICKNIGHT = Port("magicknight.py", "magicknight+MeanFlow", {
    "loss": (
        Deviation("weight", "mean over pixels", r"mean|\bD\b|/ ?D", "src/training.py:63"),
        # The key of the coin is the key of r: r = t where r's own draw is in its upper quarter.
        Deviation("rows with r = t", "where the draw of r is in its upper quarter",
                  "depend|draw|time", "src/training.py:33"),
        Deviation("law of times", "r < t: the draw of r is below its upper quarter", "",
                  "src/training.py:33", "differs|unknown", optional=True),
    ),
    # jax.jit traces the shape that jax.random.normal needs as a constant.
    "sample": (Deviation("error|sampler", "raises under jax.jit", "shape|concrete|trace|jit",
                         "src/sampling.py:7", "differs|unknown"),),
}, preset="cifar10_v0")  # fmt: skip

OFFICIAL = Port("official_imagenet.py", "Gsunshine+meanflow", {"loss": (), "sample": ()})
OFFICIAL_OPTIONS = Port("official_imagenet_options.py", "Gsunshine+meanflow", {
    "loss": (Deviation("guidance", "omega = 2, kappa = 0 where 0.2 <= t <= 0.9", r"\b2\b",
                       "meanflow.py:176", "claimed"),),
    "loss_plain": (
        Deviation("guidance", "v_g = v", r"none|^v\b|= v\b", "meanflow.py:187", "claimed"),
        Deviation("law of times", "uniform", "uniform", "meanflow.py:144", "claimed"),
    ),
})  # fmt: skip

_NOTHING: dict[str, tuple[Deviation, ...]] = {"loss": (), "sample": ()}
PY_V0 = Port("py_meanflow_v0.py", "Gsunshine+py-meanflow", _NOTHING, preset="cifar10_v0")
PY_V1 = Port("py_meanflow_v1.py", "Gsunshine+py-meanflow", _NOTHING, preset="cifar10_v1")
# The paper's law, held to the improved one.
PY_V0_AS_V1 = Port("py_meanflow_v0.py", "Gsunshine+py-meanflow", {
    "loss": (
        Deviation("law of times", "logit-normal (-2, 2) for both, r := t after ordering",
                  r"-2|-1\.99", "meanflow/models/time_sampler.py:28"),
        Deviation("law of times|rows with r = t", "r := t after ordering", "", optional=True,
                  source="meanflow/models/time_sampler.py:37"),
    ),
    "sample": (),
}, preset="cifar10_v1")  # fmt: skip

PORTS = (
    *ZHUYU, OFFICIAL, OFFICIAL_OPTIONS, PY_V0, PY_V1, PY_V0_AS_V1, LUCIDRAINS, LUCIDRAINS_OPTIONS,
    SPLIT, TOFSI, TOFSI_OPTIONS, MAGICKNIGHT,
)  # fmt: skip
