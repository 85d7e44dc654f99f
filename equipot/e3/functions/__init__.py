"""Functions of distances and scalars, gates, and sums over groups of rows."""
