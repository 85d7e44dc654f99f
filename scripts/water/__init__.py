"""Programs for liquid water: its dataset, its molecules, its dynamics."""
