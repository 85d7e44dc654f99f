import pytest

from equipot import errors
from equipot.training import launcher
from equipot.training.config import TrainerConfig
from equipot.training.launcher import Launch

NOTHING = TrainerConfig()
HERE = TrainerConfig(coordinator="node1:1234")
SRUN = {
    "SLURM_JOB_ID": "7",
    "SLURM_NTASKS": "8",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_NODELIST": "node[1-2]",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "3",
}
MPIRUN = {
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1:34911",
}
OPEN_MPI_5 = {key: value for key, value in MPIRUN.items() if "MCA" not in key}


@pytest.mark.parametrize(
    ("environment", "what"),
    [
        ({}, "a shell"),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, "the script of a job"),
        ({**SRUN, "SLURM_STEP_NUM_TASKS": "1"}, "the shell of salloc, in a job with room for 8"),
        ({**SRUN, "SLURM_NTASKS": "1", "SLURM_STEP_NUM_TASKS": "1"}, "srun -n 1"),
        ({**MPIRUN, "OMPI_COMM_WORLD_SIZE": "1"}, "mpirun -n 1"),
        ({**SRUN, **MPIRUN, "OMPI_COMM_WORLD_SIZE": "1"}, "mpirun -n 1, which srun started"),
    ],
)
def test_a_single_process_is_a_plain_run(environment, what):
    assert launcher.find(NOTHING, environment) is None, what
    assert launcher.several(environment) == ""


@pytest.mark.parametrize(
    ("trainer", "environment", "launch"),
    [
        (NOTHING, SRUN, Launch("slurm", 8, takes_all_devices=False)),
        (HERE, SRUN, Launch("slurm", 8, None, "node1:1234", takes_all_devices=False)),
        (NOTHING, {**SRUN, "SLURM_STEP_NUM_NODES": "8"}, Launch("slurm", 8)),
        (NOTHING, {**SRUN, "CUDA_VISIBLE_DEVICES": "3"}, Launch("slurm", 8)),
        (NOTHING, {**SRUN, "CUDA_VISIBLE_DEVICES": "0,1"}, Launch("slurm", 8, None, None, False)),
        (NOTHING, MPIRUN, Launch("ompi", 4, takes_all_devices=False)),
        (NOTHING, {**SRUN, **MPIRUN}, Launch("ompi", 4, takes_all_devices=False)),
        (HERE, OPEN_MPI_5, Launch("deactivate", 4, 1, "node1:1234")),
    ],
)
def test_several_processes_of_a_launcher_are_one_run(trainer, environment, launch):
    assert launcher.find(trainer, environment) == launch
    is_mpi = "OMPI_COMM_WORLD_SIZE" in environment
    assert launcher.several(environment) == ("mpirun" if is_mpi else "srun")


def test_the_settings_come_before_the_launcher():
    own = TrainerConfig(coordinator="node1:1234", num_hosts=3, host=2)
    assert launcher.find(own, SRUN) == Launch("deactivate", 3, 2, "node1:1234")
    one = TrainerConfig(coordinator="node1:1234", num_hosts=1, host=0)
    assert launcher.find(one, SRUN) is None


def test_an_open_mpi_that_does_not_say_where_to_meet_is_explained():
    with pytest.raises(errors.ConfigError, match=r"trainer.coordinator: .* Open MPI started 4"):
        launcher.find(NOTHING, OPEN_MPI_5)
    assert launcher.find(NOTHING, {**OPEN_MPI_5, "JAX_COORDINATOR_ADDRESS": "node1:1"})


def test_a_coordinator_alone_needs_a_launcher():
    with pytest.raises(errors.ConfigError, match=r"set trainer\.num_hosts and trainer\.host too"):
        launcher.find(HERE, {})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_hosts": 2}, "expected all three or none, received None, 2, None"),
        ({"num_hosts": 2, "host": 0}, "expected all three or none"),
        ({"coordinator": "node1", "num_hosts": 2, "host": 0}, "HOST:PORT, such as node1:12321"),
        ({"coordinator": "node1:99999"}, "HOST:PORT"),
        ({"coordinator": "a:1", "num_hosts": 2, "host": 2}, "trainer.host: expected from 0 to 1"),
        ({"coordinator": "a:1", "num_hosts": 0, "host": 0}, "trainer.num_hosts: expected at least"),
    ],
)
def test_wrong_settings_are_refused(given, message):
    with pytest.raises(errors.ConfigError, match=message):
        TrainerConfig(**given)
