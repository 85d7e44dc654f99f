"""What every test shares: strict numerics, four CPU devices, and a cache of compiled programs.

equipot itself is not imported here: pytest must install the run-time checks of annotations before.
"""

import os
import pathlib

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_SILENT", "true")
ROOT = pathlib.Path(__file__).parents[1]
# In the environment, so that the programs started by tests share them.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".jax_cache"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session")
def reference_data() -> pathlib.Path:
    """Folder of the datasets that are too large to ship; skips the test where there is none."""
    folder = pathlib.Path(os.environ.get("EQUIPOT_REFERENCE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no reference datasets at {folder}; set EQUIPOT_REFERENCE_DATA")
    return folder
