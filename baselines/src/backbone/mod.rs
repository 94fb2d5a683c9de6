//! Trunks of the networks.
