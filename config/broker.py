"""The broker that needs no server: messages are files."""

import time
import uuid
from pathlib import Path
from typing import Any

from kombu.transport import filesystem
from kombu.utils.json import dumps


class Channel(filesystem.Channel):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for folder in (self.data_folder_in, self.data_folder_out, self.control_folder):
            Path(folder).mkdir(parents=True, exist_ok=True)

    def _put(self, queue: str, payload: Any, **kwargs: Any) -> None:
        """As kombu's, but the file gets its name when it is whole: a worker that reads half a message ends."""
        path = Path(self.data_folder_out) / f"{time.time_ns():020}_{uuid.uuid4()}.{queue}.msg"
        part = path.with_suffix(".part")
        part.write_text(dumps(payload))
        part.rename(path)


class Transport(filesystem.Transport):
    Channel = Channel
