//! The report: same bytes for the same data, everything in it, nothing outside it, and its parts.

mod example;
mod page;
mod parts;
