"""What a training run is made of, as frozen dataclasses; importing it does not import jax."""

from equipot.training.config.loss import OPEN_STRESS as OPEN_STRESS
from equipot.training.config.loss import LossConfig as LossConfig
from equipot.training.config.optimizer import DECAYING as DECAYING
from equipot.training.config.optimizer import OPTIMIZERS as OPTIMIZERS
from equipot.training.config.optimizer import SCHEDULE_FREE as SCHEDULE_FREE
from equipot.training.config.optimizer import OptimizerConfig as OptimizerConfig
from equipot.training.config.optimizer import SoapConfig as SoapConfig
from equipot.training.config.run import LoggerConfig as LoggerConfig
from equipot.training.config.run import TrainConfig as TrainConfig
from equipot.training.config.run import train_config as train_config
from equipot.training.config.trainer import VALID_LOSS as VALID_LOSS
from equipot.training.config.trainer import TrainerConfig as TrainerConfig
