"""Figures follow from records and published numbers, and fit their canvas."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
from results_records import JAX, TORCH, fid, record

pytest.importorskip("matplotlib")

import matplotlib as mpl
from drawn_figures import ALL, COMMITTED, RECORDS, drawn, figure_of, words
from matplotlib import style as matplotlib_style
from matplotlib.axes import Axes
from matplotlib.font_manager import findfont
from matplotlib.text import Text
from PIL import Image

from results.draw import curves, reproduction, samples, style, write
from results.draw.write import FIGURES, same_figure, write_figures
from results.published import published
from results.schema import append
from results.tabulate.ablations import DISTANCE

# A record that each figure shows.
SHOWN = {
    "ablations": ("evaluate/digits_Frechet_distance", {"preset": "ablation/default"}),
    "depth": ("bench/relative_error", {"quantity": "u", "precision": "float32"}),
    "digits": ("evaluate/conditional_accuracy", {"training_seed": 42}),
    "errors": ("verify/jvp/jvp_matches_central_difference", {}),
    "jvp_overhead": ("bench/step_time_ratio", {"of": "unguided sparse / flow matching"}),
    "roofline": ("bench/step_bytes_accessed", {"of": "guided sparse", "compiled_for": "v4:2x2x1"}),
    "training_curves": ("train/v_loss", {"preset": curves.PRESET}),
}


@pytest.mark.parametrize("name", SHOWN)
def test_a_changed_record_changes_its_figure(name):
    what, settings = SHOWN[name]
    changed = [
        record.model_copy(update={"value": (record.value or 0) * 0.97})
        if record.what == what and settings.items() <= record.settings.items()
        else record
        for record in COMMITTED
    ]
    assert changed != COMMITTED
    assert style.render(ALL[name], changed) != style.render(ALL[name], COMMITTED)


@pytest.mark.parametrize("name", SHOWN)
def test_missing_records_are_said_in_the_figure(name):
    assert "not measured" in " ".join(words(figure_of(name, "none")))


def shapes(axes):
    """The marks in the coordinates of an axis: what a reader takes for measurements."""
    beside_data = (axes.transData, axes.get_yaxis_transform())
    lines = [line for line in axes.lines if line.get_transform() in beside_data]
    return [line for line in lines if line.get_marker() not in ("None", "|", "")]


@pytest.mark.parametrize("name", SHOWN)
def test_what_was_not_measured_has_no_mark_but_words_in_italics(name):
    figure = figure_of(name, "none")
    assert [mark for axes in figure.axes for mark in shapes(axes)] == []
    said = [text for text in figure.findobj(Text) if "not measured" in text.get_text()]
    assert {(text.get_style(), text.get_color()) for text in said} == {("italic", style.INK)}
    measured = figure_of(name, "everything")
    assert any(map(shapes, measured.axes)) or name == "training_curves"  # which has lines


def test_what_is_missing_of_one_subject_says_whose_it_is():
    others = [r for r in COMMITTED if r.settings.get("compile") != "always"]
    assert "PyTorch compiled not measured" in words(drawn("jvp_overhead", others))


def numbered_axes(figure):
    """Edge of the canvas and label of every axis with numbers."""
    found = {}  # panels in a row, or one above the other, can share the label of one
    for axes in (axes for axes in figure.axes if axes.axison):
        box = axes.get_position()
        for axis, side, edge in ((axes.xaxis, "bottom", box.y0), (axes.yaxis, "left", box.x0)):
            ticks = axis.get_ticklabels() if axis.get_tick_params()[f"label{side}"] else []
            if any(tick.get_text() for tick in ticks):
                found.setdefault((side, round(edge, 3)), []).append(axis.get_label_text())
    return found


@pytest.mark.parametrize("records", RECORDS)
@pytest.mark.parametrize("name", sorted(ALL.keys() - {"samples"}))  # which has no axes
def test_every_axis_with_numbers_says_what_they_are(name, records):
    found = numbered_axes(figure_of(name, records))
    assert found or records == "none"
    assert all(all(labels) for labels in found.values()), found


@pytest.mark.parametrize("records", RECORDS)
@pytest.mark.parametrize("name", ALL)
def test_no_text_leaves_the_canvas_or_covers_other_text(name, records):
    figure = figure_of(name, records)
    boxes = {}
    for text in figure.findobj(lambda a: isinstance(a, Text) and bool(a.get_text())):
        if _is_shown(text, figure):
            boxes[text] = text.get_window_extent()
    assert len(boxes) >= min(6, 2 * len(samples.pictures(samples.SAMPLES)))
    for text, box in boxes.items():
        assert figure.bbox.x0 <= box.x0 <= box.x1 <= figure.bbox.x1, text.get_text()
        assert figure.bbox.y0 <= box.y0 <= box.y1 <= figure.bbox.y1, text.get_text()
        for other, beside in boxes.items():
            assert other is text or not box.overlaps(beside), (text.get_text(), other.get_text())


def _is_shown(text, figure):
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
def test_every_mark_lies_within_its_panel(name):
    figure = figure_of(name, "everything")
    found = 0
    for axes in figure.axes:
        assert isinstance(axes, Axes)
        for line in axes.lines:
            if line.get_transform() == axes.transData:
                on_canvas = axes.transData.transform(line.get_xydata())
                within = axes.transAxes.inverted().transform(on_canvas)
                assert within.min() >= 0
                assert within.max() <= 1
                found += 1
    assert found > 5


def test_a_stale_missing_or_broken_figure_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(write, "ALL", {name: ALL[name] for name in ("depth", "digits", "errors")})
    append(COMMITTED[:1], tmp_path / "records" / "a.jsonl")
    places = (tmp_path / "records", tmp_path / "figures")
    written = write_figures(*places, write=True)
    assert len(written) == 3
    assert write_figures(*places, write=False) == []
    stale, missing, broken = written
    stale.write_text(stale.read_text() + "\n")
    missing.unlink()
    broken.write_bytes(b"data:image/png;base64,AAAA")
    assert write_figures(*places, write=False) == written
    assert write_figures(*places, write=True) == written
    assert write_figures(*places, write=False) == []


@pytest.mark.parametrize("name", ALL)
def test_a_figure_needs_no_font_has_no_date_and_is_transparent(name):
    content = (FIGURES / f"{name}.svg").read_text()
    assert "<text" not in content  # letters are shapes
    assert "date" not in re.sub('base64,.*?"', "", content, flags=re.DOTALL).lower()
    assert re.search(r'<g id="patch_1">\s*<path [^>]*style="fill: none', content)


def test_letters_are_those_that_matplotlib_brings():
    with matplotlib_style.context(["default", style.STYLE]):
        for weight in ("normal", "bold"):
            assert Path(mpl.get_data_path()) in Path(findfont(f"DejaVu Sans:{weight}")).parents


# Reproduction


def test_every_preset_with_a_published_fid_has_a_row_that_starts_with_what_to_expect():
    rows = reproduction.rows()
    for number in (*published("imagenet_256"), *published("official_readme")):
        row = reproduction.Row(str(number.preset), number.epochs or 0, int(number.setting["nfe"]))
        assert rows[row][0].value == number.value
    official, paper = rows["mf_b4", 80, 1]
    assert official == ("official README", 18.70, True, None)
    assert paper == ("paper", 19.15, True, None)
    assert len(rows) == 12
    assert all(rows.values())


def test_fids_of_others_stand_in_the_row_of_their_run():
    rows = reproduction.with_records(reproduction.rows(), COMMITTED)
    assert ("others", 58.74, True, None) in rows["mf_b4_no_guidance", 80, 1]
    assert ("others", 3.56, False, None) in rows["mf_xl2", 240, 1]  # of 140 epochs
    assert ("others", 3.19, True, None) in rows["mf_xl2", 240, 1]  # epochs unknown
    assert ("others", 2.26, False, None) in rows["mf_xl2", 240, 2]  # of balanced labels


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([], set()),
        ([fid(settings={"epochs": 700})], set()),
        ([fid()], {"JAX"}),
        ([fid(subject=TORCH)], {"PyTorch"}),
        ([fid(subject="external:Me", interval=None)], {"others"}),
    ],
)
def test_only_what_was_measured_is_claimed_by_whom_and_that_none_was_is_said(records, expected):
    said = words(drawn("reproduction", records))
    assert {"JAX", "PyTorch", "others"} & {*said} == expected
    none = f"FID / expected FID\n{reproduction.NONE_HERE}"
    assert (none in said) is (not expected & {"JAX", "PyTorch"})


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"settings": {"num_samples": 10_000}}, False),
        ({"protocol": {"labels": "balanced", "resize": "legacy_tensorflow"}}, False),
    ],
)
def test_a_fid_of_another_protocol_or_number_of_samples_is_hollow(changes, same):
    table = reproduction.with_records(reproduction.rows(), [fid(**changes)])
    assert table["mf_b4", 240, 1][-1] == ("JAX", 11.4, same, (11.36, 11.44))
    assert ("setting differs" in words(drawn("reproduction", [fid(**changes)]))) is not same


# Training curves


def curve(seed, subject=JAX, **changes):
    """Points of a training run, as `meanflow evaluate --curve` records them."""
    settings = {"preset": curves.PRESET, "training_seed": seed} | changes.pop("settings", {})
    return [
        record(
            subject=subject, what="train/v_loss", value=50.0 / step + 0.1 * seed, interval=None,
            settings=settings | {"training_step": step}, **changes,
        )
        for step in (10, 20, 500, 2500)
    ]  # fmt: skip


def test_a_curve_is_of_its_run_and_in_the_order_of_steps():
    (found,) = curves.curves(curve(7)[::-1], "train/v_loss")
    assert found == (JAX, "7", [10, 20, 500, 2500], pytest.approx([5.7, 3.2, 0.8, 0.72]))
    assert curves.curves(curve(7), "train/loss") == []


def test_a_line_stands_for_each_framework_and_seed_in_each_panel():
    runs = [
        point for subject in (JAX, TORCH) for seed in (42, 43) for point in curve(seed, subject)
    ]
    runs += [point.model_copy(update={"what": "train/loss"}) for point in runs]
    whole = drawn("training_curves", runs)
    expected = [(mark.color, mark.dash) for mark in style.FRAMEWORKS.values() for _ in range(2)]
    assert len(set(expected)) == 2
    for axes in whole.axes:
        assert [(line.get_color(), line.get_linestyle()) for line in axes.lines] == expected
    assert len(whole.axes) == len(curves.PANELS)
    assert "not measured" not in " ".join(words(whole))
    alone = words(drawn("training_curves", [r for r in runs if r.subject == JAX]))
    assert alone.count("PyTorch not measured") == len(curves.PANELS)
    assert "JAX not measured" not in alone


def test_a_newer_run_takes_the_place_of_the_older_and_other_settings_have_none():
    old, new = curve(7, commit="old"), curve(7, commit="new")[1:]
    others = ({"preset": "mnist"}, {"changes": "method.kappa=0.9"})
    other = [point for changes in others for point in curve(8, settings=changes)]
    (found,) = curves.curves([*old, *new, *other], "train/v_loss")
    assert found.steps == [20, 500, 2500]


def test_curves_of_mnist_have_panels_of_their_own_where_they_were_measured():
    runs = [*curve(7), *curve(42, settings={"preset": "mnist"})]
    titles = list(curves.PANELS.values())
    said = words(drawn("training_curves", runs))
    assert [text for text in said if text.startswith(tuple(titles))] == [
        *titles, *(f"{title}: MNIST" for title in titles),
    ]  # fmt: skip
    (found,) = curves.curves(runs, "train/v_loss", "mnist")
    assert found.seed == "42"


# Samples


def picture(folder, name, value):
    Image.new("L", (34, 34), value).save(folder / name)


def test_every_committed_picture_is_shown_beside_the_other_framework():
    found = samples.pictures(samples.SAMPLES)
    shown = [path for run in found.values() for path in run.values()]
    assert sorted(shown) == sorted(samples.SAMPLES.iterdir())
    assert all(list(run) == ["jax", "torch"] for run in found.values())


def test_any_picture_of_a_run_is_taken_in_order_and_a_missing_one_is_said(tmp_path):
    for name in ("no-cfg-torch-7.png", "no-cfg-jax-7.png", "digits-jax-10.png", "digits-jax-9.png"):
        picture(tmp_path, name, 100)
    picture(tmp_path, "other.png", 0)
    (tmp_path / "digits-jax-1.txt").write_text("no picture")
    found = samples.pictures(tmp_path)
    assert list(found) == [("digits", 9), ("digits", 10), ("no-cfg", 7)]
    said = words(samples.draw([], tmp_path))
    assert "no-cfg, seed 7: PyTorch" in said
    assert said.count("not measured") == 2
    assert [said.count(str(label)) for label in range(10)] == [4] * 10  # above each picture
    assert words(samples.draw([], tmp_path / "absent")) == ["not measured"]


def test_another_picture_makes_another_figure_and_one_packed_otherwise_the_same(
    tmp_path, monkeypatch
):
    def svg():
        return style.render(lambda records: samples.draw(records, tmp_path), [])

    picture(tmp_path, "digits-jax-1.png", 100)
    first, save = svg(), Image.Image.save
    picture(tmp_path, "digits-jax-1.png", 101)
    assert svg() != first
    assert not same_figure(first, svg())
    picture(tmp_path, "digits-jax-1.png", 100)
    monkeypatch.setattr(Image.Image, "save", lambda *a, **k: save(*a, **k, compress_level=1))
    assert svg() != first
    assert same_figure(first, svg())


def test_the_first_strip_of_the_ablations_says_its_labels():
    said = words(figure_of("ablations", "everything"))
    assert "JAX, one step, by label" in said
    start = said.index("9") - 9
    assert said[start : start + 10] == [str(label) for label in range(10)]


# Errors and ablations


@pytest.mark.parametrize("value", [2e-5, 1e30, None])
def test_an_error_above_its_tolerance_says_so(value):
    known = next(r for r in reversed(COMMITTED) if r.what.startswith("verify/jvp/"))
    failing = known.model_copy(update={"value": value, "tolerance": 1e-6, "digest": ""})
    assert "fails" not in words(drawn("errors", COMMITTED))
    assert "fails" in words(drawn("errors", [*COMMITTED, failing]))


@pytest.mark.parametrize("dtypes", [("float32",), ("float64", "float32")])
def test_a_precision_that_a_family_leaves_out_is_not_missed(dtypes):
    known = next(r for r in reversed(COMMITTED) if r.what.startswith("verify/jvp/"))
    both = [
        known.model_copy(update={"subject": subject, "dtype": dtype})
        for subject in (JAX, TORCH)
        for dtype in dtypes
    ]
    assert not [text for text in words(drawn("errors", both)) if "not measured" in text]
    others = [one for one in both if one != both[len(dtypes)]]
    said = " ".join(words(drawn("errors", others)))
    assert f"PyTorch {dtypes[0]} not measured" in said or "PyTorch not measured" in said


def test_a_run_that_came_to_nothing_is_drawn_as_not_finite():
    """And not as one that was not measured, nor as the mean of the seeds that were finite."""
    settings = {"preset": "ablation/tangent_v10", "training_seed": 42, "num_steps": 1}
    lost = record(what=DISTANCE, value=None, interval=None, settings=settings)
    found = lost.model_copy(update={"value": 9.0, "settings": settings | {"training_seed": 43}})
    said = words(drawn("ablations", [lost, found]))
    assert said.count("JAX not finite, PyTorch not measured") == 1
    default = lost.model_copy(update={"settings": settings | {"preset": "ablation/default"}})
    drawn("ablations", [default])


# Roofline


def on_chip(name, what, value):
    """Count of a step that was compiled for a chip."""
    settings = {"of": "guided sparse", "model": "DiT_B_4", "batch_size": 32, "precision": "float32",
                "chip": name, "compiled_for": f"{name}:2x2x1"}  # fmt: skip
    return record(what=f"bench/step_{what}", value=value, interval=None, settings=settings)


def test_a_step_stands_at_its_flops_per_byte_and_every_chip_has_its_roof():
    chips = ("v4", "v5e", "v5p", "v6e")
    counts = {"flops": 4e12, "bytes_accessed": 1e11}
    found = [on_chip(chip, *count) for chip in chips for count in counts.items()]
    figure = drawn("roofline", found)
    above, below = figure.axes
    marks = [line for line in below.lines if line.get_marker() == "D"]
    assert [line.get_xdata()[0] for line in marks] == [40] * len(chips)
    dots = [line.get_ydata()[0] for line in above.lines if line.get_marker() == "o"]
    bandwidths = (1.2, 0.819, 2.765, 1.6)  # TB/s
    assert dots == pytest.approx([40 * bandwidth for bandwidth in bandwidths])
    names = [text for text in above.texts if text.get_text().startswith("TPU ")]
    boxes = sorted((text.get_window_extent() for text in names), key=lambda box: box.y0)
    assert len(boxes) == len(chips)
    assert all(low.y1 < high.y0 for low, high in pairwise(boxes))
