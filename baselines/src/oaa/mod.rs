//! OAA, online attention accumulation: its network and loss. The accumulation is [`accumulate`](crate::accumulate).

mod config;
mod head;
mod network;

pub use config::{ClassifiedViews, HeadConfig, HeadInit, OaaConfig, OaaLossConfig};
pub use network::Oaa;
