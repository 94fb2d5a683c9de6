//! [`Progress`]: bars on stderr, on a terminal only.

use std::io::IsTerminal;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Draws bars on stderr when that is a terminal and nobody asked for quiet; else draws nothing.
#[derive(Clone, Debug)]
pub struct Progress {
    bars: MultiProgress,
}

impl Progress {
    /// Bars on a terminal.
    pub fn new(quiet: bool) -> Self {
        let bars = MultiProgress::new();
        if quiet || !std::io::stderr().is_terminal() {
            bars.set_draw_target(ProgressDrawTarget::hidden());
        }
        Self { bars }
    }

    /// No bars.
    pub fn hidden() -> Self {
        Self::new(true)
    }

    /// A bar of `len` units of work.
    pub fn bar(&self, what: &str, len: usize) -> ProgressBar {
        let bar = self.bars.add(ProgressBar::new(len as u64));
        // The template is a constant; a mistake in it only costs the layout.
        if let Ok(style) = ProgressStyle::with_template("{prefix:24} {bar:32} {pos:>5}/{len:5} {elapsed_precise} {msg}")
        {
            bar.set_style(style);
        }
        bar.set_prefix(what.to_string());
        bar
    }
}
