//! Reading, augmenting, batching.
#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod bad_input;
mod decode;
mod expected;
mod jitter;
mod loader;
mod palette;
mod prefetch;
mod resample;
mod scratch;
mod transform;
mod voc;
