//! [`Interrupt`]: a wish to stop, looked at between steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};

/// Set once, by a signal or a failing neighbour; shared by all threads of a run.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    wanted: Arc<AtomicBool>,
}

impl Interrupt {
    /// An interrupt nobody has asked for.
    pub fn new() -> Self {
        Self::default()
    }

    /// An interrupt set by Ctrl-C.
    ///
    /// # Errors
    /// When another handler is installed already: once per process.
    pub fn on_signal() -> Result<Self> {
        let interrupt = Self::new();
        let wanted = Arc::clone(&interrupt.wanted);
        ctrlc::set_handler(move || wanted.store(true, Ordering::Relaxed))
            .map_err(|err| Error::Config(format!("signal handler: {err}")))?;
        Ok(interrupt)
    }

    /// Asks everyone to stop.
    pub fn ask(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    pub fn asked(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }
}
