"""Other programs that run a potential, one file for each; imported when they are used."""

from pathlib import Path

DRIVER_OF_IPI = Path(__file__).with_name("ipi_driver.py")
"""What ``i-pi-py_driver -m custom -P`` takes."""
