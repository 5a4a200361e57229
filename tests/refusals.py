"""What a user is told: the one sentence of an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from impls.common.errors import UserError


def refusal(
    kind: type[UserError], call: Callable[..., object], *arguments: Any, **options: Any
) -> str:
    """The message of the error of this kind that a call raises; it is one line."""
    with pytest.raises(kind) as caught:
        call(*arguments, **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message
