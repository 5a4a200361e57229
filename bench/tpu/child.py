"""Process that compiles training steps for TPUs ahead of time: requests in, answers out, as JSON.

Each line of the standard input is a request, with the fields of `bench.tpu.compiler.Request`; each
line of the standard output its answer, one of

    {"cost": {field of Cost: value}}    {"too_large": SENTENCE}    {"refused": SENTENCE}    {}

The last answers a request without a step, for a topology that exists. Answers of the first two
kinds are kept in the user's cache folder under the key of the program.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from bench.tpu.compiler import Request
from impls.common.config import Config
from impls.common.errors import DoesNotFitError, UserError
from impls.common.paths import cache_home
from impls.files.writing import write_whole
from impls.frameworks import tpu_compiler


def main() -> None:
    """Answer requests until the standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    for line in sys.stdin:
        try:
            answer = answered(Request(**json.loads(line)))
        except UserError as error:
            answer = {"refused": str(error)}
        print(json.dumps(answer), file=answers, flush=True)


def answered(request: Request) -> dict[str, Any]:
    """Answer to a request, from the cache where the same program was compiled before.

    Raises:
        UserError: without libtpu, or for a topology or checkout that does not exist.
    """
    ahead = tpu_compiler()
    target = ahead.target(request.topology)
    if request.config is None:
        return {}
    lowered = _lowered(request, ahead, target)
    if (known := kept(lowered.key)) is not None:
        return known
    try:
        answer: dict[str, Any] = {"cost": lowered.compile()._asdict()}
    except DoesNotFitError as error:
        answer = {"too_large": str(error)}
    keep(lowered.key, answer)
    ahead.forget()
    return answer


def kept(key: str) -> dict[str, Any] | None:
    """Answer in the cache; None where there is none that can be read."""
    try:
        answer: dict[str, Any] = json.loads(_file(key).read_bytes())
    except (OSError, ValueError):
        return None
    return answer


def keep(key: str, answer: dict[str, Any]) -> None:
    """Write an answer into the cache; without a folder to write to, it is compiled again."""
    try:
        _file(key).parent.mkdir(parents=True, exist_ok=True)
        write_whole(_file(key), json.dumps(answer).encode())
    except OSError:
        pass


def _file(key: str) -> Path:
    return cache_home() / "compiled" / f"{key}.json"


def _lowered(request: Request, ahead: Any, target: Any) -> Any:
    """Program of a request, lowered for a target by the module `ahead`."""
    config = Config.model_validate(request.config)
    if request.official is None:
        return ahead.lower_step(config, target)
    from bench.official_step import lower_official

    return lower_official(Path(request.official), config, ahead, target)


if __name__ == "__main__":
    main()
