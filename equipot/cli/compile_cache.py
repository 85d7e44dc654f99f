"""The cache of compiled programs: jax writes its entries in place, and never replaces one.

An incomplete entry left by a killed process would otherwise be read, warned of and recompiled every
time.
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
    """Removes entries that jax warns of before it rewrites them; hides the warning itself.

    The warning names only the program: all entries of that name are removed, and are recompiled
    when needed.
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
