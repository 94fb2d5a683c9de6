//! The host's part of the kernels.
