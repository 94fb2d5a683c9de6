//! Reports a person can open: tables, pictures, curves.
