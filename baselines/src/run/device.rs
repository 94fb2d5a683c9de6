//! [`ComputeDevice`]: where networks run, as it is typed.

use std::fmt;
use std::str::FromStr;

use candle_core::Device;
use candle_wsss::ops::cuda_device;

use crate::error::{Error, Result};

/// Where networks run: `cpu`, `cuda` (the first NVIDIA device) or `cuda:N`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ComputeDevice {
    /// The processor.
    #[default]
    Cpu,
    /// The NVIDIA device of that number, from 0.
    Cuda(usize),
}

impl FromStr for ComputeDevice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = match text {
            "cpu" => return Ok(Self::Cpu),
            "cuda" => Some(0),
            _ => text.strip_prefix("cuda:").and_then(|number| number.parse().ok()),
        };
        let wrong = || Error::Config(format!("expected cpu, cuda or cuda:N, got `{text}`"));
        number.map(Self::Cuda).ok_or_else(wrong)
    }
}

impl fmt::Display for ComputeDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => write!(f, "cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl ComputeDevice {
    /// The device, ready to compute.
    ///
    /// # Errors
    /// When the program was built without it, or the machine lacks it, its driver or a library; said in one message.
    pub fn open(self) -> Result<Device> {
        let Self::Cuda(number) = self else { return Ok(Device::Cpu) };
        cuda_device(number).map_err(unavailable)
    }
}

fn unavailable(err: candle_wsss::Error) -> Error {
    let reason = match err {
        candle_wsss::Error::Value { reason, .. } => reason,
        err => Error::from(err).to_string(),
    };
    Error::Config(format!("--device: {reason} (docs/cuda.md: how to build with CUDA, and what it needs)"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests: a failure here is the message")]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (text, device) in
            [("cpu", ComputeDevice::Cpu), ("cuda", ComputeDevice::Cuda(0)), ("cuda:7", ComputeDevice::Cuda(7))]
        {
            assert_eq!(text.parse::<ComputeDevice>().unwrap(), device);
            assert_eq!(device.to_string().parse::<ComputeDevice>().unwrap(), device);
        }
        for text in ["", "gpu", "CPU", "cuda:", "cuda:-1", "cuda:x", "cuda 0", "cuda:99999999999999999999"] {
            let err = text.parse::<ComputeDevice>().unwrap_err().to_string();
            assert!(err.contains(&format!("`{text}`")) && err.contains("cuda:N"), "{err}");
        }
    }

    #[test]
    fn the_processor_is_always_there() {
        assert!(ComputeDevice::default().open().unwrap().is_cpu());
    }

    #[test]
    fn a_device_that_cannot_be_had_is_a_mistake_of_the_user() {
        // As many as this no machine has, whatever it was built with.
        let err = ComputeDevice::Cuda(4095).open().unwrap_err();
        let text = err.to_string();
        assert!(text.starts_with("--device: cuda:4095 ") && text.contains("docs/cuda.md"), "{text}");
        assert!(!text.contains('\n'), "{text}");
        assert_eq!(err.exit_code(), 2);
    }
}
