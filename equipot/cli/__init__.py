"""The commands ``equipot-train`` and ``equipot``; each ends in one call of the library."""
