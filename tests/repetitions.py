"""Which repetitions of a test run: one in twenty in the suite, all of them in `nox -s soak`.

A test marked `soak("kills", of="repetition")` belongs to the act of kills and is repeated over its
parameter `repetition`; with `share=100` the suite runs one in a hundred, with `share=None` none.
The act `fuzz` is every test of Hypothesis with fifty times its examples, or as many times as its
mark `fuzz(more)` says.
"""

import random
import re
from collections import defaultdict

import hypothesis
import pytest

from results.tabulate.soak import ACTS

SHARE = 20  # the suite runs one repetition of so many, at least one of each test
MORE = 50  # times the examples of the suite that the act `fuzz` makes of a test without a mark


def one_in_twenty(items):
    """Every item, but of each repeated test the first of every twenty repetitions, or its share.

    Two items are repetitions of one test when they differ in the repeated parameter alone.
    """
    met: defaultdict[str, int] = defaultdict(int)
    kept = []
    for item in items:
        mark = item.get_closest_marker("soak")
        if mark:
            params = {**item.callspec.params, mark.kwargs["of"]: ...}
            test = f"{item.path} {item.originalname} {sorted(params.items(), key=str)}"
            met[test] += 1
            share = mark.kwargs.get("share", SHARE)
            if share is None or (met[test] - 1) % share:
                continue
        kept.append(item)
    return kept


def of_act(act, seed, items):
    """Every item of an act, in an order drawn by the seed, so that the first ones are a sample.

    Raises:
        UsageError: for an act that is not one of ACTS.
    """
    if act not in ACTS:
        raise pytest.UsageError(f"--soak is {act}, expected one of {', '.join(ACTS)}")
    kept = [item for item in items if _act_of(item) == act]
    random.Random(seed).shuffle(kept)  # noqa: S311
    for item in kept if act == "fuzz" else ():
        _with_more_examples(item)
    return kept


def _act_of(item):
    mark = item.get_closest_marker("soak")
    return mark.args[0] if mark else "fuzz" if item.get_closest_marker("hypothesis") else ""


def _with_more_examples(item):
    """Random examples instead of the same ones each time, many times as many."""
    test = item.obj
    own = test._hypothesis_internal_use_settings
    mark = item.get_closest_marker("fuzz")
    more = mark.args[0] if mark else MORE
    if own.derandomize:  # else another item of the same function has been here
        test._hypothesis_internal_use_settings = hypothesis.settings(
            own, max_examples=more * own.max_examples, derandomize=False, database=None
        )


def num_examples(statistics):
    """How many examples Hypothesis says that it tried, those that it discarded left out."""
    found = re.findall(r"(\d+) passing, (\d+) failing", statistics)
    return sum(int(count) for pair in found for count in pair)
