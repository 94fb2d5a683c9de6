//! Where every random draw comes from: seeded, forked by name, or replayed.
//!
//! A stream is a function of the seed and of the names on the way to it. Draws in one scope never shift another,
//! so adding a loss, a layer or a thread changes nobody else's numbers, and a resumed run needs no generator state.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Beta, Distribution, StandardNormal};

use crate::error::{Error, Result};

/// Source of random draws.
pub trait Sampler: Send {
    /// The stream called `scope` below this one. Forking the same name twice gives the same stream twice, on purpose:
    /// one name per place that draws.
    fn fork(&self, scope: &str) -> Box<dyn Sampler>;

    /// `amount` distinct indices below `len`, in random order.
    ///
    /// # Errors
    /// When there are fewer than `amount`.
    fn distinct(&mut self, len: usize, amount: usize) -> Result<Vec<usize>>;

    /// `len` draws uniform in `[0, 1)`.
    ///
    /// # Errors
    /// When a replayed stream has no fitting draw.
    fn uniform(&mut self, len: usize) -> Result<Vec<f64>>;

    /// `len` standard normal draws.
    ///
    /// # Errors
    /// When a replayed stream has no fitting draw.
    fn normal(&mut self, len: usize) -> Result<Vec<f64>>;

    /// One draw from the Beta distribution.
    ///
    /// # Errors
    /// When a parameter is not positive.
    fn beta(&mut self, alpha: f64, beta: f64) -> Result<f64>;

    /// What draws are made of where the data lie, on a device whose labels the host has not seen. `None` when draws are
    /// replayed: they belong to indices that only the host has.
    fn hash_key(&self) -> Option<HashKey> {
        None
    }
}

/// A stream without a state: each draw is a function of the key and of what it is drawn for.
///
/// Any device can make any of them, in any order and without hearing of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashKey(u64);

impl HashKey {
    /// The stream of that number.
    pub fn new(key: u64) -> Self {
        Self(key)
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The draw of the member at `position` in `class`: uniform among all `u32`.
    pub fn draw(self, class: u32, position: u32) -> u32 {
        // SplitMix64 at this place of its sequence: passes the usual tests of randomness, and is a few instructions on
        // every device. Kernels repeat it.
        let place = u64::from(class) << 32 | u64::from(position);
        let mut bits = self.0.wrapping_add(place.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 32) as u32
    }
}

/// ChaCha8 streams keyed by a seed and scope names. Same seed, same numbers, on every machine.
#[derive(Clone, Debug)]
pub struct SeededSampler {
    key: u64,
    rng: ChaCha8Rng,
}

impl SeededSampler {
    /// The root stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self { key: seed, rng: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// The number this stream is a function of, as a seed for something else.
    pub fn key(&self) -> u64 {
        self.key
    }

    /// As [`Sampler::fork`], keeping the type.
    #[must_use]
    pub fn child(&self, scope: &str) -> Self {
        Self::new(fnv1a(self.key, scope))
    }
}

// FNV-1a, because `DefaultHasher` may change between Rust releases.
fn fnv1a(key: u64, name: &str) -> u64 {
    key.to_le_bytes()
        .iter()
        .chain(name.as_bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Sampler for SeededSampler {
    fn fork(&self, scope: &str) -> Box<dyn Sampler> {
        Box::new(self.child(scope))
    }

    fn distinct(&mut self, len: usize, amount: usize) -> Result<Vec<usize>> {
        if amount > len {
            return Err(Error::value("sampler", format!("{amount} distinct draws asked of {len}")));
        }
        Ok(rand::seq::index::sample(&mut self.rng, len, amount).into_vec())
    }

    fn uniform(&mut self, len: usize) -> Result<Vec<f64>> {
        Ok((0..len).map(|_| self.rng.random::<f64>()).collect())
    }

    fn normal(&mut self, len: usize) -> Result<Vec<f64>> {
        Ok((0..len).map(|_| StandardNormal.sample(&mut self.rng)).collect())
    }

    fn beta(&mut self, alpha: f64, beta: f64) -> Result<f64> {
        let beta = Beta::new(alpha, beta).map_err(|err| Error::value("sampler", err.to_string()))?;
        Ok(beta.sample(&mut self.rng))
    }

    fn hash_key(&self) -> Option<HashKey> {
        Some(HashKey(self.key))
    }
}

/// Plays back draws recorded elsewhere, for parity with another implementation.
///
/// All forks share one tape, so a draw is played once whoever asks for it.
#[derive(Clone, Debug, Default)]
pub struct ReplaySampler {
    scope: String,
    tape: Arc<Mutex<BTreeMap<String, VecDeque<Draw>>>>,
}

/// A recorded draw.
#[derive(Clone, Debug, PartialEq)]
enum Draw {
    Distinct(Vec<usize>),
    Numbers(Vec<f64>),
}

impl ReplaySampler {
    /// An empty tape.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds indices to the tape of `scope` (names joined by `/`, empty for the root).
    #[must_use]
    pub fn record_distinct(self, scope: &str, draw: Vec<usize>) -> Self {
        self.record(scope, Draw::Distinct(draw))
    }

    /// Adds uniform, normal or Beta draws to the tape of `scope`.
    #[must_use]
    pub fn record_numbers(self, scope: &str, draw: Vec<f64>) -> Self {
        self.record(scope, Draw::Numbers(draw))
    }

    fn record(self, scope: &str, draw: Draw) -> Self {
        let mut tape = self.tape.lock().unwrap_or_else(PoisonError::into_inner);
        tape.entry(scope.to_string()).or_default().push_back(draw);
        drop(tape);
        self
    }

    fn next(&self) -> Option<Draw> {
        let mut tape = self.tape.lock().unwrap_or_else(PoisonError::into_inner);
        tape.get_mut(&self.scope).and_then(VecDeque::pop_front)
    }

    fn numbers(&self, len: usize) -> Result<Vec<f64>> {
        match self.next() {
            Some(Draw::Numbers(draw)) if draw.len() == len => Ok(draw),
            other => Err(self.misfit(&format!("{len} numbers"), other.as_ref())),
        }
    }

    fn misfit(&self, wanted: &str, got: Option<&Draw>) -> Error {
        let got = got.map_or_else(|| "nothing".to_string(), |draw| format!("{draw:?}"));
        Error::value(format!("replayed scope `{}`", self.scope), format!("{wanted} asked, {got} recorded"))
    }
}

impl Sampler for ReplaySampler {
    fn fork(&self, scope: &str) -> Box<dyn Sampler> {
        let scope = if self.scope.is_empty() { scope.to_string() } else { format!("{}/{scope}", self.scope) };
        Box::new(Self { scope, tape: Arc::clone(&self.tape) })
    }

    fn distinct(&mut self, len: usize, amount: usize) -> Result<Vec<usize>> {
        match self.next() {
            Some(Draw::Distinct(draw)) if draw.len() == amount && draw.iter().all(|i| *i < len) => Ok(draw),
            other => Err(self.misfit(&format!("{amount} of {len}"), other.as_ref())),
        }
    }

    fn uniform(&mut self, len: usize) -> Result<Vec<f64>> {
        self.numbers(len)
    }

    fn normal(&mut self, len: usize) -> Result<Vec<f64>> {
        self.numbers(len)
    }

    fn beta(&mut self, _alpha: f64, _beta: f64) -> Result<f64> {
        Ok(self.numbers(1)?[0])
    }
}
