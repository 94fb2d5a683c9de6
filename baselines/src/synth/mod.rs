//! Deterministic synthetic data set in PASCAL VOC layout.
