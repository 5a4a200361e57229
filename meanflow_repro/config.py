"""`meanflow config`."""

from tyro.conf import Positional

from meanflow_repro.options import Override, app, overrides


@app.command(name="config")
def config(source: Positional[str] = "digits", /, *, override: Override = ()) -> int:
    """Print a configuration, complete, with the size of its network.

    Args:
        source: a preset's name or a YAML file.
    """
    from impls.common.config_files import effective_yaml, load_config
    from impls.common.parameters import num_parameters

    loaded = load_config(source, overrides(override))
    print(f"# {num_parameters(loaded.network):,} parameters")
    print(effective_yaml(loaded), end="")
    return 0
