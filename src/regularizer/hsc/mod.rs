//! HSC: hierarchical semantic contrast.
