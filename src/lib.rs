//! Plug-in losses for weakly supervised semantic segmentation, on [candle](candle_core).
//!
//! A [`Regularizer`] wraps any [`Baseline`], a network that makes class activation maps, and the result is a [`Baseline`]
//! again: it is trained, saved and stacked upon like the one inside.
//!
//! One step of training, whatever is wrapped:
//!
//! ```
//! use candle_nn::{Optimizer, SGD};
//! use candle_wsss::{Baseline, ImageLabels, Mode, Pair, Progress, Result, Sampler, SeededSampler, Step, View};
//!
//! fn train_step(
//!     model: &mut impl Baseline,
//!     optimizer: &mut SGD,
//!     views: &Pair<View>,
//!     labels: &ImageLabels,
//!     step: usize,
//! ) -> Result<()> {
//!     let draws = SeededSampler::new(1).child(&format!("step/{step}"));
//!     let outputs = views.as_ref().try_map(|view| model.forward(view, Mode::Train(&mut *draws.fork("forward"))))?;
//!     let progress = Progress { step, ..Progress::default() };
//!     let objective = model.objective(&Step { model, views, outputs: &outputs, labels, progress }, &draws)?;
//!     if let Some(loss) = objective.terms.total()? {
//!         optimizer.backward_step(&loss)?;
//!     }
//!     model.commit(objective.memory)
//! }
//! ```
//!
//! `examples/quickstart.rs` has the rest: a network of one's own, HSC around it, memory saved and restored.
//!
//! # Vocabulary
//!
//! * [`View`] is a batch of images; every step has a [`Pair`] of them, the crop and the same crop made smaller.
//! * [`ClassLayout`] and [`ImageLabels`]: foreground classes first, background last, everywhere.
//! * [`ViewOutput`] is what a network makes of a view: logits, class activation maps, features.
//! * [`Step`] is all a loss may look at, [`Objective`] what it asks for: named [`LossTerms`] and the memory to keep.
//! * [`MemoryState`] is what outlives a step beside the parameters; [`PrototypeBank`] and
//!   [`ClassQueue`] are what it is made of.
//! * [`Sampler`] is where draws come from: [`SeededSampler`], or [`ReplaySampler`] for draws recorded elsewhere.
//! * [`ParameterStore`] starts each parameter from the seed and its own name.
//!
//! # What holds
//!
//! * A loss reads; `commit` writes. Evaluating an objective twice gives the same numbers and changes nothing.
//! * A term without meaning for a batch is left out and named ([`LossTerms::omit`]), never NaN.
//! * Same seed, same bits on the CPU, whatever the number of threads.
//! * Defaults are what the released code of a method does; its oddities are options with a name.
//!
//! # Parts to build with
//!
//! [`ops`] are operations candle lacks or whose gradient is another; [`seed`] leads from activation maps to labels;
//! [`prototype`] and [`contrast`] are the pure functions under the losses; [`regularizer`] has the methods.
//!
//! # What it does not do
//!
//! It reads and writes no files, prints nothing, owns no training loop, and has no networks. Those are in
//! `candle-wsss-baselines`.
//!
//! # Features
//!
//! `testing` adds the module `testing`: a toy baseline, a gradient checker and tolerances, for tests of plug-ins.

pub mod error;
mod label;
mod objective;
mod sampler;
mod view;

pub mod init;
pub mod memory;
pub mod ops;

pub mod contrast;
pub mod prototype;
pub mod seed;

mod baseline;
pub mod regularizer;

#[cfg(any(test, feature = "testing"))]
#[allow(clippy::missing_panics_doc, reason = "assertions panic, that is their purpose")]
pub mod testing;

pub use baseline::{Baseline, BaselineSpec, Mode, ParameterGroup, Progress, Step, ViewOutput};
pub use error::{Error, Result};
pub use init::ParameterStore;
pub use label::{ClassLayout, ImageLabels};
pub use memory::{ClassQueue, MemoryState, PrototypeBank};
pub use objective::{LossTerm, LossTerms, Objective, OmittedTerm, TermValue};
pub use regularizer::{Regularized, Regularizer};
pub use sampler::{HashKey, ReplaySampler, Sampler, SeededSampler};
pub use view::{Normalization, Pair, View};
