//! A file of known length, out of which nothing is read beyond its end.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::element::ElementType;
use crate::error::{Error, Result};

/// A file and the place in it.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    file: BufReader<File>,
    len: u64,
    at: u64,
}

/// Reading is ahead by so much: a header of many small numbers is one read.
const BUFFER: usize = 1 << 16;

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::input(path, "weights"))?;
        let data = file.metadata().map_err(Error::io(path))?;
        if data.is_dir() {
            return Err(Error::data(path, "expected a file of weights, this is a folder"));
        }
        let file = BufReader::with_capacity(BUFFER, file);
        Ok(Self { path: path.to_path_buf(), file, len: data.len(), at: 0 })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// An error of this file.
    pub(super) fn refuse(&self, reason: impl Into<String>) -> Error {
        Error::data(&self.path, reason)
    }

    /// Goes to a place; one beyond the end is refused.
    pub(super) fn seek(&mut self, to: u64) -> Result<()> {
        if to > self.len {
            return Err(self.refuse(format!("cut off: byte {to} is beyond its end, it has {}", self.len)));
        }
        // Keeps the buffer where the place is in it.
        let way = i64::try_from(to).ok().zip(i64::try_from(self.at).ok()).map(|(to, at)| to - at);
        match way {
            Some(way) => self.file.seek_relative(way),
            None => self.file.seek(SeekFrom::Start(to)).map(drop),
        }
        .map_err(Error::io(&self.path))?;
        self.at = to;
        Ok(())
    }

    /// So many bytes.
    pub(super) fn bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        let end = self.end_of(len)?;
        let len = usize::try_from(len).map_err(|_| self.refuse("larger than memory"))?;
        let mut bytes = vec![0; len];
        self.file.read_exact(&mut bytes).map_err(Error::io(&self.path))?;
        self.at = end;
        Ok(bytes)
    }

    /// So many bytes as they are in memory.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let end = self.end_of(N as u64)?;
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes).map_err(Error::io(&self.path))?;
        self.at = end;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32> {
        self.array().map(i32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// So many values of a tensor.
    pub(super) fn values(&mut self, element: ElementType, len: usize) -> Result<Vec<f32>> {
        let bytes = (len as u64).checked_mul(element.size() as u64);
        let end = self.end_of(bytes.unwrap_or(u64::MAX))?;
        let values = element.read(&mut self.file, len).map_err(Error::io(&self.path))?;
        self.at = end;
        Ok(values)
    }

    /// The file itself, from its start.
    pub(super) fn into_file(mut self) -> Result<BufReader<File>> {
        self.file.rewind().map_err(Error::io(&self.path))?;
        Ok(self.file)
    }

    fn end_of(&self, len: u64) -> Result<u64> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.len);
        end.ok_or_else(|| {
            let left = self.len - self.at;
            self.refuse(format!("cut off or damaged: {len} bytes are announced at byte {}, {left} are left", self.at))
        })
    }
}

/// Product of a shape's sides; none beyond what can be counted.
///
/// Nor where it is 0 for one side and the others cannot be counted: strides are products of some sides.
pub(super) fn count(shape: &[usize]) -> Option<usize> {
    let count = shape.iter().try_fold(1_usize, |count, side| count.checked_mul((*side).max(1)))?;
    Some(if shape.contains(&0) { 0 } else { count })
}
