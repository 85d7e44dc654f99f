"""Checks of equivariance for tests, and a look at what is compiled."""
