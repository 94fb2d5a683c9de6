//! Inference: parity of the arithmetic after the network, whole runs with a toy network, seed files.

mod file;
mod parity;
mod run;
