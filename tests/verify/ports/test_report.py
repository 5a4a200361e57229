"""The report of a diagnosis: its exit status, its lines and its JSON, from findings alone."""

import itertools
import json
import signal

import numpy as np
import pytest

from impls.common import draws
from impls.common.errors import UserError
from verify.ports import report
from verify.ports.diagnosis import ESSENTIAL, Diagnosis, Observed
from verify.ports.finding import HEADINGS, Finding
from verify.ports.observation import Draws, Weighted
from verify.ports.settings import OFFICIAL

SAME = Finding("path", "same", "z = (1 - t) x + t e", "z = (1 - t) x + t e")
CLAIMED = Finding("guidance", "claimed", "omega 2", "omega 1", "another guidance scale")
DIFFERS = Finding("weight", "differs", "p = 0.5", "p = 1", "the scale of the gradient")
ASIDE = Finding("sampler", "unknown", "", "", "raises NotImplementedError", "sample")


def unknown(what, loss="loss"):
    return Finding(what, "unknown", "", "", "it was not recognised", loss)


def diagnosis(*findings, **fields):
    return Diagnosis("port.py", "imagenet", findings=list(findings), **fields)


def printed(*findings, **fields):
    return [line.plain for line in report.lines(diagnosis(*findings, **fields))]


@pytest.mark.parametrize(
    ("findings", "status", "strict"),
    [
        ([], 2, 2),
        ([SAME], 0, 0),
        ([SAME, ASIDE], 0, 0),
        ([SAME, CLAIMED], 0, 1),
        ([SAME, DIFFERS], 1, 1),
        ([SAME, unknown("law of times")], 0, 0),
        ([SAME, unknown("error", "sample")], 0, 0),
        ([SAME, DIFFERS, unknown("target")], 1, 1),
        *(([SAME, unknown(what)], 2, 2) for what in ESSENTIAL),
        ([SAME, unknown("error", "loss_other")], 2, 2),
    ],
)
def test_the_exit_status_follows_from_the_verdicts(findings, status, strict):
    found = diagnosis(*findings)
    assert (found.exit_status(), found.exit_status(strict=True)) == (status, strict)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_has_its_own_status(number):
    found = diagnosis(SAME, stopped_by=number)
    assert found.exit_status(strict=True) == 128 + number
    assert [line.plain for line in report.lines(found)][-1].startswith("interrupted")


def test_a_difference_is_told_with_the_official_code_and_its_effect():
    lines = printed(SAME, DIFFERS, framework="torch", version="2.13.0", seconds=6.14)
    assert lines == [
        "port.py beside the authors' ImageNet code",
        "",
        "loss",
        " path            same     z = (1 - t) x + t e",
        " weight          DIFFERS  p = 0.5",
        "                 official p = 1",
        "                 effect   the scale of the gradient",
        "",
        "1 difference, 1 same in 6.1 s with torch 2.13.0",
    ]


def test_what_was_not_diagnosed_is_said_and_what_was_not_seen_is_counted():
    lines = printed(SAME, CLAIMED, unknown("target"), unknown("weight"), ASIDE)
    assert "                 why      it was not recognised" in lines
    assert lines[-2:] == [
        "no differences, 1 claimed, 1 same, 3 unknown in 0.0 s",
        "not diagnosed: target of loss, weight of loss",
    ]


def test_nothing_found_is_not_called_the_same():
    assert printed()[-1] == "nothing was diagnosed in 0.0 s"


def test_each_loss_has_a_heading():
    losses = ("loss", "loss_half", "sample")
    lines = printed(*(unknown("error", loss) for loss in losses))
    assert [line for line in lines if line in losses] == [*losses]


def test_lines_have_80_columns_whatever_a_port_says():
    texts = ("x" * 300, "word " * 60, "\x1b[31mred\r\nnext\x07", "", "u_é - " * 40)
    verdicts = ("same", "claimed", "differs", "unknown")
    findings = [
        Finding(what, verdict, text, text, text)
        for what, verdict, text in itertools.product(HEADINGS, verdicts, texts)
    ]
    lines = printed(*findings)
    assert max(map(len, lines)) <= 80
    assert all(line.isprintable() and line == line.rstrip() for line in lines)


def test_json_has_the_documented_keys(tmp_path):
    path = tmp_path / "outcomes.json"
    report.write_json(diagnosis(SAME, DIFFERS, framework="jax", seconds=1.5), path)
    content = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert content["format"] == 1
    assert (content["port"], content["framework"], content["seconds"]) == ("port.py", "jax", 1.5)
    assert (content["complete"], content["preset"], content["seed"]) == (True, "imagenet", 0)
    keys = ["loss", "what", "verdict", "code", "official", "detail"]
    assert [list(outcome) for outcome in content["outcomes"]] == [keys, keys]
    assert content["outcomes"][1] == {
        "loss": "loss", "what": "weight", "verdict": "differs", "code": "p = 0.5",
        "official": "p = 1", "detail": "the scale of the gradient",
    }  # fmt: skip


def test_json_of_an_interrupted_run_is_not_complete(tmp_path):
    report.write_json(diagnosis(SAME, stopped_by=2), tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text())["complete"] is False


def test_json_that_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="cannot write to"):
        report.write_json(diagnosis(SAME), tmp_path / "none" / "a.json")


# ------------------------------------------------------------------------------------ figure


def observed(loss="loss"):
    t = np.linspace(0.05, 0.95, 64).reshape(4, 16)
    r = np.where(t < 0.5, t, t / 2)
    t[0, 0] = np.nan
    s = np.linspace(1.0, 50.0, 16)
    weight = 2 / 16 / (s + 0.01)
    return Observed(
        loss, Draws(t, r, None), [Weighted(s, weight, t[1], r[1], 1.0, None, 192, 1e-13)]
    )


@pytest.mark.parametrize("preset", OFFICIAL)
def test_the_figure_shows_what_was_observed_beside_the_official_laws(preset, tmp_path):
    pytest.importorskip("matplotlib")
    from verify.ports import figure

    official = OFFICIAL[preset]
    drawn = figure.draw([observed(), observed("loss_half")], official)
    titles = [axes.get_title(loc="left") for axes in drawn.axes]
    panels = [(loss, ("t", "r where r < t", "weight")) for loss in ("loss", "loss_half")]
    assert titles == [f"{loss}: {panel}" for loss, names in panels for panel in names]
    of_t, of_r, of_weight = drawn.axes[:3]
    for axes in (of_t, of_r):
        x, y = axes.lines[0].get_data()
        assert len(x) == len(y)
        assert np.mean(y) == pytest.approx(1, abs=0.1)
        bars = sum(bar.get_width() * bar.get_height() for bar in axes.patches)
        assert bars == pytest.approx(1)
    s, w = of_weight.lines[0].get_data()
    np.testing.assert_allclose(w, 1 / (s + 0.01))
    np.testing.assert_allclose(
        of_weight.lines[1].get_ydata(), (s + official.norm_eps) ** -official.norm_p
    )
    figure.write_figure(Diagnosis("port.py", preset), [observed()], tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")


def test_the_figure_says_what_was_not_observed():
    pytest.importorskip("matplotlib")
    from verify.ports import figure

    drawn = figure.draw([Observed("loss", None, [])], OFFICIAL["imagenet"])
    assert [axes.texts[0].get_text() for axes in drawn.axes] == ["not observed"] * 3


def test_the_density_of_r_is_that_of_drawn_times():
    pytest.importorskip("matplotlib")
    from verify.ports import figure

    raw = 1 / (1 + np.exp(0.4 - draws.normal((2, 200_000), 0, draws.Stream.CHECK)))
    edges = np.linspace(0, 1, 21)
    counts, _ = np.histogram(raw.min(0), edges, density=True)
    middles = (np.arange(2000) + 0.5) / 2000
    expected = figure.density_of_r(OFFICIAL["imagenet"], middles).reshape(20, 100).mean(1)
    np.testing.assert_allclose(expected, counts, atol=0.03)
