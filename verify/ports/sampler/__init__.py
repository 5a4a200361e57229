"""Sampler of a port: z <- z - (t - r) u(z, t, t - r, y), from noise at t = 1 to t = 0.

The calls of the network tell times, intervals and labels; each z, by least squares on the z and u
before it, tells the step.

    steps    calls gathered into steps
    judged   one call of a sampler beside the authors'
"""

import re
from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np

from verify.ports.finding import Finding
from verify.ports.observation import Sampling
from verify.ports.sampler.judged import EULER, Judgement, counted, judged
from verify.ports.sampler.steps import TIME, close

_OFFICIAL = f"{EULER}, uniform times from 1 to 0"


def findings(samplings: Sequence[Sampling], name: str) -> list[Finding]:
    """Differences of a sampler from the authors', or one line that says there is none."""
    failed, single = _errors(samplings)
    returned = [sampling for sampling in samplings if not sampling.error]
    results = [judged(sampling) for sampling in returned]
    lines = [
        Finding("sampler", "differs", text, _OFFICIAL, "it stops there", name) for text in failed
    ]
    texts = [
        *_merged(results),
        *_state(returned),
    ]
    lines += [
        Finding("sampler", "differs", code, _OFFICIAL, detail, name) for code, detail in texts
    ]
    unknown = _joined((result.unknown, result.num_steps) for result in results)
    lines += [
        Finding("sampler", "unknown", code, _OFFICIAL, "its steps cannot be told", name)
        for code in unknown
    ]
    if lines or not results:
        return lines
    notes = list(dict.fromkeys(note for result in results for note in result.notes))
    if single:
        notes.append("one step only")
    code = f"{EULER}, {_grid(results)}"
    return [Finding("sampler", "same", code, _OFFICIAL, "; ".join(notes), name)]


def _errors(samplings: Sequence[Sampling]) -> tuple[list[str], bool]:
    """Texts of errors, and whether the sampler is for one step only, which it says itself."""
    ran = any(not sampling.error for sampling in samplings)
    single, others = False, []
    for sampling in samplings:
        if sampling.error.startswith("NotImplementedError") and sampling.num_steps > 1 and ran:
            single = True
        elif sampling.error:
            others.append((sampling.error, sampling.num_steps))
    return _joined(others), single


def _joined(texts: Iterable[tuple[str, int]]) -> list[str]:
    """Texts, each once, with the numbers of steps at which it holds."""
    found: dict[str, list[int]] = {}
    for text, num_steps in texts:
        if text:
            found.setdefault(text, []).append(num_steps)
    return [f"{text} ({_steps(numbers)})" for text, numbers in found.items()]


def _steps(numbers: Iterable[int]) -> str:
    words = [str(number) for number in sorted(set(numbers))]
    return f"{' and '.join(words)} step{'s' * (words != ['1'])}"


def _merged(results: Sequence[Judgement]) -> list[tuple[str, str]]:
    """Differences of all calls, one line a kind, with the numbers of steps at which it is seen."""
    kinds = dict.fromkeys(kind for result in results for kind in result.differences)
    lines = []
    for kind in kinds:
        seen = [result for result in results if kind in result.differences]
        last = max(seen, key=lambda result: result.num_steps)  # several steps tell more than one
        code, detail = last.differences[kind]
        if kind == "calls":
            code = _number_of_calls(seen, code)
        if len({result.num_steps for result in results}) > len({r.num_steps for r in seen}):
            code = f"{code}, with {_steps(result.num_steps for result in seen)}"
        lines.append((code, detail))
    return lines


def _number_of_calls(seen: Sequence[Judgement], code: str) -> str:
    """The number of calls whatever the steps asked for; else as it is."""
    asked, made = {r.num_steps for r in seen}, {r.num_calls for r in seen}
    if len(made) == 1 and len(asked) > 1 and re.match(r"\d+ network call", code):
        number = made.pop()
        return f"steps ignored: always {counted(number, 'network call')}"
    return code


def _state(samplings: Sequence[Sampling]) -> list[tuple[str, str]]:
    """Two calls with the same arguments whose answers differ, where their noise is the same."""
    for one, other in combinations(samplings, 2):
        same = one.num_steps == other.num_steps and np.array_equal(one.noise, other.noise)
        if not same or not np.array_equal(one.labels, other.labels):  # type: ignore[arg-type]
            continue
        if one.answer is None or other.answer is None or not one.calls or not other.calls:
            continue
        begun = all(close(s.calls[0].z, s.noise, s.rounding) for s in (one, other))
        if begun and not close(one.answer, other.answer, one.rounding):
            text = "a second call with the same arguments gives another answer"
            return [(text, "the sampler has a state, or draws for itself")]
    return []


def _grid(results: Sequence[Judgement]) -> str:
    """Times of the steps, in words where they are uniform."""
    most = max(results, key=lambda result: result.num_steps)
    uniform = np.linspace(1, 0, len(most.times)) if most.times else np.zeros(0)
    if most.times and np.max(np.abs(np.array(most.times) - uniform)) > TIME:
        return "times " + ", ".join(f"{time:.4g}" for time in (*most.times[:-1], 0.0))
    return "uniform times from 1 to 0"
