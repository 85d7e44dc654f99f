"""The page of a run, ``report.html``, and the pictures that it shares with the folder ``plots``."""
