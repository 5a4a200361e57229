"""The GPU that is there, and its memory running out."""

from typing import Any

from impls.common.errors import UserError

STAND_IN = "cpu"  # --device cpu: the same steps on the processor, to try the command
SPENT = ("out of memory", "outofmemoryerror", "resource_exhausted")  # PyTorch; then XLA


def select_gpu(subject: Any, device: str) -> None:
    """Select the GPU of a subject, or with --device cpu its stand-in.

    Raises:
        UserError: where there is no GPU.
    """
    subject.select_device(device)
    name = subject.device_name()
    if device != STAND_IN and not name.startswith("gpu"):
        raise UserError(
            f"the bench gpu needs a GPU, and {subject.__name__} finds none here (its device is"
            f" {name}); --device {STAND_IN} times the same steps on the processor instead"
        )


def is_out_of_memory(error: Exception) -> bool:
    """True for an error by which a framework says that the device has no memory left."""
    said = f"{type(error).__name__}: {error}".lower()
    return any(words in said for words in SPENT)
