"""Damaged inputs for tests: bytes, JSON values and arrays; and the results allowed for them."""

import copy
import io

import numpy as np
from hypothesis import strategies as st

from impls.common.errors import UserError

# What is done to a file: bytes cut out at a place between its ends, and others put there.
DAMAGE = st.tuples(
    st.floats(0, 1), st.integers(0, 40) | st.just(10**9), st.binary(max_size=40)
)  # 10**9: all that follows


def damaged(content, damage):
    place, length, other = damage
    start = int(place * len(content))
    return content[:start] + other + content[start + length :]


def refused_or_read(read, name):
    """Whether it is read; what refuses it says the name, in one line."""
    try:
        read()
    except UserError as error:
        said = str(error)
    else:
        return True
    assert "\n" not in said
    assert name in said
    return False


# Of any JSON, not only of what once stood there; a parser may read some of it as infinite or NaN.
HUGE = st.sampled_from([1e308, -1e308, 10**400, -(10**30), 2**31, 2**63, 2**64, -1, 0, 5e-324])
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | HUGE | st.text(max_size=9)
    | st.sampled_from(["|", "`", '">', "<script>", "\ud800", "\x1b[2J", "a\nb", "9" * 5000])
)  # fmt: skip
JSON = st.recursive(
    LEAVES,
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=9), some),
    max_leaves=6,
)
GONE = object()


@st.composite
def edits(draw, content):
    """A copy of what JSON says, with one value anywhere in it changed, taken out or nested deep."""
    changed = copy.deepcopy(content)
    place, keys = changed, [*changed]
    while True:
        key = draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or not place[key] or draw(st.booleans()):
            break
        place = place[key]
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
    value = draw(JSON | st.just(GONE))
    if value is GONE:
        del place[key]
    else:
        place[key] = value
    return changed


NUMBERS = st.sampled_from([0.0, -1.0, 1e-3, -1e-9, 1e30, 1e300, np.inf, -np.inf, np.nan])
DTYPES = st.sampled_from(["f2", "f4", "f8", "c8", "i4", "u1", "?", "U5", "S3", "M8[s]"])


@st.composite
@np.errstate(all="ignore")  # numbers that float32 lacks become infinite
def array_edits(draw, array):
    """An array with one thing changed: an entry, the dtype, the shape, all of it."""
    kind = draw(st.sampled_from(["entry", "dtype", "axis", "rows", "scale", "other"]))
    if kind == "entry" and array.size and array.dtype.kind == "f":
        changed = np.array(array)
        changed.flat[draw(st.integers(0, array.size - 1))] = draw(NUMBERS)
        return changed
    if kind == "dtype" and array.dtype.kind in "fiu":
        return array.astype(draw(DTYPES))
    if kind == "axis":
        return draw(st.sampled_from([array[None], array[..., None], array.reshape(-1)]))
    if kind == "rows" and array.ndim:
        return array[: draw(st.integers(0, len(array)))]
    if kind == "scale" and array.dtype.kind == "f":
        return array * draw(NUMBERS)
    return np.array(draw(st.floats() | st.integers(-9, 9) | st.text(max_size=5)))


def npz(**arrays):
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()
