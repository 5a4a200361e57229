"""The configuration loads official files unchanged and refuses the rest in one sentence."""

import json
import math
import re
from operator import attrgetter

import pytest
import yaml  # type: ignore[import-untyped, unused-ignore]
from hypothesis import example, given, settings
from hypothesis import strategies as st
from refusals import refusal

from impls.common import networks
from impls.common.config import LATER, OFFICIAL_ONLY, Config
from impls.common.config_files import (
    PRESETS,
    ConfigError,
    config_hash,
    effective_yaml,
    from_sizes,
    load_config,
    preset_names,
)
from impls.common.errors import Notice
from impls.common.networks.dit import Sizes
from impls.common.values import LARGEST, SMALLEST
from meanflow_repro import main
from results.published import all_published
from results.reading import read
from results.tabulate.modular import ROWS

# Every key of the official default.py and run_b4.yml, and those its code reads with .get().
OFFICIAL = """
dataset: {name: imgnet_latent, root: /data/latents, num_workers: 4, prefetch_factor: 2,
          pin_memory: False, cache: False, image_size: 32, image_channels: 4, num_classes: 1000,
          vae: mse}
training: {learning_rate: 0.0001, batch_size: 256, num_epochs: 240, log_per_step: 100,
           sample_per_epoch: 10, checkpoint_per_epoch: 10, fid_per_epoch: 10,
           half_precision: False, seed: 42, adam_b2: 0.95, ema_val: 0.9999, ema_type: 'const',
           sample_on_training: True}
method: {noise_dist: logit_normal, P_mean: -0.4, P_std: 1.0, data_proportion: 0.75,
         class_dropout_prob: 0.1, guidance_eq: cfg, omega: 1.0, kappa: 0.5, t_start: 0.0,
         t_end: 1.0, norm_p: 1.0, norm_eps: 0.01}
model: {cls: DiT_B_4}
sampling: {seed: 0, num_steps: 1, schedule: default, sampling_timesteps: null, num_classes: 1000}
fid: {on_training: True, num_samples: 50000, device_batch_size: 20, cache_ref: /data/stats.npz}
load_from: null
eval_only: False
"""

# Paper, Table 4 (Tables 1f and 5 for B/4); None where there is no guidance:
# preset -> (cls, epochs, omega', omega, window of t).
PUBLISHED = {
    "mf_b4_no_guidance": ("DiT_B_4", 240, None, None, None),
    "mf_b4_omega2": ("DiT_B_4", 240, 2.0, 2.0, (0.0, 1.0)),
    "mf_b4": ("DiT_B_4", 240, 2.0, 1.0, (0.0, 1.0)),
    "mf_b2": ("DiT_B_2", 240, 2.0, 1.0, (0.0, 1.0)),
    "mf_m2": ("DiT_M_2", 240, 2.0, 1.0, (0.0, 1.0)),
    "mf_l2": ("DiT_L_2", 240, 2.5, 0.2, (0.0, 0.8)),
    "mf_xl2": ("DiT_XL_2", 240, 2.5, 0.2, (0.0, 0.75)),
    "mf_xl2_plus": ("DiT_XL_2", 1000, 2.0, 1.0, (0.3, 0.8)),
}

TINY = {
    "input_size": 16, "patch_size": 4, "in_channels": 3, "hidden_size": 64, "depth": 2,
    "num_heads": 4, "mlp_ratio": 2.0, "num_classes": 10,
}  # fmt: skip


@pytest.fixture
def write(tmp_path):
    def write_file(content, name="run.yml"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file


def message_of(source, overrides=None):
    """What is said of a configuration that cannot be loaded."""
    message = refusal(ConfigError, load_config, source, overrides)
    assert "pydantic" not in message
    return message


# What loads


def test_official_keys_load_unchanged(write):
    config = load_config(write(OFFICIAL))
    loaded = config.model_dump(mode="json")
    for section, keys in yaml.safe_load(OFFICIAL).items():
        for key, value in keys.items() if isinstance(keys, dict) else ():
            if f"{section}.{key}" not in OFFICIAL_ONLY:
                assert loaded[section][key] == value, f"{section}.{key}"
    assert config.load_from is None
    assert config.eval_only is False


def test_defaults_are_the_official_defaults(write):
    ours = {
        "dataset.root": "DATA_ROOT",
        "fid.cache_ref": "FID_CACHE_REF",
        "fid.device_batch_size": 128,
        "training.num_epochs": 1000,
    }
    assert load_config(write(OFFICIAL), ours) == Config()


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("training: {learning_rate: 1e-4}", "training.learning_rate", 1e-4),
        ("training: {adam_eps: '1e-8'}", "training.adam_eps", 1e-8),
        ("fid: {num_samples: 5e4}", "fid.num_samples", 50_000),
        ("method: {omega: 2}", "method.omega", 2.0),
        ("method: {guidance_eq: null}", "method.guidance_eq", "none"),
        ("method: {guidance_eq: ''}", "method.guidance_eq", "none"),
        ("method: {guidance_eq: None}", "method.guidance_eq", "none"),
        ("method: {guidance_eq: false}", "method.guidance_eq", "none"),
        ("model: {cls: DiT-B/4}", "model.cls", "DiT_B_4"),
        ("training: {ema_more: [0, 5e-1]}", "training.ema_more", (0.0, 0.5)),
    ],
)
def test_spellings_found_in_yaml_files_are_read(write, text, key, value):
    got = attrgetter(key)(load_config(write(text)))
    assert (type(got), got) == (type(value), value)


# Keys of official files that change nothing here


OTHER_VALUES = {
    "dataset.pin_memory": True,
    "dataset.cache": True,
    "training.half_precision": "maybe",
    "training.ema_type": "edm",
    "sampling.schedule": [1, 0.5],
    "sampling.num_classes": 10,
}


@pytest.mark.parametrize("key", OFFICIAL_ONLY)
def test_a_key_without_effect_is_accepted_with_a_notice_and_not_stored(write, key):
    section, leaf = key.split(".")
    value = OTHER_VALUES[key]
    path = write(yaml.safe_dump({section: {leaf: value}}))
    for source, changes, where in ((path, {}, path), ("mf_b4", {key: value}, "the overrides")):
        with pytest.warns(Notice) as given:
            config = load_config(source, changes)
        (notice,) = (str(warning.message) for warning in given)
        assert notice.startswith(f"{key} in {where} is ")
        assert "has no effect" in notice
        assert config == (Config() if source == path else load_config("mf_b4"))
        assert leaf not in yaml.safe_load(effective_yaml(config))[section]


def test_a_key_without_effect_is_said_once_at_the_command_line(write, capsys):
    path = write("base: digits\ntraining: {half_precision: true}\n")
    assert main(["config", str(path)]) == 0
    printed, said = capsys.readouterr()
    assert said == (
        f"meanflow: training.half_precision in {path} is true, which has no effect: the key is"
        " accepted so that files of the official code load\n"
    )
    assert "half_precision" not in printed
    assert main(["config", "digits", "--training.half-precision=true"]) == 0
    assert capsys.readouterr().err.startswith("meanflow: training.half_precision in the overrides")


def test_a_key_without_effect_at_its_default_is_accepted_in_silence(write):
    official = write("dataset: {num_classes: 10}\nsampling: {num_classes: 10, schedule: default}\n")
    assert load_config(official) == load_config(write("dataset: {num_classes: 10}", "plain.yml"))


def test_an_error_beside_a_key_without_effect_is_the_error_alone(write):
    text = "training: {half_precision: true, seed: -1}\nsampling: {schedule: 1}"
    assert message_of(write(text)).startswith("training.seed in")


def test_overrides_win_over_the_file_and_may_be_text(write, tmp_path):
    config = load_config(
        write("training: {batch_size: 8, seed: 3}"),
        {"training.batch_size": "4", "dataset.root": tmp_path, "eval_only": True},
    )
    assert (config.training.batch_size, config.training.seed) == (4, 3)
    assert (config.dataset.root, config.eval_only) == (str(tmp_path), True)


def test_override_reaches_one_of_two_sections_that_share_an_anchor(write):
    path = write("sampling: &same {seed: 1}\ntraining: *same\n")
    config = load_config(path, {"training.seed": 2})
    assert (config.sampling.seed, config.training.seed) == (1, 2)


# The network


def test_explicit_sizes_replace_those_of_the_class():
    network = load_config("mf_b4", {"model.depth": 3, "model.patch_size": 2}).network
    sizes = {"patch_size": 2, "hidden_size": 768, "depth": 3, "num_heads": 12, "mlp_ratio": 4.0}
    assert network == Sizes(input_size=32, in_channels=4, num_classes=1000, **sizes)


def test_golden_sizes_give_the_network_they_describe():
    config = from_sizes(TINY, {"omega": 1.5, "kappa": 0.25}, {"ema_decay": 0.9})
    assert config.network == Sizes(**TINY)
    assert (config.method.omega, config.method.kappa) == (1.5, 0.25)
    assert config.training.ema_val == 0.9


@pytest.mark.parametrize("missing", [key for key in TINY if key != "mlp_ratio"])
def test_golden_sizes_without_a_size_are_refused(missing):
    sizes = {key: value for key, value in TINY.items() if key != missing}
    with pytest.raises(ConfigError, match=rf"^model\.{missing} is missing"):
        from_sizes(sizes, {})


def test_golden_sizes_that_cannot_be_used_are_refused_by_their_configuration_key():
    unknown = refusal(ConfigError, from_sizes, TINY, {"omgea": 1.0})
    assert re.search(r"^method\.omgea in the sizes .* method\.omega\?$", unknown)
    unfit = refusal(ConfigError, from_sizes, {**TINY, "input_size": 15}, {})
    assert unfit.startswith("dataset.image_size in the sizes is 15, expected a mul")


# Presets


def test_presets_are_those_of_the_paper_and_of_small_images():
    small = {str(number.small) for number in all_published() if number.small}
    other_losses = {preset for preset in ROWS if preset.startswith("modular/")}
    assert set(preset_names()) == {*PUBLISHED, "digits", "mnist", "cifar10", *small, *other_losses}


@pytest.mark.parametrize("name", PUBLISHED)
def test_preset_matches_the_published_table(name):
    cls, epochs, scale, omega, window = PUBLISHED[name]
    config = load_config(name)
    training, method = config.training, config.method
    assert (config.model.cls, training.num_epochs) == (cls, epochs)
    assert method.guidance_eq == ("none" if scale is None else "cfg")
    if scale is not None and omega is not None:
        assert method.omega == omega
        assert method.kappa == pytest.approx(1 - omega / scale, rel=0, abs=1e-12)
        assert (method.t_start, method.t_end) == window
    assert (training.batch_size, training.learning_rate, training.ema_val) == (256, 1e-4, 0.9999)
    assert (training.adam_b1, training.adam_b2, training.weight_decay) == (0.9, 0.95, 0.0)
    assert (method.noise_dist, method.P_mean, method.P_std) == ("logit_normal", -0.4, 1.0)
    assert (method.data_proportion, method.norm_p, method.class_dropout_prob) == (0.75, 1.0, 0.1)
    assert config.dataset == Config().dataset


def test_averages_warm_up_in_digits_and_mnist_alone():
    """Recorded runs of the ablations had no warm-up, nor has the paper."""
    warm = [name for name in preset_names() if load_config(name).training.ema_warmup]
    assert warm == ["digits", "mnist"]


@pytest.mark.parametrize("name", preset_names())
def test_preset_opens_with_its_command_cost_and_score(name):
    opening = (PRESETS / f"{name}.yml").read_text(encoding="utf-8").split("\n\n")[0]
    assert all(line.startswith("#") for line in opening.splitlines())
    assert f"train --framework jax --config {name} --workdir runs/{name}\n" in opening
    training = load_config(name).training
    cost = f"{training.num_steps} steps" if training.num_steps else f"{training.num_epochs} epochs"
    assert f"# Cost: {cost}" in opening
    score = (
        r"# Expect: (FID-50K \d+\.\d\d in|conditional accuracy 0\.\d\d|not measured yet"
        r"|digits Frechet distance in results/tables/(ablations\.md; FID-50K \d+\.\d\d of|modular))"
    )
    assert re.search(score, opening)


@pytest.mark.parametrize("name", preset_names())
def test_preset_sets_only_what_differs_from_the_defaults(name):
    sections = yaml.safe_load((PRESETS / f"{name}.yml").read_bytes())
    base = sections.pop("base", None)
    below = load_config(base) if base else Config()
    defaults = below.model_dump(mode="json")
    for section, keys in sections.items():
        same = [key for key, value in keys.items() if defaults[section][key] == value]
        assert same == [], f"{section} repeats the defaults of {same}"


# Identity


def test_recorded_runs_of_presets_have_the_hash_of_their_configuration():
    runs = {
        (str(record.settings["preset"]), record.settings["training_seed"], record.config_hash)
        for record in read()
        if record.settings.get("preset") in preset_names()
        and record.config_hash
        # The folder of a data set is another one on each machine.
        and load_config(record.settings["preset"]).dataset.root == Config().dataset.root
        and "training_seed" in record.settings  # which others do not tell
    }
    assert len(runs) > 50
    for preset, seed, recorded in runs:
        assert config_hash(load_config(preset, {"training.seed": seed})) == recorded, preset


def test_hash_changes_with_any_key_and_only_then():
    hashes = [config_hash(load_config(name)) for name in preset_names()]
    assert len(set(hashes)) == len(hashes)
    written_out = load_config("mf_b4", {"method.P_mean": "-4e-1", "training.weight_decay": -0.0})
    assert config_hash(written_out) == config_hash(load_config("mf_b4"))


def test_a_key_that_was_added_later_counts_in_the_hash_where_it_is_set():
    for dotted, default in LATER.items():
        assert attrgetter(dotted)(Config()) == default
        assert config_hash(load_config("mf_b4", {dotted: default})) == "97dedee1232b"
        other = {"method.tangent_velocity": "network", "method.reduction": "mean"}.get(dotted, 1)
        also = {"method.tangent_gradient": 1} if dotted.endswith("gradient_steps") else {}
        changed = load_config("mf_b4", {**also, dotted: bool(other) if default is False else other})
        assert config_hash(changed) != "97dedee1232b"


@pytest.mark.parametrize("name", preset_names())
def test_effective_yaml_loads_back_to_an_equal_config(write, name):
    config = load_config(name)
    text = effective_yaml(config)
    assert load_config(write(text)) == config
    assert set(yaml.safe_load(text)["training"]) == set(type(config.training).model_fields)


# Text without surrogates, which UTF-8 cannot hold, and NUL, which no path can.
WORDS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20
)
OVERRIDES = st.fixed_dictionaries(
    {},
    optional={
        "dataset.root": WORDS,
        "load_from": st.none() | WORDS,
        "training.learning_rate": st.floats(SMALLEST, LARGEST),
        "training.seed": st.integers(0, 2**32 - 1),
        "method.P_mean": st.floats(-LARGEST, LARGEST),
        "method.kappa": st.floats(0, 1, exclude_max=True),
        "method.guidance_eq": st.sampled_from(["cfg", "none", None]),
        "model.cls": st.sampled_from(networks.classes()[1:]),
        "fid.on_training": st.booleans(),
    },
)


@given(overrides=OVERRIDES)
@example(overrides={"dataset.root": "\x85"})  # a line break to YAML 1.1
@example(overrides={"dataset.root": "1e-4", "load_from": "null"})
@settings(deadline=None, max_examples=60)
def test_any_valid_override_survives_writing_and_reading(tmp_path_factory, overrides):
    config = load_config("mf_b4", overrides)
    for dotted, value in overrides.items():
        got = attrgetter(dotted)(config)
        assert got == ("none" if dotted == "method.guidance_eq" and value is None else value)
    path = tmp_path_factory.getbasetemp() / "effective.yml"
    path.write_text(effective_yaml(config), encoding="utf-8")
    again = load_config(path)
    assert again == config
    assert config_hash(again) == config_hash(config)


# Errors

UNKNOWN_KEYS = [
    ("method: {omgea: 1}", "method.omgea", "did you mean method.omega?"),
    ("method: {p_mean: 1}", "method.p_mean", "did you mean method.P_mean?"),
    ("training: {omega: 1}", "training.omega", "did you mean method.omega?"),
    ("trainning: {seed: 1}", "trainning", "did you mean training?"),
    ("batch_size: 4", "batch_size", "did you mean training.batch_size?"),
    ("training.batch_size: 4", "training.batch_size", "write batch_size as a key below `training"),
    ("fid: {zzz: 1}", "fid.zzz", "expected one of on_training, num_samples"),
    ("zzz: 1", "zzz", "expected one of dataset, training"),
    ("a.b: 1", "a.b", "expected one of dataset, training"),
    (".x: 1", ".x", "expected one of dataset, training"),
    ("'': 1", "''", "expected one of dataset, training"),
    ("training: {'': 1}", "training.", "expected one of learning_rate"),
    ("training: {method.omega: 1}", "training.method.omega", "omega as a key below `method:`"),
    ("3: 1", "3", "expected one of dataset, training"),
    ("training: {3: 1}", "training.3", "expected one of learning_rate"),
]


@pytest.mark.parametrize(("text", "key", "hint"), UNKNOWN_KEYS)
def test_unknown_key_is_refused_with_the_nearest(write, text, key, hint):
    path = write(text)
    message = message_of(path)
    assert message.startswith(f"{key} in {path} is not a configuration key")
    assert hint in message


# key, values, expected
BAD_VALUES = [
    ("training.batch_size", ["many", 0, 2.5, True, None], "a whole number, 1 or more"),
    ("training.learning_rate", [0, math.nan, "inf"], "a number above 0"),
    ("training.ema_val", [1.0], "a number from 0 up to but not 1"),
    ("training.adam_b2", [-0.1], "a number from 0 up to but not 1"),
    ("training.num_microbatches", [5], "a divisor of training.batch_size (256)"),
    ("training.min_learning_rate", [1.0], "at most training.learning_rate (0.0001)"),
    ("training.ema_more", [[0.9, 1], {0.9}], "a list of numbers from 0 up to but not 1"),
    ("training.max_grad_norm", [0], "null or a number above 0"),
    ("training.precision", ["float16"], "float32 or bfloat16"),
    ("training.seed", [-1, "010", "1_000", "٣", "²", b"5"], "a whole number, 0 or more"),
    ("method.data_proportion", [1.5], "a number from 0 to 1"),
    ("method.class_dropout_prob", [-1], "a number from 0 to 1"),
    ("method.norm_eps", [0], "a number above 0"),
    ("method.norm_p", [-1], "a number, 0 or more"),
    ("method.P_std", [0.0], "a number above 0"),
    ("method.P_mean", [-math.inf, 1e308, "1e400"], "a finite number"),
    ("method.omega", [-1], "a number, 0 or more"),
    ("method.kappa", [1], "a number from 0 up to but not 1"),
    ("method.t_start", [-0.1], "a number from 0 to 1"),
    ("method.t_start", [0.9], "at most method.t_end (0.8)"),
    ("method.noise_dist", ["lognormal"], "logit_normal or uniform; did you mean logit_normal?"),
    ("method.guidance_eq", ["cgf"], "cfg or none; did you mean cfg?"),
    ("dataset.name", ["", 5], "text, in quotes"),
    ("dataset.name", ["digts"], "one of digits, mnist, cifar10, folder, imgnet_latent; did you"),
    ("dataset.root", [2024, "", "a\0b", "\ud800"], "text, in quotes"),
    ("dataset.image_size", [31], "a multiple of the patch size (2"),
    ("load_from", [5], "null or text"),
    ("eval_only", ["maybe"], "true or false"),
    ("model.cls", ["DiT_B_3"], "one of DiT, DiT_S_2"),
    ("model.hidden_size", [18], "a multiple of 4"),
    ("model.num_heads", [7], "a divisor of the hidden size (1152)"),
    ("model.depth", [0], "null or a whole number, 1 or more"),
    ("model.mlp_ratio", [0.0001], "at least 1 / the hidden size (1152)"),
    ("sampling.num_steps", [0, 10_001], "a whole number, 1 or more (10,000 at most)"),
    ("training.batch_size", [10**6], "a whole number, 1 or more (65,536 at most)"),
    ("dataset.num_workers", [2000], "a whole number, 0 or more (1,024 at most)"),
    ("sampling.sampling_timesteps", [1], "null or a list of numbers that fall from 1 to 0"),
]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [(key, value, expected) for key, values, expected in BAD_VALUES for value in values],
)
def test_bad_value_is_refused_with_key_got_and_expected(key, value, expected):
    got = json.dumps(value) if value is None or value is True else repr(value)
    message = message_of("mf_xl2_plus", {key: value})
    assert message.startswith(f"{key} in the overrides is {got}, expected {expected}")


@pytest.mark.parametrize("got", ["5", "null", "['seed', 1]"])
def test_section_that_is_no_mapping_is_refused_with_one_of_its_keys(write, got):
    path = write(f"training: {got}")
    expected = "a mapping with keys such as learning_rate"
    assert message_of(path) == f"training in {path} is {got}, expected {expected}"


@pytest.mark.parametrize(
    "times", [[1.0, 0.5], [0.9, 0.5, 0.0], [1.0, 0.5, 0.1], [1.0, 1.0, 0.0], [1.0, 0.0], []]
)
def test_times_that_do_not_fall_from_one_to_zero_are_refused(times):
    overrides = {"sampling.num_steps": 2, "sampling.sampling_timesteps": times}
    assert message_of("mf_b4", overrides) == (
        f"sampling.sampling_timesteps in the overrides is {times}, "
        "expected 3 (num_steps + 1) numbers that fall from 1 to 0"
    )


@pytest.mark.parametrize("key", ["patch_size", "hidden_size", "depth", "num_heads"])
def test_open_class_without_a_size_is_refused(write, key):
    sizes = {"cls": "DiT", "patch_size": 4, "hidden_size": 64, "depth": 2, "num_heads": 4}
    assert load_config(write(yaml.safe_dump({"model": sizes}))).network.depth == 2
    del sizes[key]
    message = message_of(write(yaml.safe_dump({"model": sizes})))
    assert message.startswith(f"model.{key} by default is null, expected a whole number because")


def test_a_cosine_without_its_length_is_refused(write):
    message = message_of(write("training: {schedule: cosine}"))
    assert message.startswith("training.cycle_steps by default is null, expected a whole number")
    assert message.endswith("set it, or num_steps")


def test_error_of_an_override_names_the_overrides_and_not_the_file():
    for key, value, says in (
        ("training.batch_size", 0, "training.batch_size in the overrides is 0, expected a whole"),
        ("trainning.seed", 0, "trainning in the overrides is not a configuration key; did you"),
        ("training", {"seed": 0}, "training in the overrides is a section: name a key like train"),
    ):
        assert message_of("mf_b4", {key: value}).startswith(says)


def test_only_the_first_of_several_errors_is_said_and_the_others_are_counted(write):
    two = message_of(write("training: {batch_size: 0, seed: -1}"))
    assert two.startswith("training.batch_size")
    assert two.endswith("(and 1 more error)")
    assert message_of(write("method: {omega: x, kappa: x, a: 1}")).endswith("(and 2 more errors)")


@pytest.mark.parametrize(
    ("content", "rest"),
    [
        ("", "is empty, expected sections such as `training:`"),
        ("# only a comment\n", "is empty, expected sections such as `training:`"),
        ("- training\n- method\n", "holds ['training', 'method'], expected sections"),
        ("just text", "holds 'just text', expected sections"),
        ("training:\n  seed: 1\n bad: 2\n", "is not valid YAML at line 3: "),
        ("training: {seed: 1\n", "is not valid YAML at line 2: "),
        ("training:\n\tseed: 1\n", "is not valid YAML at line 2: "),
        ("training: {seed: 1}\n---\nmethod: {}\n", "is not valid YAML at line 2: "),
        ("a: !!python/object:os.system {}\n", "is not valid YAML at line 1: "),
        ("[a]: 1\n", "is not valid YAML at line 1: "),
        ("training: {half_precision: !!bool maybe}", "is not a YAML text file (KeyError"),
        ("load_from: 2020-13-45", "is not a YAML text file (ValueError"),
        ("training: " + "[" * 5000, "is not a YAML text file (RecursionError"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "is not a YAML text file (ReaderError"),
        (b"\x00\x01\x02", "is not a YAML text file (ReaderError"),
        (b"\xff\xfe\x00\xd8", "is not a YAML text file (ReaderError"),
    ],
)
def test_file_that_is_no_mapping_of_sections_is_refused(write, content, rest):
    path = write(content)
    message = message_of(path)
    assert message.startswith(f"{path} {rest}")
    assert len(message) < len(str(path)) + 250


def test_key_given_twice_is_refused_with_both_lines(write):
    path = write("training:\n  seed: 1\n  batch_size: 8\n  seed: 2\n")
    expected = f"training.seed in {path} is given twice (lines 2 and 4): keep one of them"
    assert message_of(path) == expected
    path = write("training: {seed: 1}\nmethod: {}\ntraining: {batch_size: 8}\n")
    assert message_of(path).startswith(f"training in {path} is given twice (lines 1 and 3)")


def test_unknown_preset_is_refused_with_the_nearest_and_the_list():
    message = message_of("mf_b5")
    assert message.startswith("mf_b5 is neither a preset (ablation/…, cifar10, digits, mf_b2, mf_b")
    assert re.search(r"; did you mean mf_\w+\?$", message)
    assert message_of("ablation/embeding_h").endswith("; did you mean ablation/embedding_h?")


def test_a_base_lies_below_the_file(write):
    path = write("base: ablation/power_2\ntraining: {learning_rate: 1e-3}\nmodel: {depth: 3}\n")
    config = load_config(path)
    # Of the base, and of its base.
    assert (config.method.norm_p, config.method.guidance_eq) == (2.0, "none")
    assert (config.training.learning_rate, config.training.batch_size) == (1e-3, 64)
    assert (config.model.depth, config.model.hidden_size) == (3, 64)
    changed = {"method.norm_p": 1, "training.learning_rate": 0.004, "model.depth": 2}
    assert load_config(path, changed) == load_config("ablation/default")


@pytest.mark.parametrize("base", ["digit", "nowhere/other.yml", "[digits]", "null"])
def test_a_base_that_is_no_preset_is_refused(write, base):
    message = message_of(write(f"base: {base}\n"))
    assert re.search(r"^base in .* is .*, expected a preset \(ablation/…, cifar10, digits", message)


def test_missing_file_and_folder_are_refused(tmp_path):
    message = message_of(tmp_path / "digts.yml")
    assert message.startswith(f"{tmp_path / 'digts.yml'} is neither a preset")
    assert message.endswith("; did you mean digits?")
    assert message_of(tmp_path).startswith(f"{tmp_path} cannot be read (Is a directory)")
    assert "cannot be read (File name too long)" in message_of(tmp_path / ("x" * 300))
