//! Mean field of a fully connected CRF. No gradient; runs on the host, but for [`refine_label_pair_on_device`].
//!
//! `Q_i = softmax(-U_i + Σ_j [w_g k_g(i,j) + w_b k_b(i,j)] Q_j)` (Potts), with
//! `k_g = exp(-|p_i-p_j|²/2σ_g²)` and `k_b = exp(-|p_i-p_j|²/2σ_xy² - |c_i-c_j|²/2σ_rgb²)`, each normalised by the square
//! roots of its row sums (Krähenbühl and Koltun, NIPS 2011).
//!
//! [`CrfKernel`] says how the sums are made: by permutohedral lattice, as released code does, or exactly. Deterministic:
//! sums run in pixel order, whatever the number of threads.

mod batch;
mod channels;
mod config;
mod exact;
mod image;
mod lattice;

pub use batch::{refine_label_pair, refine_label_pair_on_device};
pub use config::{CrfKernel, DenseCrfConfig};
pub use image::{DenseCrf, DenseCrfPlan};
