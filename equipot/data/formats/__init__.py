"""One file per format: each turns a file into frames with every value untouched."""
