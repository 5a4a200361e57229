"""`meanflow tables`."""

from impls.common.errors import NotInstalledError
from meanflow_repro.options import app


@app.command(name="tables")
def tables(*, check: bool = False) -> int:
    """Regenerate every table, every figure and the report from the records.

    Args:
        check: write nothing; exit with status 1 if a table or figure is out of date.
    """
    from bench.plan.tables import predicted, prices
    from results.report.page import write_page
    from results.tabulate.write import write_tables
    from verify.checks import sentences
    from verify.example import every_sentence, example

    try:
        from bench.figures import FIGURES
        from results.draw.write import write_figures
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise NotInstalledError(
            "tables needs the package matplotlib for the figures, which is not installed:"
            ' pip install -c constraints.txt -e ".[figures]"'
        ) from None
    blocks = {
        "example": example,
        "sentences": every_sentence,
        "prices": prices,
        "predicted": predicted,
    }
    changed = write_tables(blocks=blocks, write=not check)
    changed += write_figures(more=FIGURES, write=not check)
    if not check:
        write_page(sentences())  # which shows the figures
    for path in changed:
        print(f"{'differs' if check else 'wrote'}: {path}")
    return 1 if check and changed else 0
