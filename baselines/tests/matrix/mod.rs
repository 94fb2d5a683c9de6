//! Every stack of regularizers on every baseline, trained for a few steps on embedded data.
//!
//! A cell is a baseline and a subset of the four methods. Each is trained twice: without a stop, and stopped after
//! every step and resumed from its checkpoint, which must come to the same bytes.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod cell;
mod classes;

use std::collections::BTreeMap;

use rayon::prelude::*;

use cell::Cell;

const METHODS: [&str; 4] = ["hsc", "ppc", "rca", "pss"];

/// All subsets of the methods, each joined by `+`; `none` first.
fn stacks() -> Vec<String> {
    let subset = |bits: usize| METHODS.into_iter().enumerate().filter(move |(i, _)| bits >> i & 1 == 1);
    (0..1 << METHODS.len())
        .map(|bits| subset(bits).map(|(_, method)| method).collect::<Vec<_>>().join("+"))
        .map(|stack| if stack.is_empty() { "none".to_string() } else { stack })
        .collect()
}

fn train_all(baseline: &str) {
    let cells: Vec<Cell> = stacks().par_iter().map(|stack| Cell::train(baseline, stack)).collect();
    for cell in &cells {
        cell.expect_finite();
        cell.expect_every_parameter_reached();
    }
    // The start is the same and so are the draws: a term of the first step has one value, whatever is stacked beside it.
    let mut alone: BTreeMap<&str, f64> = BTreeMap::new();
    for cell in &cells {
        for (term, value) in cell.first_terms() {
            let known = *alone.entry(term).or_insert(value);
            assert_eq!(known.to_bits(), value.to_bits(), "{}: {term} is {value}, elsewhere {known}", cell.title());
        }
    }
    for method in METHODS {
        assert!(alone.keys().any(|term| term.starts_with(&format!("{method}/"))), "{baseline}: no term of {method}");
    }
    assert_eq!(cells.len(), 1 << METHODS.len());
}

#[test]
fn threads_do_not_show() {
    for baseline in ["seam", "eps-pcm", "vgg16-oaa"] {
        let [one, three] = [1, 3].map(|threads| cell::written(baseline, "hsc+ppc+rca+pss", threads));
        assert!(!one.is_empty() && one == three, "{baseline}: the files differ");
    }
}

#[test]
fn every_stack_on_seam() {
    train_all("seam");
}

#[test]
fn every_stack_on_eps() {
    train_all("eps");
}

#[test]
fn every_stack_on_eps_with_the_correlation_module() {
    train_all("eps-pcm");
}

#[test]
fn every_stack_on_vgg16_oaa() {
    train_all("vgg16-oaa");
}
