"""A file of events, as TensorBoard reads it, written record by record.

tensorboardX makes the records. Its own writer is a thread that a full disk ends without a word, and
then blocks whoever writes.
"""

import os
import platform
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from impls.files.writing import append_whole


class EventFile:
    """The events of one process in a folder; those of earlier ones stand in files beside it."""

    def __init__(self, folder: Path, start: int) -> None:
        """Begin a file in a folder, which is made where it does not exist.

        Args:
            start: steps made before; TensorBoard forgets what earlier files hold of later ones.

        Raises:
            OSError: when the disk refuses; then there is no file.
        """
        folder.mkdir(parents=True, exist_ok=True)
        # In the order of time, by which TensorBoard reads them.
        name = f"events.out.tfevents.{time.time():.6f}.{platform.node()}.{os.getpid()}"
        self._path = folder / name
        self._append(start + 1, file_version="brain.Event:2")
        self._append(start + 1, session_log={"status": "START"})

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Append scalars after `step` steps; OSError when the disk refuses."""
        read = [{"tag": name, "simple_value": value} for name, value in values.items()]
        self._append(step, summary={"value": read})

    def picture(self, step: int, name: str, size: tuple[int, int], content: bytes) -> None:
        """Append a PNG of a size (height, width) after `step` steps; OSError as before."""
        image: dict[str, Any] = {"height": size[0], "width": size[1], "colorspace": 3}
        image["encoded_image_string"] = content
        self._append(step, summary={"value": [{"tag": name, "image": image}]})

    def _append(self, step: int, **content: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event  # here: it loads torch where installed
        from tensorboardX.record_writer import masked_crc32c

        event = Event(wall_time=time.time(), step=step, **content)
        data = event.SerializeToString()
        length = struct.pack("<Q", len(data))
        sums = [struct.pack("<I", masked_crc32c(part)) for part in (length, data)]
        append_whole(self._path, length + sums[0] + data + sums[1])
