//! The error type of this crate, and the exit code each kind ends the program with.

use std::path::{Path, PathBuf};

/// What can go wrong outside the core. Every message names the file, field or tensor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of a data set that is missing, unreadable or inconsistent.
    #[error("{path}: {reason}")]
    Data {
        /// The file.
        path: PathBuf,
        /// What was expected and what came.
        reason: String,
    },
    /// A setting that is unknown or out of range.
    #[error("{0}")]
    Config(String),
    /// Reading or writing failed.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// An output that exists already and would be overwritten.
    #[error("{0}: exists already; choose another output, or remove it")]
    OutputExists(PathBuf),
    /// A loss that is no longer a number.
    #[error("diverged at step {step}: {what} is {value}")]
    Diverged {
        /// Optimizer step, from 0.
        step: usize,
        /// The term or parameter.
        what: String,
        /// Its value.
        value: f64,
    },
    /// Stopped by the user, after saving what there was.
    #[error("interrupted{0}")]
    Interrupted(String),
    /// An error of the core crate.
    #[error("{}", without_backtrace(.0))]
    Core(#[from] candle_wsss::Error),
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A [`Error::Data`].
    pub fn data(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Self::Data { path: path.as_ref().to_path_buf(), reason: reason.into() }
    }

    /// An [`Error::Io`], for `map_err`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { path, source }
    }

    /// The same with a configuration field named from the root of the configuration: `crop` within `loader` becomes
    /// `loader.crop`.
    #[must_use]
    pub fn within(self, path: &str) -> Self {
        match self {
            Self::Core(candle_wsss::Error::Config { field, reason }) => {
                candle_wsss::Error::config(format!("{path}.{field}"), reason).into()
            }
            err => err,
        }
    }

    /// A [`Error::Data`] for an input that is not there, else an [`Error::Io`], for `map_err`.
    pub fn input(path: impl AsRef<Path>, expected: &str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        let reason = format!("expected {expected}, there is no such file");
        move |source| match source.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => Self::Data { path, reason },
            _ => Self::Io { path, source },
        }
    }

    /// Exit code of the program: 1 failure, 2 usage or configuration, 3 invalid data, 4 diverged, 130 interrupted.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::OutputExists(_) | Self::Core(candle_wsss::Error::Config { .. }) => 2,
            Self::Data { .. } | Self::Core(candle_wsss::Error::State { .. }) => 3,
            Self::Diverged { .. } => 4,
            Self::Interrupted(_) => 130,
            Self::Io { .. } | Self::Core(_) => 1,
        }
    }
}

impl From<candle_core::Error> for Error {
    fn from(err: candle_core::Error) -> Self {
        Self::Core(err.into())
    }
}

// With RUST_BACKTRACE set, candle writes the trace into its message.
fn without_backtrace(err: &candle_wsss::Error) -> String {
    let candle_wsss::Error::Candle(err) = err else { return err.to_string() };
    let mut err = err;
    while let candle_core::Error::WithBacktrace { inner, .. } = err {
        err = inner;
    }
    err.to_string()
}
