//! SEAM: network, losses, baseline.
