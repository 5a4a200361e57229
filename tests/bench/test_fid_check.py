"""fid-check: the same from both frameworks and NumPy, from files too; wrong ones are named."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from results_records import refused

import reference
from bench.fid import standins
from bench.fid.check import against_reference, expected_fid
from bench.fid.command import Options, check_files
from impls.common.config_files import load_config
from impls.fid.collection import make_features
from impls.fid.generation import Pipeline
from impls.frameworks import implementation
from meanflow_repro import main
from results.published import published
from results.reading import read
from results.verdict import fid_verdict

pytest.importorskip("jax")
pytest.importorskip("torch")
pytest.importorskip("cleanfid")
pytest.importorskip("diffusers")

FILES = standins.FILES


@pytest.fixture
def config(tmp_path):
    """The configuration of the tiny checkpoint, as a file."""
    file = tmp_path / "tiny.yml"
    plain = standins.source().config.model_dump(mode="json")
    file.write_text(yaml.safe_dump(plain))
    return file


def files(config, **other):
    given = {
        "checkpoint": standins.CHECKPOINT,
        "vae": FILES / "vae",
        "inception": FILES / "inception.pt",
        "stats": standins.STATISTICS,
        "config": config,
        "output_dir": config.parent / "features",
        **other,
    }
    return [f"--{name.replace('_', '-')}={path}" for name, path in given.items()]


def run(*options):
    return main(["fid-check", *options])


# The stand-ins


def test_stand_ins_score_the_same_in_both_frameworks_as_in_numpy(tmp_path, capsys):
    assert run(f"--record={tmp_path}") == 0
    printed = capsys.readouterr().out
    assert "stand-ins are used" in printed
    assert " X" not in printed
    assert all(len(line) <= 80 for line in printed.splitlines() if "records" not in line)
    found = {record.subject: record for record in read(tmp_path) if record.what == "fid/fid"}
    assert set(found) == {"impls.meanflow_jax", "impls.meanflow_torch"}
    for record in found.values():
        assert record.value == pytest.approx(standins.expected()["fid"], rel=1e-3)
        assert record.settings["of"] == "stand-ins"
        protocol = {"labels", "uint8", "resize", "inception_sha256", "vae_sha256",
                    "reference_sha256"}  # fmt: skip
        assert protocol == set(record.protocol)
        assert {"num_samples", "num_steps"} <= set(record.settings)


def altered(module, **other):
    """An implementation of which one function is another."""
    return SimpleNamespace(**vars(module) | other)


BUGS = {
    "samples": {"sample": lambda own, *args: own(*args) * 1.0001},
    "images": {"decode": lambda own, model, latents: own(model, latents * 0.18215)},
    "features": {"inception_features": lambda own, model, x, mode: own(model, x, "clean")},
}


@pytest.mark.parametrize("stage", BUGS)
def test_a_bug_shows_in_its_stage_alone(stage):
    module, source = implementation("torch"), standins.source()
    bugs = {
        name: (lambda *args, name=name, bug=bug: bug(getattr(module, name), *args))
        for name, bug in BUGS[stage].items()
    }
    subjects = {"right": module, "wrong": altered(module, **bugs)}
    found = against_reference(subjects, reference, source, lambda distance: 8 * distance)
    for name, agreements in found.items():
        failed = {agreement.stage for agreement in agreements if not agreement.passes}
        assert failed == ({stage} if name == "wrong" else set())


def test_the_stored_fid_is_that_of_the_reference_for_the_first_samples():
    """The stored statistics are of NumPy's samples: their mean is near that of a few made anew."""
    pipeline = Pipeline(reference, standins.source(seed=1))
    features, images = pipeline.run(range(8))
    statistics = standins.statistics()
    deviation = np.sqrt(np.diag(statistics.covariance) / len(features))
    assert (np.abs(features.mean(0) - statistics.mean) < 6 * deviation + 1e-6).all()
    assert images.std() > 0.2


# Files


def test_files_are_scored_recorded_and_gone_on_with(config, tmp_path, capsys):
    options = ("--num-samples=120", "--framework", "torch")
    record = f"--record={tmp_path / 'records'}"
    assert run(*files(config), *options, record) == 0
    printed = capsys.readouterr().out
    assert "DiT at step 5, EMA 0.9999" in printed
    assert "60.75" in printed  # the official README's table
    assert "FID of 120 samples lies above that of 50,000" in printed
    (first,) = (record for record in read(tmp_path / "records") if record.what == "fid/fid")
    assert first.settings["training_step"] == 5
    assert first.interval is not None
    assert first.interval[0] < (first.value or 0) < first.interval[1]
    assert (tmp_path / "features" / "torch.png").is_file()
    notes = tmp_path / "features" / "torch.json"
    notes.write_text(notes.read_text().replace('"done": 120', '"done": 50'))
    array = np.load(tmp_path / "features" / "torch.npy", mmap_mode="r+")
    before = array.copy()
    array[50:] = 0
    array.flush()
    assert run(*files(config), *options) == 0
    after = np.load(tmp_path / "features" / "torch.npy")
    assert np.array_equal(after, before)  # it goes on in the same batches
    assert run(*files(config), *options, "--seed=1") == 2
    assert "sampling_seed differs" in capsys.readouterr().err


def test_a_run_of_ours_is_scored_without_a_configuration(config, tmp_path, capsys):
    given = ("--from-official", str(standins.CHECKPOINT), f"--config={config}")
    out = ("--framework=jax", f"--output={tmp_path / 'run'}")
    assert main(["convert", *given, *out]) == 0
    options = files(config, checkpoint=tmp_path / "run")
    chosen = [option for option in options if not option.startswith("--config")]
    assert run(*chosen, "--num-samples=100", "--framework", "torch", "--mode=clean") == 2
    assert "made with mode legacy_tensorflow" in capsys.readouterr().err
    assert run(*chosen, "--num-samples=100", "--framework", "torch", "--weights=params") == 0
    assert "params" in capsys.readouterr().out


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_frameworks_that_differ_fail_though_nothing_is_expected(scale, config, tmp_path, capsys):
    module = implementation("torch")
    other = altered(module, sample=lambda *args: module.sample(*args) * scale)
    given = Options(
        standins.CHECKPOINT, FILES / "vae", FILES / "inception.pt", standins.STATISTICS,
        str(config), {}, "ema", "legacy_tensorflow", 100, None, 0, 50, tmp_path / "features", None,
    )  # fmt: skip
    agree = check_files({"jax": module, "torch": other}, given)
    assert agree == (scale == 1.0)
    assert ("the frameworks differ by" in capsys.readouterr().out) == (scale != 1.0)


def test_samples_do_not_depend_on_how_many_are_made_at_once(tmp_path):
    pipeline = Pipeline(implementation("torch"), standins.source())
    one = make_features(pipeline, tmp_path / "one", 12, 12, lambda _: None)
    many = make_features(pipeline, tmp_path / "many", 12, 5, lambda _: None)
    # Rounding may turn a pixel in a hundred thousand to the next level.
    assert np.abs(np.asarray(one) - np.asarray(many)).max() <= 1e-3 * np.abs(one).max()


HTML = b"<!DOCTYPE html><html><body>Sign in</body></html>"
OTHER = io.BytesIO()
np.savez(OTHER, mu=np.zeros(7), sigma=np.eye(7))


@pytest.mark.parametrize(
    ("option", "content", "says"),
    [
        ("inception", None, "there is no Inception file"),
        ("stats", OTHER.getvalue(), "expected (128,)"),
        ("vae", HTML, "is not a folder"),
        ("checkpoint", HTML, "web page"),
        ("checkpoint", None, "there is no official checkpoint"),
    ],
)
def test_a_wrong_file_is_said_in_one_sentence(option, content, says, config, tmp_path, capsys):
    if content is not None:
        (tmp_path / "wrong").write_bytes(content)
    assert says in refused(capsys, "fid-check", *files(config, **{option: tmp_path / "wrong"}))


def test_options_that_lack_each_other_are_said(config, capsys):
    no_vae = [option for option in files(config) if not option.startswith("--vae")]
    said = refused(capsys, "fid-check", *no_vae)
    assert "4 channels, which are not an image: give --vae" in said
    said = refused(capsys, "fid-check", *files(config), "--num-samples=10")
    assert "--num-samples is 10, expected a whole number, 100" in said


# What is expected


@pytest.mark.parametrize(
    ("preset", "step", "official", "value"),
    [
        ("mf_b4", 1_200_960, True, 11.4),
        ("mf_b4", 0, True, 11.4),
        ("mf_b4", 1_200_960, False, 11.35),
        ("mf_b4", 400_000, False, 18.70),
        ("mf_b4", 400_000, True, 18.70),
        ("mf_b4_omega2", 400_320, False, 20.24),
        ("mf_b4_no_guidance", 1_200_960, False, 48.16),
        ("mf_b4", 700_000, False, None),
        ("mf_b2", 1_200_960, False, None),
    ],
)
def test_the_expected_fid_is_that_of_the_same_guidance_and_epochs(preset, step, official, value):
    found = expected_fid(load_config(preset), step, official=official)
    assert (found.value if found else None) == value


@pytest.mark.parametrize(
    ("interval", "says"),
    [
        ((11.26, 11.54), "agrees"),
        ((11.55, 11.70), "inconclusive"),
        ((11.10, 11.70), "inconclusive"),
        ((11.62, 11.70), "differs"),
        ((10.90, 11.10), "differs"),
        ((float("nan"), float("nan")), "inconclusive"),
    ],
)
def test_the_verdict_compares_the_interval_with_what_one_seed_resolves(interval, says):
    (checkpoint,) = published("published_checkpoint")
    assert fid_verdict(interval, checkpoint.value, 50_000, rounding=0.05) == says
