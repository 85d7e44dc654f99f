"""Whether this process is one of several that train together: by the settings, or by its launcher.

Settings come first, then Open MPI, whose ``mpirun`` may itself stand on SLURM, then SLURM. Where a
launcher started one process, or a shell in which the command was typed, there is no other. What
SLURM and Open MPI say of the place where the processes meet is read by jax. Without jax itself.
"""

import dataclasses
from collections.abc import Mapping

from equipot import errors
from equipot.training.config import TrainerConfig

_MPI_COUNT, _MPI_INDEX = "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"
_MPI_HERE, _MPI_PLACE = "OMPI_COMM_WORLD_LOCAL_SIZE", "OMPI_MCA_orte_hnp_uri"
# Of the step that srun began: SLURM_NTASKS is also what a job has room for, in its own script and
# in the shell of salloc, where one process runs.
_SLURM_COUNT, _SLURM_NODES = "SLURM_STEP_NUM_TASKS", "SLURM_STEP_NUM_NODES"
_OWN_PLACE = "JAX_COORDINATOR_ADDRESS"


@dataclasses.dataclass(frozen=True)
class Launch:
    """How a process joins the others; what is None is found by jax.

    Attributes:
      method: What jax asks: "ompi", "slurm", or "deactivate" for nobody.
      count: How many processes there are.
      index: Which of them this one is, from 0.
      coordinator: Where they meet, HOST:PORT.
      takes_all_devices: Whether all GPUs that this process sees are its own; if not, the one with
        its number among the processes of its machine, as jax has it.
    """

    method: str
    count: int
    index: int | None = None
    coordinator: str | None = None
    takes_all_devices: bool = True


def find(trainer: TrainerConfig, environment: Mapping[str, str]) -> Launch | None:
    """Says how to join the others, or that there are none.

    Args:
      trainer: The settings.
      environment: Of the process.

    Raises:
      ConfigError: If it remains unsaid how many processes there are, or where they meet.
    """
    if trainer.num_hosts is not None:
        if trainer.num_hosts == 1:
            return None
        return Launch("deactivate", trainer.num_hosts, trainer.host, trainer.coordinator)
    launch = _by_mpi(trainer, environment) or _by_slurm(trainer, environment)
    if launch is None and trainer.coordinator is not None and _MPI_COUNT not in environment:
        raise errors.ConfigError(
            f"trainer.coordinator: received {trainer.coordinator}, but neither SLURM nor Open MPI"
            " started several processes; set trainer.num_hosts and trainer.host too"
        )
    return launch


def several(environment: Mapping[str, str]) -> str:
    """What started several processes that belong together; empty if nothing did."""
    return "mpirun" if _number(environment, _MPI_COUNT) > 1 else _by_srun(environment)


def _by_srun(environment: Mapping[str, str]) -> str:
    if _MPI_COUNT in environment:
        return ""
    return "srun" if _number(environment, _SLURM_COUNT) > 1 else ""


def _by_mpi(trainer: TrainerConfig, environment: Mapping[str, str]) -> Launch | None:
    count = _number(environment, _MPI_COUNT)
    if count < 2:
        return None
    alone = _number(environment, _MPI_HERE) == 1 or _sees_one(environment)
    if _MPI_PLACE in environment:
        return Launch("ompi", count, None, trainer.coordinator, alone)
    if trainer.coordinator is None and _OWN_PLACE not in environment:
        raise errors.ConfigError(
            f"trainer.coordinator: expected HOST:PORT, received null: this Open MPI started {count}"
            " processes and does not say where they can meet (version 5 does not); name the first"
            " host and a free port of it"
        )
    index = _number(environment, _MPI_INDEX)
    return Launch("deactivate", count, index, trainer.coordinator, True)


def _by_slurm(trainer: TrainerConfig, environment: Mapping[str, str]) -> Launch | None:
    if not _by_srun(environment):
        return None
    count = _number(environment, _SLURM_COUNT)
    alone = _number(environment, _SLURM_NODES) == count or _sees_one(environment)
    return Launch("slurm", count, None, trainer.coordinator, alone)


def _sees_one(environment: Mapping[str, str]) -> bool:
    """Whether the launcher has given this process a GPU of its own."""
    visible = environment.get("CUDA_VISIBLE_DEVICES", "")
    return bool(visible) and "," not in visible


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment.get(name, "")
    return int(text) if text.isdecimal() else 0
