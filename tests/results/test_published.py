"""Published numbers are consistent with each other, and with the presets that they are said of."""

import re
from pathlib import Path

import pytest

from impls.common.config_files import load_config
from impls.common.parameters import num_parameters
from results.published import all_published, one_seed, published

PRESETS = Path(__file__).parents[2] / "impls" / "common" / "presets"


def each(*groups):
    """Every number of some groups, one test each."""
    numbers = [number for group in groups for number in published(group)]
    return pytest.mark.parametrize("number", numbers, ids=lambda n: f"{n.setting}"[:60])


def test_every_number_has_a_source_and_no_two_are_the_same():
    numbers = all_published()
    assert all(number.source.url.startswith("https://") for number in numbers)
    told = {number.model_dump_json(exclude={"value", "places"}) for number in numbers}
    assert len(told) == len(numbers)


def test_every_preset_that_is_named_exists_and_has_the_network_of_its_number():
    for number in all_published():
        assert number.preset is None or (PRESETS / f"{number.preset}.yml").is_file()
        if number.preset and "model" in number.setting:
            assert load_config(number.preset).model.cls == number.setting["model"]


@each("parameters")
def test_parameters_in_millions_are_those_of_the_network(number):
    count = num_parameters(load_config(str(number.preset)).network)
    assert abs(count / 1e6 - number.value) <= 0.5  # the paper rounds


@each("forward_gflops")
def test_forward_gflops_are_the_multiply_adds_of_the_network(number):
    """The paper counts one multiply-add as one operation, as DiT does."""
    size = load_config(str(number.preset)).network
    tokens, width = (size.input_size // size.patch_size) ** 2, size.hidden_size
    pixels = size.patch_size**2 * size.in_channels
    per_token = size.depth * ((4 + 2 * size.mlp_ratio) * width**2 + 2 * tokens * width)
    conditioning = 2 * (256 + width) * width + size.depth * 6 * width**2 + 2 * width**2
    total = tokens * (per_token + 2 * pixels * width) + conditioning
    assert abs(total / 1e9 / number.value - 1) < 0.01


@each("effective_guidance", "improved_guidance")
def test_guidance_is_that_of_the_preset_and_its_effective_scale_follows(number):
    setting, kappa = number.setting, float(number.setting["kappa"])
    effective = float(setting.get("omega_effective", number.value))
    omega = float(setting.get("omega", effective * (1 - kappa)))
    assert omega / (1 - kappa) == pytest.approx(effective, abs=1e-9)
    if number.preset:
        method = load_config(number.preset).method
        assert (method.omega, method.kappa) == (omega, kappa)


def test_the_default_of_every_ablation_is_the_same_number():
    groups = (
        "share_of_r_not_t", "tangent", "embedding", "time_sampler", "loss_power", "guidance_scale",
    )  # fmt: skip
    for group in groups:
        (default,) = (n for n in published(group) if n.preset == "mf_b4_no_guidance")
        least = min(number.value for number in published(group))
        assert default.value == 61.06
        assert default.value == least or group == "guidance_scale"


def test_the_overhead_of_the_jvp_is_the_ratio_of_the_seconds():
    flow_matching, mean_flow = (number.value for number in published("step_time")[:2])
    (overhead,) = published("jvp_overhead")
    assert overhead.value == round(mean_flow / flow_matching, 3)


@each("throughput")
def test_images_per_second_follow_from_the_batch_and_the_time(number):
    setting = number.setting
    rate = float(setting.get("steps_per_second", 0)) or 1 / float(setting["seconds"])
    assert abs(float(setting["batch"]) * rate / number.value - 1) < 0.01


@each("balanced_labels", "legacy_tensorflow")
def test_a_difference_is_that_of_its_two_numbers(number):
    difference = float(number.setting["to"]) - float(number.setting["from"])
    assert abs(difference - number.value) < 1e-7


def test_the_official_readme_moves_by_more_than_one_seed_only_after_240_epochs():
    """Its 80-epoch runs lie within 2.4 % of the paper's, which is what the facts say of them."""
    numbers = (*published("guidance_scale"), *published("improved_guidance"))
    paper = {number.preset: number.value for number in numbers if number.preset}
    official = {n.preset: n.value for n in published("official_readme") if n.epochs == 80}
    moved = {preset: value / paper[preset] - 1 for preset, value in official.items()}
    assert len(moved) == 3
    assert max(map(abs, moved.values())) < 0.024
    assert abs(moved["mf_b4_no_guidance"]) < one_seed()


def test_presets_say_what_is_published_for_them():
    """The head of a preset states the official numbers that this file holds."""
    for number in (*published("official_readme"), *published("imagenet_256")):
        head = (PRESETS / f"{number.preset}.yml").read_text()
        assert re.search(rf"\b{number.value:.2f}\b", head), (number.preset, number.value)


def test_a_group_that_is_absent_is_refused():
    with pytest.raises(KeyError, match="no group"):
        published("absent")
