"""Import torchvision where its compiled operators do not load.

torchvision's wheel is built for one build of PyTorch. Beside another (a CPU-only one) its operators
are missing and the import fails with "operator torchvision::nms does not exist". Nothing here uses
them: their schemas alone make torchvision, and what imports it, work.
"""

import importlib
import sys

import torch

BOX_OPERATORS = ("nms", "qnms")  # those that torchvision registers at import
_library: torch.library.Library | None = None  # its declarations last as long as it does


def import_torchvision() -> None:
    """Import torchvision, declaring the operators it misses. Call it before clean-fid or diffusers.

    Raises:
        ModuleNotFoundError: when torchvision is not installed.
    """
    global _library  # noqa: PLW0603  once in a process
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if _library is not None or "torchvision::" not in str(error):
            raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        _library = torch.library.Library("torchvision", "FRAGMENT")
        for name in BOX_OPERATORS:
            _library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        importlib.import_module("torchvision")
