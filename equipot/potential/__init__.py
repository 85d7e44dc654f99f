"""What every model shares: references, scale, derivatives, and the saved artefact."""
