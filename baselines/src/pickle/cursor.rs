//! A place in bytes that only moves within them.

/// Reads little-endian numbers, lines and runs of bytes, none beyond the end.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The start of some bytes.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes read so far.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// So many bytes.
    ///
    /// # Errors
    /// When there are fewer.
    pub(crate) fn take(&mut self, len: u64) -> Result<&'a [u8], String> {
        let left = &self.bytes[self.at..];
        let taken = usize::try_from(len).ok().and_then(|len| left.get(..len));
        let taken = taken.ok_or_else(|| {
            format!("ends too early: {len} bytes are announced at byte {}, {} are left", self.at, left.len())
        })?;
        self.at += taken.len();
        Ok(taken)
    }

    /// So many bytes as they are in memory.
    ///
    /// # Errors
    /// When there are fewer.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N as u64)?);
        Ok(bytes)
    }

    /// One byte.
    ///
    /// # Errors
    /// At the end.
    pub(crate) fn byte(&mut self) -> Result<u8, String> {
        self.array().map(u8::from_le_bytes)
    }

    /// Four bytes.
    ///
    /// # Errors
    /// When there are fewer.
    pub(crate) fn u32(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// When there are fewer.
    pub(crate) fn u64(&mut self) -> Result<u64, String> {
        self.array().map(u64::from_le_bytes)
    }

    /// Text up to the end of the line, which is not part of it.
    ///
    /// # Errors
    /// When no line ends, or it is no text.
    pub(crate) fn line(&mut self) -> Result<&'a str, String> {
        let left = &self.bytes[self.at..];
        let len = left.iter().position(|byte| *byte == b'\n');
        let len = len.ok_or_else(|| format!("ends too early: the line at byte {} has no end", self.at))?;
        let line = std::str::from_utf8(&left[..len]).map_err(|_| format!("no text in the line at byte {}", self.at))?;
        self.at += len + 1;
        Ok(line)
    }
}
