//! Reading, augmenting, batching.
#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod bad_folder;
mod bad_input;
mod check;
mod coco;
mod decode;
mod expected;
mod folder;
mod garbage;
mod jitter;
mod labels;
mod lists;
mod loader;
mod masks;
mod npy;
mod palette;
mod prefetch;
mod resample;
mod scratch;
mod transform;
mod voc;
