"""Makes `data/water_clusters/`: a program run by hand."""
