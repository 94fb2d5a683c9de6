//! Trunks.

#![allow(clippy::unwrap_used, reason = "a test helper that fails is a test that fails")]

mod vgg16;
