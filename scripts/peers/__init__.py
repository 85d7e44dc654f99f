"""Programs of others, as the benchmarks run them."""
