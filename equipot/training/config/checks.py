"""What refuses a wrong value of a setting."""

from typing import Any

from equipot import errors


def check(holds: bool, key: str, expected: str, received: Any) -> None:
    """Raises a ConfigError that names the key, unless the value is right."""
    if not holds:
        raise errors.ConfigError(f"{key}: expected {expected}, received {received!r}")
