//! OAA, online attention accumulation: network, baseline, accumulation. Stub.

mod config;
mod network;

pub use config::OaaConfig;
pub use network::Oaa;
