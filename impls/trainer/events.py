"""TensorBoard event files, written record by record.

tensorboardX makes the records. Its own writer is a thread that dies silently on a full disk, and
then blocks the caller.
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
    """Event file of one process in a folder; earlier processes have files of their own there."""

    def __init__(self, folder: Path, start: int) -> None:
        """Create an event file in a folder, and the folder if it does not exist.

        Args:
            start: steps made before; TensorBoard drops later steps of earlier files.

        Raises:
            OSError: when it cannot be written; then there is no file.
        """
        folder.mkdir(parents=True, exist_ok=True)
        # In the order of time, by which TensorBoard reads them.
        name = f"events.out.tfevents.{time.time():.6f}.{platform.node()}.{os.getpid()}"
        self._path = folder / name
        self._append(start + 1, file_version="brain.Event:2")
        self._append(start + 1, session_log={"status": "START"})

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Append scalars after `step` steps; raises OSError when they cannot be written."""
        read = [{"tag": name, "simple_value": value} for name, value in values.items()]
        self._append(step, summary={"value": read})

    def picture(self, step: int, name: str, size: tuple[int, int], content: bytes) -> None:
        """Append a PNG of a size (height, width) after `step` steps; raises OSError likewise."""
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
