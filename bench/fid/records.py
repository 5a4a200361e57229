"""Records of fid-check: scores with their protocol."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.fid.check import Scored, verdict
from bench.records import provenance
from impls.fid.collection import plan
from impls.fid.generation import Source
from results.published import Published
from results.schema import Record, Settings

# Settings that FIDs must share to be comparable.
PROTOCOL = ("labels", "uint8", "resize", "inception_sha256", "vae_sha256", "reference_sha256")


def score_records(
    scores: Mapping[str, Scored],
    expected: Published | None,
    source: Source,
    statistics: Path,
    about: Settings,
    subjects: Mapping[str, Any],
) -> list[Record]:
    """Records of the scores, each with its protocol.

    Args:
        statistics: file of the reference statistics.
        about: further settings, such as the step and the decay of the average.
        subjects: framework -> implementation.
    """
    records = []
    sha256 = hashlib.sha256(statistics.read_bytes()).hexdigest()
    for name, found in scores.items():
        fid = found.fid
        settings = {**plan(source, fid.num_samples), **about, "reference_sha256": sha256}
        settings |= {"standard_error": fid.standard_error, "bias": fid.bias}
        common: dict[str, Any] = {
            "subject": f"impls.meanflow_{name}",
            "unit": "1",
            "dtype": "float32",
            "config_hash": str(settings.pop("config_hash")),
            "protocol": {key: settings.pop(key) for key in PROTOCOL},
            "expected": expected.value if expected else None,
            **provenance(subjects[name].device_name()),
        }
        said = expected and f"{verdict(found, expected)}; expected by {expected.source.title}"
        bounds, detail = (fid.low, fid.high), said or ""
        score = Record(
            what="fid/fid", value=fid.value, interval=bounds, settings=settings, detail=detail,
            **common,
        )  # fmt: skip
        records.append(score)
        if found.inception_score:
            mean, deviation = found.inception_score
            settings = {**settings, "split_deviation": deviation}
            records.append(
                Record(what="fid/inception_score", value=mean, settings=settings, **common)
            )
    return records
