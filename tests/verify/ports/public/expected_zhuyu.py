"""Deviations of zhuyu-cs/MeanFlow and of its history, listed by reading its loss.py."""

from tests.verify.ports.public.expectation import Deviation, Port

_RANDOM = "coin|random|independent|each row"


def _coin(line: int) -> Deviation:
    return Deviation("rows with r = t", "a coin per row", _RANDOM, f"loss.py:{line}")


def _share(share: str, line: int) -> Deviation:
    words = {"0.25": r"0?\.2[45]"}.get(share, share.replace("0.", r"0?\."))
    return Deviation("rows with r = t", f"share {share}", words, f"loss.py:{line}")


def _dropped(line: int) -> Deviation:
    return Deviation("label dropout", "a coin per row", _RANDOM, f"loss.py:{line}")


def _eps(line: int) -> Deviation:
    return Deviation("weight", "eps = 0.001", r"0?\.001|1e-0?3", f"loss.py:{line}")


def _mean(line: int) -> Deviation:
    """(s + eps)^-p of a sum, applied to a mean: the gradient is divided by the number of pixels."""
    return Deviation("weight", "1 / (D (s + 0.001)): mean over pixels outside the weight",
                     r"mean|\bD\b|pixel", f"loss.py:{line}")  # fmt: skip


def _plain_tangent(line: int) -> Deviation:
    return Deviation("derivative", "tangent (v, 0, 1) of (z, r, t): v without guidance",
                     r"(^|[^_\w])v\b(?!_g)", f"loss.py:{line}")  # fmt: skip


def _averaged(rows: str, line: int) -> Deviation:
    """Guidance and du/dt of the averaged network: one cause, under up to three headings."""
    return Deviation("derivative|target|guidance", f"averaged network, {rows}",
                     "ema|averag|copy|second|other network", f"loss.py:{line}",
                     "differs|unknown")  # fmt: skip


def _unlabelled(formula: str, line: int) -> Deviation:
    return Deviation("unlabelled rows", formula, r"null|guid|0\.8|\b2\b|omega", f"loss.py:{line}")


def _claimed(formula: str, words: str, line: int) -> Deviation:
    return Deviation("guidance", formula, words, f"loss.py:{line}", "claimed|differs")


_GUIDED = "0.2 v - 0.12 u_null + 0.92 u_y where t <= 0.8"
_SILENT = "0.2 v + 0.8 u_null where t <= 0.8"  # what guidance makes of a row without a label

# The README's first --ratio-r-not-equal-t, 0.75, is the share of rows with r < t. Labels are
# dropped inside the network (sit.py:78), at each call anew: the loss knows of none.
FIRST = Port("zhuyu_e5b91d5.py", "zhuyu-cs+MeanFlow@e5b91d5", {
    "loss": (
        _plain_tangent(132), _eps(174), _mean(176), _coin(91), _share("0.25", 89),
        Deviation("label dropout", "never", r"no row|none|never|\b0\b|no label", "loss.py:97"),
    ),
    "sample": (),
})  # fmt: skip

_SECOND = (_plain_tangent(135), _eps(177), _mean(179), _coin(83), _dropped(110))
SECOND = Port("zhuyu_86c9116.py", "zhuyu-cs+MeanFlow@86c9116", {
    "loss": _SECOND,
    "loss_guided": (*_SECOND, _claimed(_GUIDED, r"0\.2|0\.92", 162), _unlabelled(_SILENT, 162)),
    "sample": (),
})  # fmt: skip

THIRD = Port("zhuyu_d672a11.py", "zhuyu-cs+MeanFlow@d672a11", {
    "loss": (
        _plain_tangent(130), _averaged("all rows", 131), _eps(172), _mean(174), _coin(83),
        _dropped(105),
    ),
    "sample": (),
})  # fmt: skip

FOURTH = Port("zhuyu_775ec68.py", "zhuyu-cs+MeanFlow@775ec68", {
    "loss": (
        _plain_tangent(156), _averaged("first quarter of the rows", 157), _eps(250), _mean(252),
        _coin(88), _dropped(110),
    ),
    "sample": (),
})  # fmt: skip

_FIFTH = (_eps(267), _mean(269), _coin(88), _dropped(110))
FIFTH = Port("zhuyu_bc5f279.py", "zhuyu-cs+MeanFlow@bc5f279", {
    "loss": (*_FIFTH, _averaged("first quarter of the rows", 183)),
    "loss_current": _FIFTH,
    "sample": (),
})  # fmt: skip

# The mean "over pixels" of a [batch] array, dim=[], is its mean: a scalar, as wanted.
_SIXTH = (_eps(268), _coin(88), _dropped(110))
SIXTH = Port("zhuyu_6d24b68.py", "zhuyu-cs+MeanFlow@6d24b68", {
    "loss": _SIXTH,
    "loss_guided": (*_SIXTH, _claimed(_GUIDED, r"0\.2|0\.92", 236), _unlabelled(_SILENT, 236)),
    "sample": (),
})  # fmt: skip

SEVENTH = Port("zhuyu_8cfd35e.py", "zhuyu-cs+MeanFlow@8cfd35e", {
    "loss": (_eps(262), _coin(82), _dropped(104)),
    "sample": (),
})  # fmt: skip

_EIGHTH = (_eps(359), _coin(82), _dropped(106))
EIGHTH = Port("zhuyu_66a8177.py", "zhuyu-cs+MeanFlow@66a8177", {
    "loss": _EIGHTH,
    "loss_guided": (*_EIGHTH, _claimed(_GUIDED, r"0\.2|0\.92", 302)),
    "loss_averaged": (*_EIGHTH, _averaged("first three quarters of the rows", 202)),
    "sample": (),
})  # fmt: skip

_ROWS = (_coin(78), _dropped(102))
_TWICE = Deviation("weight", "s^2 / (s^2 + 0.001): the squared norm is squared again",
                   r"twice|s\^2|s\*\*2|squared", "loss.py:222")  # fmt: skip
NEWEST = Port("zhuyu.py", "zhuyu-cs+MeanFlow", {
    "loss": (*_ROWS, _TWICE),
    "loss_guided": (*_ROWS, _TWICE, _claimed(_GUIDED, r"0\.2|0\.92", 166)),
    "loss_scaled": (*_ROWS, _TWICE, _claimed("3 v - 2 u_null", r"\b3\b", 166)),
    "sample": (),
})  # fmt: skip

_DEFAULTS = (*_ROWS, _share("0.25", 76))
_UNGUIDED = Deviation("guidance", "v_g = v: omega = 1, kappa = 0",
                      r"none|^v\b|= v\b|omega = 1|kappa = 0", "loss.py:166")  # fmt: skip
_PATH = Deviation("path", "z = cos(pi t / 2) x + sin(pi t / 2) e, v its derivative",
                  "cos|sin|another|other", "loss.py:50", "differs|unknown")  # fmt: skip
_AFTER = Deviation("derivative|guidance|target|unlabelled rows|weight", "consequences of the path",
                   "", "loss.py:114", "differs|unknown", optional=True)  # fmt: skip
OPTIONS = Port("zhuyu_options.py", "zhuyu-cs+MeanFlow", {
    "loss": (*_DEFAULTS, _TWICE, _UNGUIDED),
    "loss_uniform": (
        *_ROWS,
        Deviation("weight", "p = 0", "p = 0|no weight|none|unweighted|^s", "loss.py:225",
                  "claimed"),
    ),
    "loss_cosine": (*_DEFAULTS, _PATH, _AFTER),
    "loss_window": (
        *_DEFAULTS, _TWICE,
        Deviation("guidance", "omega = 2, kappa = 0", r"\b2\b", "loss.py:166"),
        Deviation("guidance", "only where t <= 0.8", r"0?\.8\b", "loss.py:127"),
    ),
})  # fmt: skip

CIFAR10 = Port("zhuyu_cifar10.py", "zhuyu-cs+MeanFlow@1221603", {
    "loss": (),
    "loss_defaults": (
        Deviation("weight", "p = 1", r"p = 1\b|\^1\b|\^-1\b|/ \(s \+ 0?\.001\)", "loss.py:16"),
        _share("0.75", 66),
    ),
    "sample": (),
}, preset="cifar10_v0")  # fmt: skip

ZHUYU = (
    FIRST, SECOND, THIRD, FOURTH, FIFTH, SIXTH, SEVENTH, EIGHTH, NEWEST, OPTIONS, CIFAR10,
)  # fmt: skip
