"""The audit of a potential: what it must obey to be run, measured, with a limit on each line."""
