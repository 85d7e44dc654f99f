"""Published foundation potentials, read without the programs that wrote them."""
