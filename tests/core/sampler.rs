//! Draws are the same everywhere, independent per scope, and can be replayed.

use candle_wsss::{HashKey, ReplaySampler, Sampler, SeededSampler};

/// A stream of a seed is part of the format: a resumed run on another version must draw the same numbers.
#[test]
fn streams_keep_their_values() {
    let root = SeededSampler::new(7);
    let mut scope = root.child("hard_pixels");
    assert_eq!(scope.distinct(10, 4).unwrap(), [5, 7, 9, 2]);
    let uniform: Vec<u64> = root.child("u").uniform(2).unwrap().iter().map(|u| (u * 1e9) as u64).collect();
    assert_eq!(uniform, [308_604_900, 413_633_807]);
}

#[test]
fn forks_do_not_depend_on_draws() {
    let mut drawn = SeededSampler::new(3);
    drawn.normal(17).unwrap();
    let fresh = SeededSampler::new(3);
    assert_eq!(drawn.fork("a").uniform(5).unwrap(), fresh.fork("a").uniform(5).unwrap());
    assert_ne!(fresh.fork("a").uniform(5).unwrap(), fresh.fork("b").uniform(5).unwrap());
    // Scopes nest: a/b is not ab.
    assert_ne!(fresh.fork("a").fork("b").uniform(3).unwrap(), fresh.fork("ab").uniform(3).unwrap());
}

#[test]
fn distinct_draws_are_distinct_and_cover() {
    let mut sampler = SeededSampler::new(1);
    let mut all = sampler.distinct(50, 50).unwrap();
    all.sort_unstable();
    assert_eq!(all, (0..50).collect::<Vec<_>>());
    let error = sampler.distinct(3, 4).unwrap_err().to_string();
    assert!(error.contains("4 distinct draws asked of 3"), "{error}");
}

#[test]
fn distributions_have_their_moments() {
    let mut sampler = SeededSampler::new(11);
    let draws = sampler.normal(20_000).unwrap();
    let mean = draws.iter().sum::<f64>() / draws.len() as f64;
    let variance = draws.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / draws.len() as f64;
    assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "mean {mean}, variance {variance}");
    let uniform = sampler.uniform(20_000).unwrap();
    assert!(uniform.iter().all(|u| (0.0..1.0).contains(u)));
    let betas: Vec<f64> = (0..2_000).map(|_| sampler.beta(8.0, 8.0).unwrap()).collect();
    let mean = betas.iter().sum::<f64>() / betas.len() as f64;
    assert!((mean - 0.5).abs() < 0.02, "Beta(8, 8) has mean 0.5, got {mean}");
    assert!(sampler.beta(0.0, 1.0).is_err());
}

#[test]
fn replay_plays_each_draw_once_across_forks() {
    let tape = ReplaySampler::new()
        .record_distinct("hsc/pick", vec![4, 2])
        .record_numbers("hsc/lambda", vec![0.25])
        .record_numbers("", vec![1.0, -1.0]);
    let mut root = tape.clone();
    assert_eq!(root.normal(2).unwrap(), [1.0, -1.0]);
    assert_eq!(tape.fork("hsc").fork("pick").distinct(5, 2).unwrap(), [4, 2]);
    assert!(tape.fork("hsc").fork("pick").distinct(5, 2).is_err(), "a draw is played once");
    let misfit = tape.fork("hsc").fork("lambda").normal(2).unwrap_err().to_string();
    assert!(misfit.contains("hsc/lambda"), "{misfit}");
}

/// Written out once more: `SplitMix64`, whose numbers for the seed 1234567 are published with the generator.
#[test]
fn hashed_draws_are_those_of_split_mix() {
    let key = HashKey::new(1_234_567);
    let draws: Vec<u32> = (0..5).map(|position| key.draw(0, position)).collect();
    let published: [u64; 5] = [
        6_457_827_717_110_365_317,
        3_203_168_211_198_807_973,
        9_817_491_932_198_370_423,
        4_593_380_528_125_082_431,
        16_408_922_859_458_223_821,
    ];
    assert_eq!(draws, published.map(|bits| (bits >> 32) as u32));
    assert_ne!(key.draw(1, 0), key.draw(0, 0));
}

#[test]
fn streams_have_a_key_unless_they_are_replayed() {
    let root = SeededSampler::new(3);
    assert_eq!(root.fork("a").hash_key(), SeededSampler::new(3).child("a").hash_key());
    assert_ne!(root.fork("a").hash_key(), root.fork("b").hash_key());
    assert_eq!(ReplaySampler::new().hash_key(), None);
}
