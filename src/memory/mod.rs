//! What a loss remembers between steps.
//!
//! Memory is a value. A loss reads the memory it has, *proposes* the next one in its
//! [`Objective`](crate::Objective), and takes it over in `commit`, after the optimizer's step. So a loss can be
//! evaluated twice, checked numerically or thrown away, and a checkpoint holds all of it.

mod bank;
mod queue;
mod state;

pub use bank::PrototypeBank;
pub use queue::ClassQueue;
pub use state::MemoryState;
