"""The cache of compiled programs: jax writes its entries in place, and never replaces one.

An entry that a killed process left torn would be read, warned of and compiled again forever.
"""

import glob
import os
import re
import warnings
from pathlib import Path
from typing import TextIO

FOLDER_VARIABLE = "JAX_COMPILATION_CACHE_DIR"
_TORN = re.compile(r"Error reading persistent compilation cache entry for '([^'/]+)'")


def replace_torn_entries() -> None:
    """Removes what jax warns of, before jax writes it anew; the warning itself is not shown.

    The warning names the program only: all entries of that name go, and are compiled when needed.
    """
    show = warnings.showwarning

    def mend(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        torn = _TORN.match(str(message))
        if torn is None:
            show(message, category, filename, lineno, file, line)
            return
        for entry in Path(os.environ[FOLDER_VARIABLE]).glob(f"{glob.escape(torn[1])}-*"):
            entry.unlink(missing_ok=True)

    warnings.showwarning = mend
