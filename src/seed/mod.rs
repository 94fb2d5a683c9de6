//! From activation maps to pixel labels.
