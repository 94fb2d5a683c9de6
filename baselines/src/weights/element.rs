//! What the values of a tensor are in a file.

use std::io::{self, Read};

/// The type of a tensor's values in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementType {
    /// 64-bit float.
    F64,
    /// 32-bit float.
    F32,
    /// 16-bit float of IEEE 754.
    F16,
    /// 16-bit float with the exponent of a 32-bit one.
    BF16,
    /// 64-bit integer.
    I64,
    /// 32-bit integer.
    I32,
    /// 16-bit integer.
    I16,
    /// 8-bit integer.
    I8,
    /// 8-bit integer without sign.
    U8,
    /// Truth value, one byte.
    Bool,
}

/// Bytes converted at a time.
const CHUNK: usize = 1 << 16;

impl ElementType {
    /// Bytes of a value.
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::BF16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// Its name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::F64 => "float64",
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::BF16 => "bfloat16",
            Self::I64 => "int64",
            Self::I32 => "int32",
            Self::I16 => "int16",
            Self::I8 => "int8",
            Self::U8 => "uint8",
            Self::Bool => "bool",
        }
    }

    /// Reads so many little-endian values. The caller has made sure that there can be as many.
    pub(super) fn read(self, from: &mut dyn Read, len: usize) -> io::Result<Vec<f32>> {
        let mut values = Vec::with_capacity(len);
        let mut chunk = [0; CHUNK];
        let mut left = len * self.size();
        while left > 0 {
            let now = left.min(CHUNK);
            from.read_exact(&mut chunk[..now])?;
            self.decode(&chunk[..now], &mut values);
            left -= now;
        }
        Ok(values)
    }

    fn decode(self, bytes: &[u8], values: &mut Vec<f32>) {
        match self {
            Self::F64 => put(bytes, values, |b| f64::from_le_bytes(b) as f32),
            Self::F32 => put(bytes, values, f32::from_le_bytes),
            Self::F16 => put(bytes, values, |b| half::f16::from_le_bytes(b).to_f32()),
            Self::BF16 => put(bytes, values, |b| half::bf16::from_le_bytes(b).to_f32()),
            Self::I64 => put(bytes, values, |b| i64::from_le_bytes(b) as f32),
            Self::I32 => put(bytes, values, |b| i32::from_le_bytes(b) as f32),
            Self::I16 => put(bytes, values, |b| i16::from_le_bytes(b).into()),
            Self::I8 => put(bytes, values, |b| i8::from_le_bytes(b).into()),
            Self::U8 => put(bytes, values, |[b]: [u8; 1]| b.into()),
            Self::Bool => put(bytes, values, |[b]: [u8; 1]| f32::from(b != 0)),
        }
    }
}

fn put<const N: usize>(bytes: &[u8], values: &mut Vec<f32>, of: impl Fn([u8; N]) -> f32) {
    values.extend(bytes.as_chunks().0.iter().map(|chunk| of(*chunk)));
}
