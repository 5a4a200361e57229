"""Figures follow from records and published numbers, fit their canvas, and are the same again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from results_records import record as made_up

pytest.importorskip("matplotlib")

import matplotlib as mpl
from matplotlib import style as matplotlib_style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont
from matplotlib.text import Text
from PIL import Image

from meanflow_repro import main
from results.draw import curves, errors, reproduction, samples, style, write
from results.draw.write import ALL, FIGURES, write_figures
from results.published import published
from results.reading import read
from results.schema import RECORDS, Record, append
from results.tabulate.ablations import DISTANCE
from results.tabulate.reproduction import ROWS

COMMITTED = read(RECORDS)
# A record that each figure shows, and how much it changes; one row on the canvas of each.
SHOWN = {
    "ablations": ("evaluate/digits_Frechet_distance", {"preset": "ablation/default"}),
    "depth": ("bench/relative_error", {"quantity": "u", "precision": "float32"}),
    "digits": ("evaluate/conditional_accuracy", {"training_seed": 42}),
    "errors": ("verify/jvp/jvp_matches_central_difference", {}),
    "jvp_overhead": ("bench/step_time_ratio", {"of": "unguided sparse / flow matching"}),
}


def drawn(name: str, records: list[Record]) -> Figure:
    with matplotlib_style.context(["default", style.STYLE]):
        figure = ALL[name](records)
        FigureCanvasAgg(figure).draw()
    return figure


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)]


def fid(**changes: Any) -> Record:
    known = {
        "subject": "impls.meanflow_jax", "what": "fid/fid", "value": 11.38, "unit": "1",
        "interval": (11.3, 11.46), "commit": "c", "dirty": False, "machine": {}, "python": "3",
        "settings": {"preset": "mf_b4", "epochs": 240, "num_steps": 1, "num_samples": 50_000},
        "protocol": {"labels": "uniformly random", "resize": "legacy_tensorflow"},
        "expected": 11.4, "libraries": {}, "date": "2026-01-01",
    }  # fmt: skip
    return Record(**{**known, **changes})


def curve(subject: str, seed: int, what: str = "train/v_loss", **changes: Any) -> list[Record]:
    """Points of a training run, as `meanflow evaluate --curve` records them."""
    return [
        fid(
            subject=subject, what=what, value=50.0 / step + 0.1 * seed, interval=None,
            settings={"preset": curves.PRESET, "training_seed": seed, "training_step": step},
            protocol={}, expected=None, **changes,
        )
        for step in (10, 20, 500, 2500)
    ]  # fmt: skip


JAX = next(iter(errors.NAMES))
RUNS = [
    point
    for subject in errors.NAMES
    for seed in (42, 43)
    for what in curves.PANELS
    for point in curve(subject, seed, what)
]
EVERYTHING = [*COMMITTED, fid(), *RUNS]


def test_the_committed_figures_follow_from_the_committed_records(tmp_path: Path) -> None:
    assert write_figures(write=False) == []
    write_figures(figures=tmp_path, write=True)
    for path in tmp_path.iterdir():
        same = path.read_bytes() == (FIGURES / path.name).read_bytes()
        assert same or path.suffix == ".png", path.name
    assert len(list(tmp_path.iterdir())) == 2 * len(ALL)


@pytest.mark.parametrize("name", ALL)
def test_a_figure_is_the_same_bytes_again_whatever_the_settings_are(name: str) -> None:
    first = style.render(ALL[name], COMMITTED)
    with mpl.rc_context({"font.size": 30, "svg.fonttype": "none", "axes.grid": True}):
        again = style.render(ALL[name], COMMITTED)
    assert first == again
    assert b"<text" not in first[".svg"]  # letters are shapes: no font is needed to show them
    assert b"date" not in first[".svg"].lower()


@pytest.mark.parametrize("name", SHOWN)
def test_a_changed_record_changes_its_figure(name: str) -> None:
    what, settings = SHOWN[name]
    changed = [
        record.model_copy(update={"value": (record.value or 0) * 0.97})
        if record.what == what and settings.items() <= record.settings.items()
        else record
        for record in COMMITTED
    ]
    assert changed != COMMITTED
    assert style.render(ALL[name], changed) != style.render(ALL[name], COMMITTED)


@pytest.mark.parametrize("name", [*SHOWN, "training_curves"])
def test_missing_records_are_said_in_the_figure(name: str) -> None:
    assert "not measured" in " ".join(words(drawn(name, [])))


@pytest.mark.parametrize("records", [COMMITTED, [], EVERYTHING],
                         ids=["committed", "none", "with a FID and curves"])  # fmt: skip
@pytest.mark.parametrize("name", ALL)
def test_no_text_leaves_the_canvas_or_covers_other_text(name: str, records: list[Record]) -> None:
    figure = drawn(name, records)
    boxes = {}
    for text in figure.findobj(lambda a: isinstance(a, Text) and bool(a.get_text())):
        if _is_shown(text, figure):
            boxes[text] = text.get_window_extent()
    assert len(boxes) >= min(6, 2 * len(samples.pictures(samples.SAMPLES)))
    for text, box in boxes.items():
        said = text.get_text()
        assert figure.bbox.x0 <= box.x0, said
        assert box.x1 <= figure.bbox.x1, said
        assert figure.bbox.y0 <= box.y0, said
        assert box.y1 <= figure.bbox.y1, said
        for other, beside in boxes.items():
            assert other is text or not box.overlaps(beside), (said, other.get_text())


def _is_shown(text: Text, figure: Figure) -> bool:
    """Ticks outside the limits and of a hidden axis are kept but not drawn."""
    ticks = {
        label: (axis, place)
        for axes in figure.axes
        for place, axis in enumerate((axes.xaxis, axes.yaxis))
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]
        for label in (tick.label1, tick.label2)
    }
    if text in ticks and text.get_visible():
        axis, place = ticks[text]
        low, high = axis.get_view_interval()
        return low <= text.get_position()[place] <= high
    return text.get_visible()


@pytest.mark.parametrize("name", sorted(ALL.keys() - {"samples"}))  # which has no marks
def test_every_mark_lies_within_its_panel(name: str) -> None:
    figure = drawn(name, EVERYTHING)
    found = 0
    for axes in figure.axes:
        assert isinstance(axes, Axes)
        for line in axes.lines:
            if line.get_transform() == axes.transData:
                x, y = (
                    axes.transAxes.inverted()
                    .transform(axes.transData.transform(line.get_xydata()))
                    .T
                )
                assert x.min() >= 0
                assert x.max() <= 1
                assert y.min() >= 0
                assert y.max() <= 1
                found += 1
    assert found > 5


def test_a_stale_missing_or_broken_figure_is_found(tmp_path: Path) -> None:
    append(COMMITTED[:1], tmp_path / "records" / "a.jsonl")
    places = (tmp_path / "records", tmp_path / "figures")
    written = write_figures(*places, write=True)
    assert len(written) == 2 * len(ALL)
    assert write_figures(*places, write=False) == []
    stale, missing, broken = written[0], written[1], written[3]
    stale.write_text(stale.read_text() + "\n")
    missing.unlink()
    broken.write_bytes(b"no picture")
    assert write_figures(*places, write=False) == [stale, missing, broken]
    assert write_figures(*places, write=True) == [stale, missing, broken]
    assert write_figures(*places, write=False) == []


def test_a_png_packed_otherwise_is_the_same_and_one_with_another_pixel_is_not(
    tmp_path: Path,
) -> None:
    (tmp_path / "records").mkdir()
    places = (tmp_path / "records", tmp_path / "figures")
    picture = next(path for path in write_figures(*places, write=True) if path.suffix == ".png")
    with Image.open(picture) as image:
        assert not image.info.keys() - {"dpi"}  # neither a date nor the program
        assert image.getpixel((0, image.height - 1))[3] == 0  # transparent
        image.load()
        image.save(picture, compress_level=1)
        assert write_figures(*places, write=False) == []
        image.putpixel((0, 0), (1, 2, 3, 255))
        image.save(picture)
    assert write_figures(*places, write=False) == [picture]


def test_the_check_of_the_command_line_notices(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(ALL, "absent", ALL["digits"])
    assert main(["tables", "--check"]) == 1
    assert f"differs: {FIGURES / 'absent.svg'}" in capsys.readouterr().out


def test_letters_are_those_that_matplotlib_brings() -> None:
    with matplotlib_style.context(["default", style.STYLE]):
        for weight in ("normal", "bold"):
            assert Path(mpl.get_data_path()) in Path(findfont(f"DejaVu Sans:{weight}")).parents


def _luminance(color: str) -> float:
    parts = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("page", ["#ffffff", "#0d1117"])
def test_every_colour_stands_out_from_a_light_and_a_dark_page(page: str) -> None:
    def contrast(color: str) -> float:
        low, high = sorted((_luminance(color), _luminance(page)))
        return (high + 0.05) / (low + 0.05)

    assert contrast(style.INK) > 4.3
    marks = (style.BLUE, style.VERMILION, style.GREEN, style.PURPLE)
    assert min(map(contrast, marks)) > 3


# Reproduction


def test_every_preset_with_a_published_fid_has_a_row_that_starts_with_what_to_expect() -> None:
    rows = reproduction.rows()
    for number in (*published("imagenet_256"), *published("official_readme")):
        row = reproduction.Row(str(number.preset), number.epochs or 0, int(number.setting["nfe"]))
        assert rows[row][0].value == number.value
    assert rows["mf_b4", 80, 1][0] == ("official README", 18.70, True, None)
    assert ("paper", 19.15, True, None) in rows["mf_b4", 80, 1]
    assert ("others", 58.74, True, None) in rows["mf_b4_no_guidance", 80, 1]
    assert ("others", 3.56, False, None) in rows["mf_xl2", 240, 1]  # of 140 epochs
    assert ("others", 2.26, False, None) in rows["mf_xl2", 240, 2]  # of balanced labels


def test_the_rows_are_those_of_the_table() -> None:
    assert set(reproduction.rows()) == set(ROWS)


def test_only_what_was_measured_or_added_is_claimed() -> None:
    assert not {"here", "added"} & set(words(drawn("reproduction", COMMITTED)))
    other_run = fid().settings | {"epochs": 700}
    assert "here" not in words(drawn("reproduction", [fid(settings=other_run)]))
    assert "here" in words(drawn("reproduction", [fid()]))
    assert "added" in words(drawn("reproduction", [fid(subject="external:Me", interval=None)]))


def test_a_fid_of_another_protocol_or_number_of_samples_is_hollow() -> None:
    settings = fid().settings | {"num_samples": 10_000}
    for record, same in (
        (fid(), True),
        (fid(settings=settings), False),
        (fid(protocol={"labels": "balanced", "resize": "legacy_tensorflow"}), False),
    ):
        table = reproduction.with_measured(reproduction.rows(), [record])
        assert table["mf_b4", 240, 1][-1] == ("here", 11.38, same, (11.3, 11.46))


# Training curves


def test_a_curve_is_of_its_run_and_in_the_order_of_steps() -> None:
    (found,) = curves.curves(curve(JAX, 7)[::-1], "train/v_loss")
    assert found == (JAX, "7", [10, 20, 500, 2500], pytest.approx([5.7, 3.2, 0.8, 0.72]))
    assert curves.curves(RUNS, "train/loss") != []
    assert curves.curves(curve(JAX, 7), "train/loss") == []


def test_a_line_stands_for_each_framework_and_seed_in_each_panel() -> None:
    figure = drawn("training_curves", RUNS)
    assert len(figure.axes) == len(curves.PANELS)
    for axes in figure.axes:
        assert isinstance(axes, Axes)
        colors = [(line.get_color(), line.get_linestyle()) for line in axes.lines]
        assert colors == [(style.BLUE, "-")] * 2 + [(style.VERMILION, "--")] * 2
    assert "not measured" not in " ".join(words(figure))
    alone = drawn("training_curves", [r for r in RUNS if r.subject == JAX])
    assert words(alone).count("PyTorch not measured") == len(curves.PANELS)
    assert "JAX not measured" not in words(alone)


def test_a_newer_run_takes_the_place_of_the_older_and_other_settings_have_none() -> None:
    old, new = curve(JAX, 7, commit="old"), curve(JAX, 7, commit="new")[1:]
    other = [
        r.model_copy(update={"settings": {**r.settings, **changes}})
        for changes in ({"preset": "mnist"}, {"changes": "method.kappa=0.9"})
        for r in curve(JAX, 8)
    ]
    (found,) = curves.curves([*old, *new, *other], "train/v_loss")
    assert found.steps == [20, 500, 2500]


def test_a_changed_point_changes_the_curves() -> None:
    changed = [RUNS[0].model_copy(update={"value": 9.0}), *RUNS[1:]]
    assert style.render(curves.draw, changed) != style.render(curves.draw, RUNS)


# Samples


def picture(folder: Path, name: str, value: int) -> None:
    Image.new("L", (34, 34), value).save(folder / name)


def test_every_committed_picture_is_shown_beside_the_other_framework() -> None:
    found = samples.pictures(samples.SAMPLES)
    shown = [path for run in found.values() for path in run.values()]
    assert sorted(shown) == sorted(samples.SAMPLES.iterdir())
    assert all(list(run) == ["jax", "torch"] for run in found.values())


def test_any_picture_of_a_run_is_taken_in_order_and_a_missing_one_is_said(tmp_path: Path) -> None:
    for name in ("no-cfg-torch-7.png", "no-cfg-jax-7.png", "digits-jax-10.png", "digits-jax-9.png"):
        picture(tmp_path, name, 100)
    picture(tmp_path, "other.png", 0)
    (tmp_path / "digits-jax-1.txt").write_text("no picture")
    found = samples.pictures(tmp_path)
    assert list(found) == [("digits", 9), ("digits", 10), ("no-cfg", 7)]
    said = words(samples.draw([], tmp_path))
    assert "no-cfg, seed 7: PyTorch" in said
    assert said.count("not measured") == 2
    assert words(samples.draw([], tmp_path / "absent")) == ["not measured"]


def test_another_picture_makes_another_figure_and_one_packed_otherwise_the_same(
    tmp_path: Path,
) -> None:
    def svg() -> bytes:
        return style.render(lambda records: samples.draw(records, tmp_path), [])[".svg"]

    picture(tmp_path, "digits-jax-1.png", 100)
    first, file = svg(), tmp_path / "samples.svg"
    file.write_bytes(first)
    with pytest.MonkeyPatch.context() as changed:
        save = Image.Image.save
        changed.setattr(
            Image.Image, "save", lambda image, *a, **k: save(image, *a, **k, compress_level=1)
        )
        packed = svg()
    assert packed != first
    assert write._same(file, packed)
    picture(tmp_path, "digits-jax-1.png", 101)
    assert svg() != first
    assert not write._same(file, svg())


# Errors


@pytest.mark.parametrize("value", [2e-5, 1e30, None])
def test_an_error_above_its_tolerance_says_so(value: float | None) -> None:
    known = next(r for r in reversed(COMMITTED) if r.what.startswith("verify/jvp/"))
    failing = known.model_copy(update={"value": value, "tolerance": 1e-6, "digest": ""})
    assert "fails" not in words(drawn("errors", COMMITTED))
    assert "fails" in words(drawn("errors", [*COMMITTED, failing]))


@pytest.mark.parametrize("dtypes", [("float32",), ("float64", "float32")])
def test_a_precision_that_a_family_leaves_out_is_not_missed(dtypes: tuple[str, ...]) -> None:
    known = next(r for r in reversed(COMMITTED) if r.what.startswith("verify/jvp/"))
    both = [
        known.model_copy(update={"subject": subject, "dtype": dtype})
        for subject in errors.NAMES
        for dtype in dtypes
    ]
    assert not [text for text in words(drawn("errors", both)) if "not measured" in text]
    others = [one for one in both if one != both[len(dtypes)]]
    assert f"{dtypes[0]} not measured" in words(drawn("errors", others))


def test_a_run_that_came_to_nothing_is_drawn_as_not_finite() -> None:
    """And not as one that was not measured, nor as the mean of the seeds that were finite."""
    settings = {"preset": "ablation/tangent_v10", "training_seed": 42, "num_steps": 1}
    lost = made_up(what=DISTANCE, value=None, interval=None, settings=settings)
    found = lost.model_copy(update={"value": 9.0, "settings": settings | {"training_seed": 43}})
    said = [text.get_text() for text in drawn("ablations", [lost, found]).findobj(Text)]
    assert said.count("JAX not finite, PyTorch not measured") == 1
    default = lost.model_copy(update={"settings": settings | {"preset": "ablation/default"}})
    drawn("ablations", [default])
