"""Training: the trainer and its loop, history, CUDA graphs, checkpoints, and the run directory."""
