"""Slips of Inception's features that change no number: see `verify.mutants.equivalent`."""

from __future__ import annotations

from .equivalent_training import Reasons

ORDER = "the order of arguments or axes makes no difference"
OTHER_FILE = "only pytorch-fid's file comes here, whose network has one size: tests/impls/texts/test_inception.py"
SAME_RESIZE = "the text's own resize is that of the file"
NO_LINKS = "only where the file system has no links"
THERE = "the file that it would get is there"

FEATURES: dict[tuple[str, str], list[Reasons]] = {
    ("jax", "inception.py"): [
        {
            ORDER: (
                "_stretch: np.minimum(low + 1, size - 1) -> np.minimum(size - 1, low + 1)",
                "_layers: (1, 2) -> (2, 1)",
            ),
        },
    ],
    ("torch", "inception.py"): [
        {
            OTHER_FILE: (
                "load_inception: _Network(network, None, dtype) -> _Network(None, network, dtype)",
                "load_inception: _Network(network, None, dtype) -> _Network(network, dtype, None)",
            ),
            SAME_RESIZE: ("inception_features: mode == LEGACY -> mode != LEGACY",),
            NO_LINKS: (
                (
                    "_from_torchscript: shutil.copyfile(weights.path, file)"
                    " -> shutil.copyfile(file, weights.path)"
                ),
            ),
            THERE: ("_from_torchscript: False -> True",),
        },
    ],
}
