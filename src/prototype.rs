//! Class prototypes out of pixel features.
