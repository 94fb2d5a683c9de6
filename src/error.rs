//! The one error type of the crate, and the shape check that most of its values come from.

/// What can go wrong in this crate. Every message names the thing, what was expected and what came.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor of another shape than documented.
    #[error("{what}: expected shape {expected}, got {got:?}")]
    Shape {
        /// The tensor, as the caller knows it.
        what: String,
        /// The shape wanted, letters for free dimensions.
        expected: String,
        /// The shape that came.
        got: Vec<usize>,
    },
    /// A configuration value out of its range.
    #[error("config field `{field}`: {reason}")]
    Config {
        /// Path of the field, dots between levels.
        field: String,
        /// The range, and the value that came.
        reason: String,
    },
    /// A memory entry or parameter that is missing, surplus or of another shape.
    #[error("tensor `{key}`: {reason}")]
    State {
        /// Full name of the entry.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A value outside its range, in data rather than in configuration.
    #[error("{what}: {reason}")]
    Value {
        /// The thing, as the caller knows it.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Two things of one name.
    #[error("the name `{0}` is used twice")]
    DuplicateName(String),
    /// An error of candle itself.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A [`Error::Config`].
    pub fn config(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Config { field: field.into(), reason: reason.into() }
    }

    /// A [`Error::Value`].
    pub fn value(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Value { what: what.into(), reason: reason.into() }
    }

    /// A [`Error::State`].
    pub fn state(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::State { key: key.into(), reason: reason.into() }
    }
}

// So that `?` works in code that speaks candle's error type, a custom op for one.
impl From<Error> for candle_core::Error {
    fn from(err: Error) -> Self {
        match err {
            Error::Candle(err) => err,
            err => Self::wrap(err),
        }
    }
}

/// One dimension of an expected shape: a number, or a letter that takes any size.
#[derive(Clone, Copy, Debug)]
pub enum Dim {
    /// Exactly this many.
    Is(usize),
    /// Any size; the letter is for the message.
    Any(&'static str),
}

impl From<usize> for Dim {
    fn from(size: usize) -> Self {
        Self::Is(size)
    }
}

impl From<&'static str> for Dim {
    fn from(letter: &'static str) -> Self {
        Self::Any(letter)
    }
}

/// Checks the shape of `tensor` and names it in the error.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_wsss::error::expect_shape;
///
/// let cam = Tensor::zeros((2, 4, 8, 8), DType::F32, &Device::Cpu)?;
/// expect_shape("cam", &cam, ["N".into(), 4.into(), "h".into(), "w".into()])?;
/// let wrong = expect_shape("cam", &cam, ["N".into(), 5.into(), "h".into(), "w".into()]);
/// assert_eq!(wrong.unwrap_err().to_string(), "cam: expected shape (N, 5, h, w), got [2, 4, 8, 8]");
/// # Ok::<(), candle_wsss::Error>(())
/// ```
pub fn expect_shape<const R: usize>(what: &str, tensor: &candle_core::Tensor, expected: [Dim; R]) -> Result<()> {
    let got = tensor.dims();
    let fits = got.len() == R
        && got.iter().zip(&expected).all(|(got, want)| match want {
            Dim::Is(size) => size == got,
            Dim::Any(_) => true,
        });
    if fits {
        return Ok(());
    }
    let names: Vec<String> = expected
        .iter()
        .map(|dim| match dim {
            Dim::Is(size) => size.to_string(),
            Dim::Any(letter) => (*letter).to_string(),
        })
        .collect();
    Err(Error::Shape { what: what.to_string(), expected: format!("({})", names.join(", ")), got: got.to_vec() })
}
