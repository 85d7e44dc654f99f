"""What a training run is made of, as frozen dataclasses; importing it does not import jax."""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from equipot import config as configuration
from equipot import errors
from equipot.data import config as data_config
from equipot.potential import config as potential_config
from equipot.quantities import DERIVED
from equipot.training import changing


def _check(holds: bool, key: str, expected: str, received: Any) -> None:
    if not holds:
        raise errors.ConfigError(f"{key}: expected {expected}, received {received!r}")


OPEN_STRESS = 1.0  # Å³
VALID_LOSS = "valid_loss"
_LONGEST_NAME = 200  # bytes; file systems take 255, and endings are added


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights of the terms of the loss, 0 leaving a term out, and how an error is counted.

    Attributes:
      kind: How an error is counted: mse (its square), mae (its magnitude), huber, universal (huber,
        which for forces goes over to the magnitude the sooner the larger the force is), or norm
        (the length of the whole vector or matrix), default norm.
      energy: Weight of the energy per atom (errors in eV/atom), default 1.
      forces: Weight of the force components (errors in eV/Å), default 1.
      stress: Weight of the stress components (errors in eV/Å³); null for 1 where the training
        data have stresses, and 0 elsewhere, default null.
      quantities: Weights of the quantities that ``data.quantities`` declares (errors in their
        units), by name; 1 for one that is not named.
      huber_delta: Where huber and universal go from square to magnitude, in the units of the error,
        default 0.01.
      huber_sizes: Lengths of forces in eV/Å, ascending, from which on universal multiplies
        ``huber_delta`` with a factor.
      huber_factors: The factor from each of these lengths on.
      changes: Weights that change during the run, by the name of the term.
      groups: Factors of the weights of structures in training and validation, by their group, which
        is what they have under ``data.group_key``; 1 for a group that is not named.
    """

    kind: Literal["mse", "mae", "huber", "universal", "norm"] = "norm"
    energy: float = 1.0
    forces: float = 1.0
    stress: float | None = None
    quantities: Mapping[str, float] = dataclasses.field(default_factory=dict)
    huber_delta: float = 0.01
    huber_sizes: tuple[float, ...] = (100.0, 200.0, 300.0)
    huber_factors: tuple[float, ...] = (0.7, 0.4, 0.1)
    changes: Mapping[str, changing.ChangeConfig] = dataclasses.field(default_factory=dict)
    groups: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for key, weight in self.terms.items():
            place = "loss" if key in DERIVED else "loss.quantities"
            _check(weight >= 0, f"{place}.{key}", "a weight of at least 0", weight)
        _check(self.huber_delta > 0, "loss.huber_delta", "a positive number", self.huber_delta)
        sizes, factors = self.huber_sizes, self.huber_factors
        ascending = all(a < b for a, b in itertools.pairwise((0.0, *sizes)))
        _check(ascending, "loss.huber_sizes", "ascending lengths above 0", sizes)
        expected = f"{len(sizes)} factors above 0, one for each of huber_sizes"
        suits = len(factors) == len(sizes) and all(factor > 0 for factor in factors)
        _check(suits, "loss.huber_factors", expected, factors)
        for group, factor in self.groups.items():
            usable = 0 <= factor < math.inf
            _check(usable, f"loss.groups.{group}", "a factor of at least 0", factor)

    @property
    def terms(self) -> dict[str, float]:
        """The weights of all terms by name, at the start; 0 for one that is left open."""
        return {name: getattr(self, name) or 0.0 for name in DERIVED} | dict(self.quantities)

    @property
    def last_terms(self) -> dict[str, float]:
        """The weights of all terms when all changes are over."""
        return self.terms | {name: change.to for name, change in self.changes.items()}

    @property
    def largest_terms(self) -> dict[str, float]:
        """The largest weight that each term has during the run; 0 for one that is never used."""
        last = self.last_terms
        return {name: max(weight, last[name]) for name, weight in self.terms.items()}

    def in_stage(self, stage: changing.StageTwoConfig) -> "LossConfig":
        """With the weights of a second stage as changes at its start.

        Args:
          stage: The second stage.

        Raises:
          ConfigError: If one of its terms is unknown, or changes otherwise too.
        """
        if stage.start is None:
            return self
        for name in stage.weights:
            if name not in self.terms:
                raise errors.ConfigError(
                    f"stage_two.quantities: unknown quantity '{name}'."
                    f"{errors.did_you_mean(name, self.terms)} Known: {', '.join(self.terms)}"
                )
            if name in self.changes:
                raise errors.ConfigError(
                    f"stage_two.{name}: loss.changes.{name} changes the same weight; leave one of"
                    " them out"
                )
        jumps = {
            name: changing.ChangeConfig(to=weight, start=stage.start, end=stage.start)
            for name, weight in stage.weights.items()
        }
        return dataclasses.replace(self, changes={**self.changes, **jumps})

    def with_stress(self, is_labelled: bool, weight: float = OPEN_STRESS) -> "LossConfig":
        """With a weight of the stress, where that is open.

        Args:
          is_labelled: Whether the training data have stresses.
          weight: The weight where they have.
        """
        if self.stress is not None:
            return self
        return dataclasses.replace(self, stress=weight if is_labelled else 0.0)

    def completed(self, declared: Iterable[str]) -> "LossConfig":
        """With a weight for each declared quantity.

        Raises:
          ConfigError: If another one has a weight, or no term has one.
        """
        names = list(declared)
        for name in self.quantities:
            if name not in names:
                raise errors.ConfigError(
                    f"loss.quantities: unknown quantity '{name}'."
                    f"{errors.did_you_mean(name, names)} Declared in data.quantities:"
                    f" {', '.join(names) or 'none'}"
                )
        weights = dict.fromkeys(names, 1.0) | dict(self.quantities)
        made = dataclasses.replace(self, quantities=weights)
        _check(any(made.terms.values()), "loss", "one term with a weight above 0", made.terms)
        changing.check_changes(made.changes, made.terms)
        return made


OPTIMIZERS: Mapping[str, str] = {
    "adam": "optax:scale_by_adam",
    "amsgrad": "optax:scale_by_amsgrad",
    "adamw": "optax:scale_by_adam",
    "muon": "equipot.training.muon:scale_by_muon",
    "soap": "equipot.training.soap:scale_by_soap",
    "schedule_free": "optax:scale_by_adam",
}
"""Where each optimizer is: a function of the decays of two moments, as optax has them, or of its
own settings where there is a group of them by its name, as ``optimizer.soap``."""
SCHEDULE_FREE = "schedule_free"
DECAYING = ("adamw", "muon", "soap", SCHEDULE_FREE)  # those with a decay of weights

if TYPE_CHECKING:
    _Name: TypeAlias = str
else:
    _Name = Literal[tuple(OPTIMIZERS)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SoapConfig:
    """Adam in the eigenbases of the moments of each matrix.

    Attributes:
      betas: Decays of the mean of gradients and of their mean square, default 0.95 and 0.95.
      shampoo_beta: Decay of the moments G Gᵀ and Gᵀ G whose eigenvectors are the bases, default
        0.95.
      eps: What is added to the root of the mean square, default 1e-8.
      precondition_every: Steps between two refreshments of the bases, default 10.
      max_dimension: Largest side of a matrix that has a basis, default 512.
      acts_on: matrices (what Muon acts on: embeddings and readouts to one number follow Adam) or
        all (whatever has two axes or more), default matrices.
    """

    betas: tuple[float, ...] = (0.95, 0.95)
    shampoo_beta: float = 0.95
    eps: float = 1e-8
    precondition_every: int = 10
    max_dimension: int = 512
    acts_on: Literal["matrices", "all"] = "matrices"

    def __post_init__(self) -> None:
        decays = [("betas", beta) for beta in self.betas] + [("shampoo_beta", self.shampoo_beta)]
        _check(len(self.betas) == 2, "optimizer.soap.betas", "two numbers", self.betas)
        for key, value in decays:
            expected = "numbers from 0 to below 1" if key == "betas" else "from 0 to below 1"
            _check(0 <= value < 1, f"optimizer.soap.{key}", expected, value)
        for key in ("eps", "precondition_every", "max_dimension"):
            value = getattr(self, key)
            _check(value > 0, f"optimizer.soap.{key}", "a positive number", value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How parameters follow the gradient.

    Attributes:
      name: adam, amsgrad, adamw, muon (momenta of matrices made orthogonal), soap (Adam in the
        eigenbases of the moments of each matrix), or schedule_free (Adam with an average of all
        parameters so far instead of a falling rate, which is what is validated and kept), default
        muon.
      learning_rate: Largest learning rate, default 0.02.
      schedule: What follows the warm-up: cosine (down to ``final_fraction``), restarts (several
        such falls, each from the top), exponential (down to ``final_fraction`` by the same factor
        at each step), step (cut at given moments), plateau (cut when the validation loss stops
        falling) or constant, default cosine.
      warmup_steps: Steps over which the rate rises linearly from 0; null for 100, or for a tenth
        of a shorter run, default null.
      final_fraction: Share of ``learning_rate`` at which cosine, restarts, exponential and plateau
        end, default 0.
      weight_decay: Decay of adamw, muon, soap and schedule_free per unit of learning rate; acts on
        the model's matrices alone, default 0.
      clip_norm: Gradients longer than this are shortened to it; null for none, default null.
      ema_decay: Decay per step of the moving average of the parameters, which is what is validated
        and kept; null for none, default 0.999.
      plateau_factor: What plateau multiplies the rate with, default 0.5.
      plateau_patience: Validations without a better loss before plateau does so, default 10.
      freeze: Groups of parameters that stay as they are, by names of the model's parameters or how
        these begin: embedding, radial, interaction_0, readout, …; with ``init_from`` alone, default
        none.
      soap: Settings of soap.
      drops: When step cuts the rate, ascending: shares of the run up to 1, or numbers of steps
        above 1, default 0.5 and 0.75.
      drop_factor: What step multiplies the rate with each time, default 0.1.
      cycles: How many falls restarts has, default 4.
      cycle_growth: How many times longer each of them is than the one before, default 1.
    """

    name: _Name = "muon"
    learning_rate: float = 0.02
    schedule: Literal["cosine", "restarts", "exponential", "step", "plateau", "constant"] = "cosine"
    warmup_steps: int | None = None
    final_fraction: float = 0.0
    weight_decay: float = 0.0
    clip_norm: float | None = None
    ema_decay: float | None = 0.999
    plateau_factor: float = 0.5
    plateau_patience: int = 10
    freeze: tuple[str, ...] = ()
    soap: SoapConfig = dataclasses.field(default_factory=SoapConfig)
    drops: tuple[float, ...] = (0.5, 0.75)
    drop_factor: float = 0.1
    cycles: int = 4
    cycle_growth: float = 1.0

    def __post_init__(self) -> None:
        positive = {
            key: getattr(self, key)
            for key in ("learning_rate", "plateau_patience", "drop_factor", "cycles")
        }
        if self.clip_norm is not None:
            positive["clip_norm"] = self.clip_norm
        for key, value in positive.items():
            _check(value > 0, f"optimizer.{key}", "a positive number", value)
        for key in ("warmup_steps", "weight_decay"):
            value = getattr(self, key)
            _check(value is None or value >= 0, f"optimizer.{key}", "a number of at least 0", value)
        fractions = {
            "final_fraction": self.final_fraction,
            "plateau_factor": self.plateau_factor,
            "ema_decay": self.ema_decay or 0.0,
        }
        for key, value in fractions.items():
            _check(0 <= value < 1, f"optimizer.{key}", "a number from 0 to below 1", value)
        if self.weight_decay and self.name not in DECAYING:
            raise errors.ConfigError(
                f"optimizer.weight_decay: {self.name} has none; use optimizer.name=adamw"
            )
        self._check_schedule()
        if self.name == SCHEDULE_FREE:
            self._check_schedule_free()

    def _check_schedule(self) -> None:
        """Refuses moments and falls that are none."""
        for moment in self.drops:
            changing.check_moment(moment, "optimizer.drops")
        shares = [moment for moment in self.drops if moment <= 1]
        steps = [moment for moment in self.drops if moment > 1]
        ascending = shares == sorted(shares) and steps == sorted(steps)
        _check(ascending, "optimizer.drops", "moments in order", self.drops)
        growth = self.cycle_growth
        _check(1 <= growth <= 10, "optimizer.cycle_growth", "a number from 1 to 10", growth)
        _check(self.cycles <= 100, "optimizer.cycles", "at most 100", self.cycles)
        if self.schedule == "exponential" and self.final_fraction == 0:
            raise errors.ConfigError(
                "optimizer.final_fraction: expected a number above 0, which exponential falls to,"
                " received 0.0; 0.01 ends at a hundredth of the rate"
            )

    def _check_schedule_free(self) -> None:
        """Refuses what its own average makes needless."""
        if self.schedule != "constant":
            raise errors.ConfigError(
                f"optimizer.schedule: schedule_free has no {self.schedule}; use"
                " optimizer=schedule_free, or optimizer.schedule=constant"
            )
        if self.ema_decay is not None:
            raise errors.ConfigError(
                "optimizer.ema_decay: schedule_free averages by itself; use"
                " optimizer=schedule_free, or optimizer.ema_decay=null"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainerConfig:
    """How long to train and when to look; everything is counted in steps of the optimizer.

    Attributes:
      num_steps: Optimizer steps; null to count epochs, default null.
      num_epochs: Passes over the training split, where ``num_steps`` is null; with neither the
        number of steps is chosen for the size of the data, default null.
      minutes: Time from the start of the command to the last step, instead of a number of steps:
        the first steps are timed and the number of all is computed from that, default null.
      batch_size: Structures per batch and device; auto for as many as fit into the memory of the
        device, within bounds; null to choose it for the size of the data, default null.
      eval_batch_size: Structures per device when validating; null for ``batch_size`` or
        ``batch_edges``, default null.
      valid_every: Steps between validations; null for one each epoch, or for an interval that suits
        the number of steps where that is chosen or timed, default null.
      checkpoint_every: Steps between checkpoints; null for one at each validation (the best one is
        kept in any case), default null.
      keep_checkpoints: How many of the latest checkpoints are kept beside the best, default 2.
      early_stopping_patience: Validations without a better loss before the run ends; null to go on
        to the end, default null.
      num_devices: Devices to spread each step over; null for all there are, default null.
      log_every: Steps between lines of metrics.jsonl and metrics.csv, default 50.
      max_minutes: Time after which the command writes a checkpoint and ends with exit code 75, for
        the next one to go on; in a job of SLURM also before the job's time is up; null for no
        limit, default null.
      best: Which measure of the validation split decides on the best parameters, early stopping and
        plateau: valid_loss, or an error such as forces_rmse, energy_mae, dipole_rmse, default
        valid_loss.
      sampling: Which structures an epoch has: all of them once, or balanced (each group of
        ``data.group_key`` equally often: structures of small groups several times, those of large
        groups in turn, epoch after epoch), default all.
      batch_edges: Edges per batch and device at most, instead of a number of structures: the
        neighbors within the cutoff of all atoms of a batch, each pair of atoms counting twice, as
        in other programs; null to count structures, default null.
      accumulate: Batches per step of the optimizer, one after another: the gradient is that of one
        batch with all their structures, the memory that of one of them, default 1.
      coordinator: Where the processes of a run on several hosts meet, HOST:PORT of the first; null
        for what SLURM or Open MPI say, default null.
      num_hosts: How many processes train together; null for what SLURM or Open MPI say, default
        null.
      host: Which of them this one is, from 0; null for what SLURM or Open MPI say, default null.
    """

    num_steps: int | None = None
    num_epochs: int | None = None
    minutes: float | None = None
    batch_size: int | Literal["auto"] | None = None
    eval_batch_size: int | None = None
    valid_every: int | None = None
    checkpoint_every: int | None = None
    keep_checkpoints: int = 2
    early_stopping_patience: int | None = None
    num_devices: int | None = None
    log_every: int = 50
    max_minutes: float | None = None
    best: str = VALID_LOSS
    sampling: Literal["all", "balanced"] = "all"
    batch_edges: int | None = None
    accumulate: int = 1
    coordinator: str | None = None
    num_hosts: int | None = None
    host: int | None = None

    def __post_init__(self) -> None:
        self._check_hosts()
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in ("coordinator", "host"):
                continue
            expected = "more than 0" if "minutes" in field.name else "at least 1"
            usable = value is None or isinstance(value, str) or value > 0
            _check(usable, f"trainer.{field.name}", expected, value)
        if self.batch_edges is not None and self.batch_size is not None:
            raise errors.ConfigError(
                f"trainer.batch_edges: expected one size of batches, received batch_size="
                f"{self.batch_size} too; leave batch_edges out, or set trainer.batch_size=null"
            )
        for key in ("minutes", "max_minutes"):
            value = getattr(self, key)
            _check(value != math.inf, f"trainer.{key}", "a finite number", value)
        for key in ("num_steps", "num_epochs"):
            if self.minutes is not None and getattr(self, key) is not None:
                raise errors.ConfigError(
                    f"trainer.minutes: expected no other length, received {key}="
                    f"{getattr(self, key)} too; leave minutes out, or set trainer.{key}=null"
                )

    def _check_hosts(self) -> None:
        """The three are given together; the coordinator may also be given to a launcher alone."""
        where, count, index = self.coordinator, self.num_hosts, self.host
        if (count is None) != (index is None) or (count is not None and where is None):
            raise errors.ConfigError(
                "trainer.coordinator, trainer.num_hosts, trainer.host: expected all three or none,"
                f" received {where}, {count}, {index}"
            )
        if where is not None:
            name, _, port = where.rpartition(":")
            usable = bool(name) and port.isdecimal() and 0 < int(port) < 2**16
            _check(usable, "trainer.coordinator", "HOST:PORT, such as node1:12321", where)
        if count is not None and index is not None:
            _check(count > 0, "trainer.num_hosts", "at least 1", count)
            _check(0 <= index < count, "trainer.host", f"from 0 to {count - 1}", index)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoggerConfig:
    """Where the metrics go besides metrics.jsonl and metrics.csv, which are always written.

    Attributes:
      name: none, wandb or tensorboard, default none.
      project: Project at Weights & Biases, default equipot.
      mode: online, offline or disabled (Weights & Biases), default offline.
    """

    name: Literal["none", "wandb", "tensorboard"] = "none"
    project: str = "equipot"
    mode: Literal["online", "offline", "disabled"] = "offline"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run.

    Attributes:
      name: Name of the run and of its potential, ``<name>.equipot``, default run.
      seed: Seed of the initial parameters and of the order of the structures, default 0.
      run_dir: Folder of the run; null for ``runs/<name>``, default null.
      init_from: A potential (``*.equipot``, or the name of one that ``equipot download`` fetched)
        whose model and parameters training starts from; null to draw parameters at random, default
        null.
      init_elements: Which elements the potential knows that training starts from ``init_from``: all
        that it knew and those of the data, or those of the data alone, default all.
      resume: Whether an existing run goes on only with the same settings, or also with changed ones
        that make it longer, shorter or differently fast: same or changed, default same.
      data: Where the structures come from.
      model: Name of the architecture and its own keys.
      potential: What every model shares: precision, reference energies, scale.
      optimizer: How parameters follow the gradient.
      loss: What is made small.
      trainer: How long to train and when to look.
      logger: Where the metrics go.
      stage_two: A second stage of the run.
    """

    name: str = "run"
    seed: int = 0
    run_dir: str | None = None
    init_from: str | None = None
    init_elements: Literal["all", "data"] = "all"
    resume: Literal["same", "changed"] = "same"
    data: data_config.DataConfig
    model: Mapping[str, Any]
    potential: potential_config.PotentialConfig = dataclasses.field(
        default_factory=potential_config.PotentialConfig
    )
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    loss: LossConfig = dataclasses.field(default_factory=LossConfig)
    trainer: TrainerConfig = dataclasses.field(default_factory=TrainerConfig)
    logger: LoggerConfig = dataclasses.field(default_factory=LoggerConfig)
    stage_two: changing.StageTwoConfig = dataclasses.field(default_factory=changing.StageTwoConfig)

    def __post_init__(self) -> None:
        usable = self.name not in ("", ".", "..") and "/" not in self.name
        usable = usable and self.name.isprintable() and len(self.name.encode()) <= _LONGEST_NAME
        expected = f"a name of at most {_LONGEST_NAME} bytes without '/', other than '.' and '..'"
        _check(usable, "name", expected, self.name[:_LONGEST_NAME])
        _check(self.seed >= 0, "seed", "a number of at least 0", self.seed)
        _check("name" in self.model, "model", "the key 'name'", dict(self.model))
        if self.optimizer.freeze and self.init_from is None:
            raise errors.ConfigError(
                f"optimizer.freeze: expected none without init_from, received"
                f" {list(self.optimizer.freeze)}: parameters at random would stay so"
            )
        object.__setattr__(self, "loss", self.loss.completed(self.data.quantities))
        self._check_methods()

    def _check_methods(self) -> None:
        """Refuses what contradicts itself between the groups."""
        self.staged_loss  # refuses unknown terms  # noqa: B018
        if self.stage_two.start is not None and self.optimizer.name == SCHEDULE_FREE:
            raise errors.ConfigError(
                "stage_two: schedule_free averages all parameters from the start and has no second"
                " stage; use another optimizer, or loss.changes for the weights alone"
            )
        names = [*DERIVED, *self.data.quantities]
        known = [f"{name}_{kind}" for name in names for kind in ("mae", "rmse")]
        best = self.trainer.best
        if best != VALID_LOSS and best.removeprefix("valid_") not in known:
            raise errors.ConfigError(
                f"trainer.best: unknown measure '{best}'.{errors.did_you_mean(best, known)}"
                f" Known: {VALID_LOSS}, {', '.join(known)}"
            )
        if self.data.group_key is None:
            asking = {
                "loss.groups": bool(self.loss.groups),
                "trainer.sampling=balanced": self.trainer.sampling == "balanced",
            }
            for setting in (setting for setting, asks in asking.items() if asks):
                raise errors.ConfigError(
                    f"{setting}: expected data.group_key, the key that holds the group of each"
                    " structure, received null; for mace's config types it is config_type"
                )

    @property
    def best_column(self) -> str:
        """The column of the metrics that decides on the best."""
        best = self.trainer.best
        return best if best.startswith("valid_") else f"valid_{best}"

    @property
    def staged_loss(self) -> LossConfig:
        """The loss with the weights of the second stage."""
        return self.loss.in_stage(self.stage_two)

    @property
    def folder(self) -> str:
        """The run folder."""
        return self.run_dir or f"runs/{self.name}"


def train_config(mapping: Mapping[str, Any]) -> TrainConfig:
    """Builds the configuration of a run from a plain mapping, checking every key; reads no data.

    Raises:
      ConfigError: At an unknown key or a wrong value, with the place and the nearest known key.
    """
    return configuration.from_mapping(TrainConfig, mapping)
