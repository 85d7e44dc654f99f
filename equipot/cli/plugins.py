"""Launchers and sweepers of Hydra that come with packages of their own: which needs which."""

from collections.abc import Sequence
from importlib import util

from hydra.core.override_parser import types

from equipot import errors

_GROUPS = ("hydra/launcher", "hydra/sweeper")
_PACKAGES = {
    "joblib": "hydra-joblib-launcher",
    "submitit_local": "hydra-submitit-launcher",
    "submitit_slurm": "hydra-submitit-launcher",
    "optuna": "hydra-optuna-sweeper",
}
_OWNERS = {
    "hydra.launcher": ("hydra/launcher", "hydra/launcher=joblib"),
    "hydra.sweeper": ("hydra/sweeper", "hydra/sweeper=optuna"),
    "hydra/sweeper/sampler": ("hydra/sweeper", "hydra/sweeper=optuna"),
}
_OF_ALL = ("hydra.sweeper.params", "hydra.sweeper.max_batch_size")
_EXTRA = "pip install 'equipot[sweep]'"


def check(overrides: Sequence[types.Override]) -> None:
    """Refuses what needs a package that is not there, or belongs to what is not chosen.

    Args:
      overrides: The arguments ``key=value``.

    Raises:
      ConfigError: With what to install, or to add.
    """
    chosen = {o.key_or_group: str(o.value()) for o in overrides if o.key_or_group in _GROUPS}
    for group, option in chosen.items():
        package = _PACKAGES.get(option)
        if package is not None and not is_installed(package):
            raise errors.ConfigError(
                f"{group}={option}: needs the package {package}, which is not installed: {_EXTRA}"
            )
    if "experiment" in {o.key_or_group for o in overrides}:
        return  # its file may choose them
    for override in overrides:
        _check_owner(override, chosen)


def is_installed(package: str) -> bool:
    """Whether the plugin of a package of this name is there; it is not imported."""
    try:
        return util.find_spec(f"hydra_plugins.{package.replace('-', '_')}") is not None
    except ImportError:  # there is no plugin at all
        return False


def _check_owner(override: types.Override, chosen: dict[str, str]) -> None:
    key, typed = override.key_or_group, override.input_line or ""
    for begin, (group, example) in _OWNERS.items():
        if key.startswith(begin) and not key.startswith(_OF_ALL) and group not in chosen:
            raise errors.ConfigError(
                f"{typed}: belongs to what {group} chooses; add {example}, say ({_EXTRA})"
            )
    is_range = override.is_sweep_override() and not override.is_discrete_sweep()
    if is_range and "hydra/sweeper" not in chosen:
        raise errors.ConfigError(
            f"{typed}: a range is searched by hydra/sweeper=optuna ({_EXTRA}); without it give"
            f" values, as in {key}=1,2,3"
        )
