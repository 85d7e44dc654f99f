"""Training: loss, metrics, optimiser, state, step, checkpoints, reports, and the loop."""
