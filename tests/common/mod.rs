//! Shared by the test modules: the fixture reader.

pub(crate) mod fixture;
