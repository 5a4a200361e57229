"""Findings on the guided velocity v_g, and on what rows without a label regress to."""

from verify.ports.finding import Finding, Verdict
from verify.ports.formula import Formula, Guidance, self_coefficient
from verify.ports.reading import text
from verify.ports.runs import NUM_CLASSES
from verify.ports.settings import Settings


def official_guidance(settings: Settings) -> Guidance:
    """Coefficients of v_g under these settings."""
    if settings.guidance_eq == "none":
        return Guidance()
    return Guidance(settings.omega, 1 - settings.omega - settings.kappa, settings.kappa)


def v_g(guided: Guidance) -> str:
    """The formula of a guided velocity, with the paper's two numbers where it has that form."""
    told = f"v_g = {guided}"
    if (
        not guided.is_none
        and not guided.other
        and guided.near(Guidance(guided.v, 1 - guided.v - guided.own, guided.own))
    ):
        told += f" (omega {text(guided.v)}, kappa {text(guided.own)})"
    return told


def findings(found: Formula, expected: Settings, official: Settings) -> list[Finding]:
    """The guided velocity of labelled rows, its window, and the answers that it is made of."""
    want, theirs = official_guidance(expected), official_guidance(official)
    told, guided = v_g(theirs), found.guided
    labelled = any(row.run.labelled for row in found.rows)
    code = v_g(guided) if labelled or not guided.is_none else "v_g = v: no labels"
    terms = [other for row in found.good for other, value in row.terms if abs(value) > 1e-6]
    unused = any(
        other.label == "null" and other.h_is_zero
        for row in found.good
        if row.target.own_label and not row.equal
        for other, _ in row.terms
    )
    lines: list[tuple[str, str, str, Verdict]] = []
    if not guided.near(want):
        why = "the effective guidance scale omega / (1 - kappa) is another: another fixed point"
        if guided.is_none:
            why = "one step samples without guidance"
            if unused:
                code += " (answers with the null label cancel or are not used)"
        lines.append((code, told, why, "differs"))
    for line in _window_lines(found, expected, official):
        lines.append(line)
    null = {
        int(row.run.rows.label[other.row])
        for row in found.good
        for other, value in row.terms
        if other.label == "null" and abs(value) > 1e-6
    }
    if any(0 <= label < NUM_CLASSES for label in null):
        lines.append(
            (
                f"the null label is that of class {min(null)}",
                "num_classes",
                "a class is trained as no class: guidance away from it",
                "differs",
            )
        )
    if any(other.same_z and not other.h_is_zero for other in terms) or any(
        self_coefficient(row) for row in found.good if not row.equal
    ):
        lines.append(
            (
                "answers with h > 0 (h = t - r or t)",
                "h = 0",
                "an average velocity stands for an instantaneous one",
                "differs",
            )
        )
    if any(other.network for other in terms):
        lines.append(
            (
                "answers of a copy of the network (EMA)",
                "of the network itself",
                "the same fixed point, slower to follow",
                "differs",
            )
        )
    if any(other.sees_gradient for other in terms):
        lines.append(
            (
                "the gradient passes through the answers in v_g",
                "no gradient",
                "the loss is no regression: another fixed point",
                "differs",
            )
        )
    if any(kind == "differs" for *_, kind in lines):
        return [Finding("guidance", kind, c, o, why) for c, o, why, kind in lines]
    same = guided.near(theirs) and not lines
    window = f"; {lines[0][0]}" if lines else ""
    return [Finding("guidance", "same" if same else "claimed", code + window, told)]


def _window_lines(
    found: Formula, expected: Settings, official: Settings
) -> list[tuple[str, str, str, Verdict]]:
    """Lines on the times between which labelled rows are guided."""
    if found.guided.is_none:
        return []
    window = (expected.t_start, expected.t_end)
    told = f"for {official.t_start:g} <= t <= {official.t_end:g}"
    (low, high), (least, most) = found.bounds or ((0.0, 0.0), (1.0, 1.0))
    times = [row.t for row in found.good if row.target.own_label]
    if found.bounds is None and times:
        high, least = min(times), max(times)
    fits = low <= window[0] <= high and least <= window[1] <= most
    if not fits:
        start, end = found.window or (0.0, 1.0)
        why = "v_g = v at other times: another fixed point there"
        return [(f"guidance only for {start:g} <= t <= {end:g}", told, why, "differs")]
    if window == (official.t_start, official.t_end):
        return []
    return [(f"guidance only for {window[0]:g} <= t <= {window[1]:g}", told, "", "claimed")]


def unlabelled_rows(found: Formula) -> list[Finding]:
    """What rows without a label regress to."""
    dropped = found.dropped
    if dropped is None:
        return []
    if dropped.is_none:
        return [Finding("unlabelled rows", "same", "v_g = v", "v_g = v")]
    code = "they keep v_g" if dropped.near(found.guided, 1e-4) else f"v_g = {dropped}"
    why = "the unconditional velocity is learned wrong, and all guidance with it"
    return [Finding("unlabelled rows", "differs", code, "v_g = v", why)]
