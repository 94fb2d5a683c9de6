//! Weights of other programs: safetensors, PyTorch's files of both kinds, MXNet's parameters.
