//! Activation maps as NumPy's file of one pickled dictionary.

use std::io::Write;
use std::path::Path;

use super::MAGIC;
use crate::data::write_atomic;
use crate::error::{Error, Result};

/// Bytes of magic, version, header and its length together are a multiple of this.
const ALIGNMENT: usize = 64;

const HEADER: &str = "{'descr': '|O', 'fortran_order': False, 'shape': (), }";

/// Writes maps `(class, height, width, values)` as the dictionary `{class: float32 array (height, width)}`, values
/// row-major: what the next stages of SEAM, PSA and IRN read with `numpy.load(file, allow_pickle=True).item()`.
///
/// Pickled in protocol 3 with NumPy 1's names, which NumPy 2 knows as well.
///
/// # Errors
/// When values are not `height * width`, or the file cannot be written.
pub fn write_npy_maps(path: &Path, maps: &[(usize, usize, usize, &[f32])]) -> Result<()> {
    for (class, height, width, values) in maps {
        let fits = height.checked_mul(*width) == Some(values.len()) && u32::try_from(values.len() * 4).is_ok();
        if !fits || [class, height, width].iter().any(|number| i32::try_from(**number).is_err()) {
            let reason = format!("map of class {class}: {} values for {height}x{width} pixels", values.len());
            return Err(Error::data(path, reason));
        }
    }
    write_atomic(path, |out| {
        let fixed = MAGIC.len() + 2 + size_of::<u16>();
        let len = (fixed + HEADER.len() + 1).next_multiple_of(ALIGNMENT) - fixed;
        out.write_all(MAGIC)?;
        out.write_all(&[1, 0])?;
        out.write_all(&(len as u16).to_le_bytes())?;
        writeln!(out, "{HEADER:<width$}", width = len - 1)?;
        // The array of rank 0 that NumPy puts around an object: made empty, then given its state.
        out.write_all(
            b"\x80\x03cnumpy.core.multiarray\n_reconstruct\nq\x00cnumpy\nndarray\nq\x01K\x00\x85q\x02C\x01bq\x03\x87R",
        )?;
        out.write_all(b"(K\x01)cnumpy\ndtype\nq\x04X\x02\x00\x00\x00O8K\x00K\x01\x87R(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x3ftb\x89]")?;
        // The type of the maps' elements, kept under a number and taken off again.
        out.write_all(b"h\x04X\x02\x00\x00\x00f4K\x00K\x01\x87R(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbq\x050}(")?;
        for (class, height, width, values) in maps {
            write_int(out, *class)?;
            // _reconstruct(ndarray, (0,), b'b') and its state (1, (height, width), f4, False, bytes).
            out.write_all(b"h\x00h\x01h\x02h\x03\x87R(K\x01")?;
            write_int(out, *height)?;
            write_int(out, *width)?;
            out.write_all(b"\x86h\x05\x89B")?;
            out.write_all(&((values.len() * 4) as u32).to_le_bytes())?;
            for value in *values {
                out.write_all(&value.to_le_bytes())?;
            }
            out.write_all(b"tb")?;
        }
        out.write_all(b"uatb.")
    })
}

// Checked to fit before.
fn write_int(out: &mut dyn Write, number: usize) -> std::io::Result<()> {
    out.write_all(b"J")?;
    out.write_all(&(number as i32).to_le_bytes())
}
