"""Dynamics and relaxations that stay on the device: many steps, of many systems, in one program."""
