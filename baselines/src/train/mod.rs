//! Training: optimizer, checkpoints, the loop.
