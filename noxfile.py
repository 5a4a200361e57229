"""Sessions of the project: `nox -l` lists them, `nox -s NAME -- …` passes options on."""

import shutil
from functools import partial
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.reuse_venv = "yes"  # the second run of a session starts at once
nox.options.sessions = ["verify", "tests", "lint", "types"]

FRAMEWORKS = ("jax", "torch")
# More processes would each take a gigabyte, and compile what another is still compiling.
PARALLEL = ("-n", "logical", "--maxprocesses=4", "--dist=worksteal")


def install(session: nox.Session, *extras: str) -> None:
    """Install the project with extras, at the pinned versions."""
    project = f".[{','.join(extras)}]" if extras else "."
    session.install("-c", "constraints.txt", "-e", project)


@nox.session
def verify(session: nox.Session) -> None:
    """Check both implementations against the reference, the official numbers and each other."""
    install(session, "jax", "torch", "fid", "vae")
    session.run("meanflow", "verify", *session.posargs)


@nox.session(name="verify-jax")
def verify_jax(session: nox.Session) -> None:
    """Check the JAX implementation alone, in an environment without PyTorch."""
    install(session, "jax")
    session.run("meanflow", "verify", *session.posargs)


@nox.session(name="verify-torch")
def verify_torch(session: nox.Session) -> None:
    """Check the PyTorch implementation alone, in an environment without JAX."""
    install(session, "torch", "fid", "vae")
    session.run("meanflow", "verify", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the test suite on up to four processors; `nox -s tests -- --slow` adds the slow tests."""
    install(session, "jax", "torch", "fid", "vae", "docs", "dev")
    session.run("pytest", *PARALLEL, *session.posargs)


@nox.session(default=False)
def soak(session: nox.Session) -> None:
    """Run the tests too long for the suite, at most 90 minutes; recorded in results/records.

    `-- kills repetitions fuzz ports mutants slips` selects among its parts, `-- --minutes 10`
    bounds the total time, `-- --seed N` repeats the draws of a record. Exit status 1 if any part
    failed.
    """
    install(session, "jax", "torch", "fid", "vae", "dev")
    session.run("python", "tests/soak.py", *session.posargs)


@nox.session(default=False)
def slips(session: nox.Session) -> None:
    """Test that some check fails for every small error in the implementations: up to an hour."""
    install(session, "jax", "torch", "fid", "vae", "dev")
    text = "tests/verify/test_verify_catches_any_slip.py"
    session.run("pytest", *PARALLEL, "--soak=slips", text, *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check lint rules and formatting (Ruff) and the import contracts (import-linter)."""
    session.install("-c", "constraints.txt", "import-linter", "ruff")
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")
    session.run("lint-imports", "--no-cache", "--no-logo")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy, strict for the framework-independent code."""
    install(session, "dev")
    session.run("mypy", *session.posargs)


@nox.session(default=False)
def notebook(session: nox.Session) -> None:
    """Execute examples/digits.ipynb from top to bottom and store its output."""
    install(session, "jax", "torch", "examples")
    options = session.posargs or ["--inplace"]
    session.run("jupyter", "execute", *options, "examples/digits.ipynb")


@nox.session(name="train-digits", default=False)
def train_digits(session: nox.Session) -> None:
    """Train on digits in both frameworks with one seed or more, and record the scores.

    `-- 42 43 44` are the seeds (42 alone by default). Each run takes minutes; runs go to
    runs/digits-FRAMEWORK-SEED, records to results/records and sample grids to results/samples.
    """
    train_and_record(session, "digits")


@nox.session(name="train-mnist", default=False)
def train_mnist(session: nox.Session) -> None:
    """Train on MNIST in both frameworks, and record the scores and training curves.

    `-- --dataset.root=FOLDER 42 43` are the folder of its files and the seeds, as for train-digits.
    """
    train_and_record(session, "mnist", "--curve")


def train_and_record(session: nox.Session, preset: str, *scoring: str) -> None:
    """Train a preset in both frameworks; --KEY=VALUE among the arguments are options of a run."""
    install(session, "jax", "torch")
    options = [word for word in session.posargs if word.startswith("--")]
    for seed in [word for word in session.posargs if word not in options] or ["42"]:
        for framework in FRAMEWORKS:
            run = f"runs/{preset}-{framework}-{seed}"
            choice = ("--framework", framework, "--config", preset, f"--training.seed={seed}")
            session.run("meanflow", "train", *choice, *options, "--workdir", run)
            records = ("--record", "results/records", *scoring)
            session.run("meanflow", "evaluate", "--checkpoint", run, *records)
            picture = ("--num-samples", "100", "--output-dir", f"{run}/samples")
            session.run("meanflow", "sample", "--checkpoint", run, *picture)
            source = Path(run, "samples", "grid.png")
            target = Path("results", "samples", f"{preset}-{framework}-{seed}.png")
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(source, target)


@nox.session(default=False)
def ablations(session: nox.Session) -> None:
    """Train the paper's ablations on digits in both frameworks with three seeds: up to an hour.

    Interrupted runs resume; recorded runs are not repeated until runs/ablations is removed.
    """
    install(session, "jax", "torch")
    folders = ("--workdir", "runs/ablations", "--record", "results/records")
    session.run("meanflow", "ablations", *folders, "--samples", "results/samples", *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Benchmark JVP overhead, throughput and sampling in both frameworks; records the results.

    `-- --full` adds compiled PyTorch, larger networks, batches and numbers of tokens (an hour);
    `-- --against official=PATH` times the training step of a checkout of the authors' code too.
    Exit status 1 if a ratio is worse than the last ones on the same kind of machine.
    """
    install(session, "jax", "torch", "bench")
    options = [option for option in session.posargs if option != "--full"]
    full = len(options) < len(session.posargs)
    run = partial(session.run, "meanflow", "bench")
    for framework in FRAMEWORKS:
        about = ("--framework", framework, "--record", "results/records")
        run("jvp-overhead", *about, "--rounds", "5", *(options if framework == "jax" else ()))
        run("throughput", "sampling", *about, "--rounds", "5", "--batch-sizes", "64")
        if full:
            run("depth", *about)
            run("jvp-overhead", *about, "--model.cls=DiT_B_4", "--rounds", "5")
            run("attention", *about, "--rounds", "5")
            sizes = ("--models", "DiT_S_4", "DiT_S_2", "DiT_B_4", "--batch-sizes", "8", "32", "128")
            run("throughput", *about, "--rounds", "3", *sizes)
    if full:
        compiled = ("--forms", "unguided sparse", "guided sparse", "guided dense")
        run("jvp-overhead", *about, "--training.compile=always", *compiled)
    session.run("meanflow", "results", "check")


@nox.session(name="bench-tpu", default=False)
def bench_tpu(session: nox.Session) -> None:
    """Count a training step's cost on TPUs, compiled ahead of time; time it on an attached one.

    Steps are compiled for a TPU v4 in about 15 minutes, and at once where nothing has changed.
    `-- --chips v5e v6e --models DiT_XL_2 --batch-sizes 8` compiles others, and
    `-- --against official=PATH` the step of a checkout of the authors' code.
    """
    install(session, "tpu", "bench")
    session.run("meanflow", "bench", "tpu", "--record", "results/records", *session.posargs)


@nox.session(name="bench-gpu", default=False)
def bench_gpu(session: nox.Session) -> None:
    """Time training steps on this machine's NVIDIA GPU in both frameworks; records the results.

    `-- --models DiT_B_4 DiT_XL_2 --batch-sizes 32 128 --forms "guided sparse"` measures others.
    """
    if not shutil.which("nvidia-smi"):
        session.error("there is no NVIDIA GPU here: the command nvidia-smi is missing")
    install(session, "jax", "torch", "bench")
    session.install("-c", "constraints.txt", "jax[cuda13]")
    for framework in FRAMEWORKS:
        about = ("--framework", framework, "--record", "results/records")
        session.run("meanflow", "bench", "gpu", *about, *session.posargs)


@nox.session(name="tests-tpu", default=False)
def tests_tpu(session: nox.Session) -> None:
    """Test compilation for TPUs: one tiny step, with libtpu (484 MB)."""
    install(session, "tpu", "bench", "dev")
    session.run("pytest", "tests/bench/test_tpu_compiler.py", *session.posargs)


@nox.session(name="fid-check", default=False)
def fid_check(session: nox.Session) -> None:
    """Compute a checkpoint's FID in both frameworks, beside the published one.

    Without files it runs on tiny stand-ins.
    `-- --checkpoint DIR --vae DIR --inception FILE --stats FILE` are the files; scores computed
    from files are recorded in results/records.
    """
    install(session, "jax", "torch", "fid", "vae")
    recorded = ("--record", "results/records") if session.posargs else ()
    session.run("meanflow", "fid-check", *recorded, *session.posargs)


@nox.session(default=False)
def golden(session: nox.Session) -> None:
    """Write golden files with a checkout of the authors' code, in its own pinned environment.

    `-- --official PATH --golden FOLDER --output FOLDER`; see verify/official/golden_writer.py.
    """
    session.install("-r", "verify/official/requirements.txt")
    session.run("python", "verify/official/golden_writer.py", *session.posargs)


@nox.session(default=False)
def official(session: nox.Session) -> None:
    """Test the manual's commands on a checkout of the authors' code: `-- --official CHECKOUT`.

    The test suite runs them on a stand-in with the same interface.
    """
    checkout = Path(session.posargs[-1] if session.posargs[:1] == ["--official"] else "")
    if len(session.posargs) != 2 or not checkout.is_dir():
        session.error("give a checkout of the authors' code: nox -s official -- --official PATH")
    install(session, "jax", "torch", "fid", "vae", "dev")
    where = {"MEANFLOW_OFFICIAL": str(checkout.resolve())}
    session.run("pytest", "tests/test_manual_commands.py", "-k", "CHECKOUT", env=where)


@nox.session(default=False)
def tables(session: nox.Session) -> None:
    """Regenerate every table and figure of results and of the manual from the records."""
    install(session, "figures")
    session.run("meanflow", "tables", *session.posargs)


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Build the manual and the report into site/; its pages work offline."""
    install(session, "docs", "figures")
    session.run("meanflow", "tables")
    session.env["NO_MKDOCS_2_WARNING"] = "1"
    session.run("mkdocs", "build", "--strict", *session.posargs)


@nox.session(default=False)
def commands(session: nox.Session) -> None:
    """Measure and record the time of sessions on a fresh checkout: `-- verify verify-jax`, …"""
    install(session, "dev")
    session.run("python", "-m", "bench.studies.commands", *session.posargs)


@nox.session(default=False)
def tolerances(session: nox.Session) -> None:
    """Measure NumPy's float32 rounding errors again, and store them in verify/tolerances.json."""
    install(session)
    session.run("python", "-m", "verify.rounding")
