//! Multi-scale inference of seeds, and the files they are kept in.
