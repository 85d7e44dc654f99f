"""Work that lasts longer than any test, for processes that are killed."""

import os
import pathlib
import time


def write_pid(folder: str) -> None:
    (pathlib.Path(folder) / f"{os.getpid()}.pid").write_text("")
    time.sleep(600.0)
