//! Contrastive terms as pure functions.
