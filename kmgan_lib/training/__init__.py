"""Training: the trainer and its loop, batches, history, CUDA graphs, checkpoints, and the run directory."""
