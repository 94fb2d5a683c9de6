//! The vocabulary: samplers, parameters, memory, wrapping.

mod memory;
mod parameters;
mod sampler;
mod wrapping;
