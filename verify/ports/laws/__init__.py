"""Laws of times, rows with r = t and label dropout of a port, from its draws.

Every test is of the draws of whole calls, under the law that the port is held to. False-alarm rate:
1e-6 a heading and draw (statistics.py); what is rejected is drawn again with a new seed and four
times the rows, and differs only where it is rejected again. Files, in the order of data flow:

    statistics   p-values: binomial, Kolmogorov-Smirnov, chi^2; Bonferroni
    densities    joint laws of (t, r): densities and distribution functions
    masks        patterns of masks: exact number, a coin per row or batch, first or any rows
    dependence   between the rows of a call; values drawn again and again
    fit          maximum-likelihood fits of the laws
    times        the times made ready, and their tests
    describe     which law it is where it is not the expected one
    sample       draws and their confirmation; verdicts
    law rows sorted_rows labels    the three headings
"""

from verify.ports.finding import Finding, Verdict
from verify.ports.laws import labels, law, rows, sorted_rows
from verify.ports.laws.sample import Sample
from verify.ports.observation import Draw
from verify.ports.settings import Settings

_UNKNOWN = "nothing can be said of the times, nor of the rows with r = t"


def findings(
    draw: Draw,
    expected: Settings,
    official: Settings,
    num_rows: int = 16_384,
    batch: int = 256,
    seed: int = 0,
) -> list[Finding]:
    """Findings on `rows with r = t`, `label dropout` and `law of times`.

    Args:
        expected: the official settings with the port's claims.
        official: the official settings.
        num_rows: rows that are drawn at first; four times as many where something is confirmed.
    """
    sample = Sample(draw, num_rows, batch, seed)
    dropout = labels.finding(sample, expected, official)
    if sample.unfit:
        official_law = law.official_text(official)
        verdict: Verdict = "differs" if sample.repeated else "unknown"
        unknown = Finding("law of times", verdict, sample.unfit, official_law, _UNKNOWN)
        return [*(line for line in dropout if line.verdict != "differs"), unknown]
    if by_rank := sorted_rows.findings(sample, expected, official):
        return [*dropout, *by_rank]
    times, seen = law.finding(sample, expected, official)
    return [*rows.finding(sample, expected, official, seen), *dropout, *times]
