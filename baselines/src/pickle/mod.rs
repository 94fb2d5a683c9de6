//! Python's pickles, read as data.
