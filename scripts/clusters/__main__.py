"""`python -m scripts.clusters`: see `make_dataset.py`."""

from scripts.clusters.make_dataset import main

if __name__ == "__main__":
    main()
