//! Evaluation of seeds: confusion counts and the background-score curve.
