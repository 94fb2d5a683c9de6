//! Shared by the test modules: the fixture reader.

#[allow(dead_code, reason = "shared with the tests of the other crate; each uses its part")]
pub(crate) mod fixture;
