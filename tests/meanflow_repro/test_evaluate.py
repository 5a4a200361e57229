"""`meanflow evaluate`, and the scores at the end of `meanflow train`, on MNIST."""

from made_up_mnist import NUM_TRAIN, write_made_up
from results_records import refused
from small_runs import SMALL

from meanflow_repro import main
from results.reading import read

TITLE = "MNIST Fréchet distance"


def train(framework, folder):
    """Train a step on the made-up MNIST of a folder."""
    changes = {**SMALL, "training.num_steps": 1, "training.log_per_step": 1}
    changes["dataset.root"] = folder / "data"
    options = [f"--{name.replace('_', '-')}={value}" for name, value in changes.items()]
    run = ["--config", "mnist", "--framework", framework, "--workdir", str(folder / "run")]
    assert main(["train", *run, *options]) == 0


def test_a_run_on_mnist_is_scored_and_recorded(framework, tmp_path, capsys):
    write_made_up(tmp_path / "data")
    train(framework, tmp_path)
    printed = capsys.readouterr().out
    assert TITLE in printed
    assert "real mnist" in printed
    command = ["evaluate", "--checkpoint", str(tmp_path / "run"), "--num-samples", "100"]
    assert main([*command, "--record", str(tmp_path / "records"), "--curve"]) == 0
    assert TITLE in capsys.readouterr().out
    (file,) = (tmp_path / "records").iterdir()
    assert file.name.startswith("mnist-")
    records, subject = read(tmp_path / "records"), f"impls.meanflow_{framework}"
    assert [(record.subject, record.what) for record in records] == [
        (subject, "evaluate/conditional_accuracy"),
        ("real mnist", "evaluate/conditional_accuracy"),
        (subject, "evaluate/mnist_Frechet_distance"),
        ("real mnist", "evaluate/mnist_Frechet_distance"),
        (subject, "train/seconds"),
        (subject, "train/loss"),
        (subject, "train/v_loss"),
    ]
    assert {record.settings["num_images"] for record in records} == {NUM_TRAIN}
    real = [record.settings for record in records if record.subject == "real mnist"]
    assert real == [{"dataset": "mnist", "num_images": NUM_TRAIN}] * 2
    presets = {record.settings["preset"] for record in records if record.subject == subject}
    assert presets == {"none"}


def test_a_run_without_held_out_images_is_trained_but_not_scored(framework, tmp_path, capsys):
    write_made_up(tmp_path / "data", num_held_out=0)
    train(framework, tmp_path)
    out, error = capsys.readouterr()
    assert TITLE not in out
    said = "there is no t10k-images-idx3-ubyte in"
    assert f"meanflow: the run is not scored: {said}" in error
    assert said in refused(capsys, "evaluate", "--checkpoint", tmp_path / "run")
