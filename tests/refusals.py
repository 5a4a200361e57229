"""The message of an error for the user, which must be one sentence."""

import pytest


def refusal(kind, call, *arguments, **options):
    """The message of the error of this kind that a call raises; it is one line."""
    with pytest.raises(kind) as caught:
        call(*arguments, **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message
