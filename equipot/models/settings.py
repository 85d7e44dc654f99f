"""What the settings of several models have in common."""

from typing import Any

from equipot import errors


def check_settings(config: Any, **least: int) -> None:
    """Refuses numbers that are too small, and a cutoff that is no length.

    Args:
      config: Settings of a model, with its ``cutoff`` in Å.
      **least: The smallest value of a setting, by its name.

    Raises:
      ConfigError: At the first setting below its smallest value.
    """
    for name, smallest in least.items():
        received = getattr(config, name)
        if received < smallest:
            raise errors.ConfigError(
                f"model.{name}: expected at least {smallest}, received {received}"
            )
    if config.cutoff <= 0:
        raise errors.ConfigError(
            f"model.cutoff: expected a positive length, received {config.cutoff}"
        )
