"""`meanflow config`."""

from tyro.conf import Positional

from meanflow_repro.options import Override, app, overrides


@app.command(name="config")
def config(
    source: Positional[str | None] = None, /, *, explain: bool = False, override: Override = ()
) -> int:
    """Print a complete configuration and its number of parameters, or explain its keys.

    Args:
        source: a preset's name or a YAML file; digits by default. With --explain a key such as
            method.kappa, a section such as method, or nothing for all keys.
        explain: print the meaning, the allowed values and the default of keys.
    """
    from impls.common.config_files import effective_yaml, load_config
    from impls.common.explain import explain as explanation
    from impls.common.parameters import num_parameters

    if explain:
        print(explanation(source))
        return 0
    loaded = load_config("digits" if source is None else source, overrides(override))
    print(f"# {num_parameters(loaded.network):,} parameters")
    print(effective_yaml(loaded), end="")
    return 0
