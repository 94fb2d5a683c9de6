//! [`Progress`]: on stderr, bars on a terminal and lines elsewhere.

use std::io::{IsTerminal, Write};
use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Says on stderr how far things are, unless somebody asked for quiet: bars on a terminal, elsewhere a line for what is
/// finished.
#[derive(Clone, Debug)]
pub struct Progress {
    bars: MultiProgress,
    medium: Medium,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Medium {
    Terminal,
    Lines,
    Nothing,
}

impl Progress {
    /// Bars on a terminal, lines elsewhere; nothing with `quiet`.
    pub fn new(quiet: bool) -> Self {
        let bars = MultiProgress::new();
        let medium = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Medium::Nothing,
            (false, true) => Medium::Terminal,
            (false, false) => Medium::Lines,
        };
        if medium != Medium::Terminal {
            bars.set_draw_target(ProgressDrawTarget::hidden());
        }
        Self { bars, medium }
    }

    /// Nothing at all.
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

    /// A line for something finished since `start`, where no bar showed it.
    pub fn done(&self, place: &str, title: &str, what: &str, start: Instant) {
        if self.medium == Medium::Lines {
            write_line(&format!("{place}, {title}: {what}, {:.1} s", start.elapsed().as_secs_f64()));
        }
    }

    /// A line for something worth knowing before the end, above the bars where there are any.
    pub fn note(&self, text: &str) {
        match self.medium {
            Medium::Nothing => {}
            Medium::Lines => write_line(text),
            Medium::Terminal => self.bars.suspend(|| write_line(text)),
        }
    }
}

fn write_line(text: &str) {
    // Nobody looking on is no reason to stop.
    drop(writeln!(std::io::stderr(), "{text}"));
}
