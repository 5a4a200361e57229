"""Every act of the project: `nox -l` lists them, `nox -s NAME -- …` passes options on."""

import shutil
from functools import partial
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.reuse_venv = "yes"  # the second run of a session starts at once
nox.options.sessions = ["verify", "tests", "lint", "types"]

FRAMEWORKS = ("jax", "torch")
# More processes would each compile what another has not yet finished, and take a gigabyte.
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
    """The same for JAX alone, in an environment without torch."""
    install(session, "jax")
    session.run("meanflow", "verify", *session.posargs)


@nox.session(name="verify-torch")
def verify_torch(session: nox.Session) -> None:
    """The same for PyTorch alone, in an environment without JAX."""
    install(session, "torch", "fid", "vae")
    session.run("meanflow", "verify", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """The test suite, on up to four processors; `nox -s tests -- --slow` adds the slow ones."""
    install(session, "jax", "torch", "fid", "vae", "docs", "dev")
    session.run("pytest", *PARALLEL, *session.posargs)


@nox.session(default=False)
def soak(session: nox.Session) -> None:
    """Repetitions too long for the suite, recorded in results/records: at most 90 minutes.

    `-- kills repetitions fuzz mutants slips` are its acts, `-- --minutes 10` bounds the time of
    all, `-- --seed N` repeats the draws of a record. Ends with exit status 1 when any failed.
    """
    install(session, "jax", "torch", "fid", "vae", "dev")
    session.run("python", "tests/soak.py", *session.posargs)


@nox.session(default=False)
def slips(session: nox.Session) -> None:
    """Every small slip in both implementations must turn a check red: most of an hour."""
    install(session, "jax", "torch", "fid", "vae", "dev")
    text = "tests/verify/test_verify_catches_any_slip.py"
    session.run("pytest", *PARALLEL, "--soak=slips", text, *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff, rules and format, and the contracts of who may import whom."""
    session.install("-c", "constraints.txt", "import-linter", "ruff")
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")
    session.run("lint-imports", "--no-cache", "--no-logo")


@nox.session
def types(session: nox.Session) -> None:
    """Mypy, strict, on what is shared and on what judges."""
    install(session, "dev")
    session.run("mypy", *session.posargs)


@nox.session(default=False)
def notebook(session: nox.Session) -> None:
    """Run examples/digits.ipynb from top to bottom, and keep what it shows."""
    install(session, "jax", "torch", "examples")
    options = session.posargs or ["--inplace"]
    session.run("jupyter", "execute", *options, "examples/digits.ipynb")


@nox.session(name="train-digits", default=False)
def train_digits(session: nox.Session) -> None:
    """Train the digits in both frameworks with one seed or more, and record their scores.

    `-- 42 43 44` are the seeds (42 alone by default). Each run takes minutes; runs go to
    runs/digits-FRAMEWORK-SEED, records to results/records and pictures to results/samples.
    """
    install(session, "jax", "torch")
    for seed in session.posargs or ["42"]:
        for framework in FRAMEWORKS:
            run = f"runs/digits-{framework}-{seed}"
            choice = ("--framework", framework, f"--training.seed={seed}")
            session.run("meanflow", "train", *choice, "--workdir", run)
            session.run("meanflow", "evaluate", "--checkpoint", run, "--record", "results/records")
            picture = ("--num-samples", "100", "--output-dir", f"{run}/samples")
            session.run("meanflow", "sample", "--checkpoint", run, *picture)
            source = Path(run, "samples", "grid.png")
            target = Path("results", "samples", f"digits-{framework}-{seed}.png")
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(source, target)


@nox.session(default=False)
def ablations(session: nox.Session) -> None:
    """The paper's ablations on digits, in both frameworks with three seeds: most of an hour.

    What was stopped goes on; what is recorded is not done again, until runs/ablations is removed.
    """
    install(session, "jax", "torch")
    folders = ("--workdir", "runs/ablations", "--record", "results/records")
    session.run("meanflow", "ablations", *folders, "--samples", "results/samples", *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """What the JVP costs, throughput and sampling in both frameworks, recorded in results/records.

    `-- --full` adds compiled PyTorch, larger networks, batches and numbers of tokens (an hour);
    `-- --against official=PATH` times the authors' own step of a checkout in the same rounds.
    Ends with exit status 1 when a ratio is worse than the last ones of the same kind of machine.
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


@nox.session(name="fid-check", default=False)
def fid_check(session: nox.Session) -> None:
    """FID of a checkpoint by both frameworks, beside what is published; stand-ins without files.

    `-- --checkpoint DIR --vae DIR --inception FILE --stats FILE` are the files. Scores of files
    are recorded in results/records.
    """
    install(session, "jax", "torch", "fid", "vae")
    recorded = ("--record", "results/records") if session.posargs else ()
    session.run("meanflow", "fid-check", *recorded, *session.posargs)


@nox.session(default=False)
def golden(session: nox.Session) -> None:
    """Run the official code of a checkout: `-- --official PATH --golden FOLDER --output FOLDER`.

    In the official code's own pinned environment. Its options: verify/official/golden_writer.py.
    """
    session.install("-r", "verify/official/requirements.txt")
    session.run("python", "verify/official/golden_writer.py", *session.posargs)


@nox.session(default=False)
def official(session: nox.Session) -> None:
    """Run the manual's commands on the authors' code of a checkout: `-- --official CHECKOUT`.

    Without this session the test suite runs them on a stand-in of the same interface.
    """
    checkout = Path(session.posargs[-1] if session.posargs[:1] == ["--official"] else "")
    if len(session.posargs) != 2 or not checkout.is_dir():
        session.error("give a checkout of the authors' code: nox -s official -- --official PATH")
    install(session, "jax", "torch", "fid", "vae", "dev")
    where = {"MEANFLOW_OFFICIAL": str(checkout.resolve())}
    session.run("pytest", "tests/test_manual_commands.py", "-k", "CHECKOUT", env=where)


@nox.session(default=False)
def tables(session: nox.Session) -> None:
    """Write every table and figure of results and of the manual anew, from the records."""
    install(session, "figures")
    session.run("meanflow", "tables", *session.posargs)


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Build the manual into site/, with the report; no page of it needs the network."""
    install(session, "docs", "figures")
    session.run("meanflow", "tables")
    session.env["NO_MKDOCS_2_WARNING"] = "1"
    session.run("mkdocs", "build", "--strict", *session.posargs)


@nox.session(default=False)
def commands(session: nox.Session) -> None:
    """What sessions cost on a fresh checkout, recorded: `-- verify verify-jax verify-torch`."""
    install(session, "dev")
    session.run("python", "-m", "bench.studies.commands", *session.posargs)


@nox.session(default=False)
def tolerances(session: nox.Session) -> None:
    """Measure anew what NumPy's float32 rounding does, and store it in verify/tolerances.json."""
    install(session)
    session.run("python", "-m", "verify.rounding")
