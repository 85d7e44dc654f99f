"""Training: loss, metrics, optimizer, state, step, checkpoints, reports, and the loop."""
