"""What the tests of ports share: a process for each framework, which runs one port after the other.

To start one and to import a framework takes longer than most of what is then asked of it.
"""

import pytest

from verify.ports.process import CALL_SECONDS, Port


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Function from framework and text to a port that is not loaded yet."""
    folder, ports = tmp_path_factory.mktemp("ports"), {}

    def given(framework: str, text: str, call_seconds: float = CALL_SECONDS) -> Port:
        pytest.importorskip(framework)
        file = folder / f"port_{len(list(folder.glob('*.py')))}.py"
        file.write_text(text)
        if framework not in ports:
            ports[framework] = Port(file, keep=True)
        port = ports[framework]
        port.file, port.call_seconds, port.loaded = file, call_seconds, None
        return port

    yield given
    for port in ports.values():
        port.close()
