"""How a command meets its user: errors as one sentence, compiled programs kept between runs."""

import contextlib
import os
import sys
from collections.abc import Iterator

from equipot import errors
from equipot.data import paths

WRONG_INPUT = 2
INTERRUPTED = 130


@contextlib.contextmanager
def clean_errors(program: str) -> Iterator[None]:
    """Turns an ``EquipotError`` into one sentence on stderr and exit code 2."""
    try:
        yield
    except errors.EquipotError as error:
        print(f"{program}: {error}", file=sys.stderr)
        raise SystemExit(WRONG_INPUT) from None
    except KeyboardInterrupt:
        print(f"\n{program}: interrupted", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None


def keep_compiled_programs() -> None:
    """Keeps what jax compiles in the user's cache folder; must be called before jax is imported.

    Anything the user has set in the environment (``JAX_COMPILATION_CACHE_DIR`` …) stays.
    """
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(paths.cache_folder() / "jax"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
