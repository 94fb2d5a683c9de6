//! `cls_labels.npy`: a pickled dictionary from image names to vectors of 0 and 1. And the other direction for activation
//! maps, which further stages of SEAM, PSA and IRN take as such a dictionary.
//!
//! candle reads `.npy` files of numbers, not of objects. The header is a dozen lines; the rest is [`crate::pickle`].

use std::collections::BTreeMap;
use std::path::Path;

use crate::data::MAX_CLASSES;
use crate::data::label_table::LabelTable;
use crate::error::{Error, Result};
use crate::pickle::{ArrayData, Cursor, Number, Pickle};

mod write;

pub use write::write_npy_maps;

const MAGIC: &[u8] = b"\x93NUMPY";

/// Reads a `cls_labels.npy` as SEAM, EPS and their kin have it: NumPy's file of one pickled dictionary, its keys image
/// names or VOC's names as integers (`2007_000032` is 2007000032), its values vectors of 0 and 1.
///
/// Files of NumPy 1 and 2 and of Python 2 and 3 are read, whatever the type and byte order of the vectors. Other integers
/// as keys stay the digits they are.
///
/// # Errors
/// When the file is missing, damaged, or holds anything else. Nothing in it is executed.
///
/// ```
/// use candle_wsss_baselines::data::{read_npy_labels, write_npy_maps};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("cls_labels.npy");
/// write_npy_maps(&path, &[(3, 1, 2, &[0.0, 1.0])])?;
/// let err = read_npy_labels(&path).unwrap_err().to_string();
/// assert!(err.ends_with("labels of `3`: expected a vector of 0 and 1, got an array of shape [1, 2]"), "{err}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_npy_labels(path: &Path) -> Result<LabelTable> {
    let bytes = std::fs::read(path).map_err(Error::input(path, "image-level labels"))?;
    parse(&bytes).map_err(|reason| Error::data(path, reason))
}

fn parse(bytes: &[u8]) -> Result<LabelTable, String> {
    let mut cursor = Cursor::new(bytes);
    let header = header(&mut cursor)?;
    let kind = literal(header, "descr").unwrap_or_default();
    let kind = kind.trim_matches(['\'', '"']);
    if !matches!(kind, "O" | "|O" | "O8" | "|O8") {
        return Err(format!("expected NumPy's file of one pickled dictionary, got an array of `{kind}`"));
    }
    labels(&Pickle::read(&bytes[cursor.position()..])?)
}

// The text of the header; the cursor is where the data begins.
fn header<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, String> {
    let no_npy = |_| "no .npy file: it does not begin as NumPy's do".to_string();
    if cursor.take(MAGIC.len() as u64).map_err(no_npy)? != MAGIC {
        return Err(no_npy(String::new()));
    }
    let [major, _minor] = cursor.array()?;
    let len = match major {
        1 => u16::from_le_bytes(cursor.array()?).into(),
        2 | 3 => cursor.u32()?,
        _ => return Err(format!("a .npy file of version {major}, of which 1 to 3 are read")),
    };
    std::str::from_utf8(cursor.take(len.into())?).map_err(|_| "damaged: the header is no text".to_string())
}

// What stands behind a key of the header's dictionary.
fn literal<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = header.split_once(&format!("'{key}':"))?;
    rest.split([',', '}']).next().map(str::trim)
}

fn labels(pickle: &Pickle<'_>) -> Result<LabelTable, String> {
    let unlike = |id| {
        pickle
            .refusal(id)
            .unwrap_or_else(|| format!("expected a dictionary from image names, got {}", pickle.describe(id)))
    };
    let root = pickle.root();
    let dictionary = match pickle.array(root, 1)?.map(|array| array.data) {
        Some(ArrayData::Objects(&[only])) => only,
        _ => root,
    };
    let items = pickle.items(dictionary).ok_or_else(|| unlike(dictionary))?;
    let mut table = LabelTable { class_names: None, num_classes: 0, labels: BTreeMap::new() };
    let mut first: Option<(String, usize)> = None;
    for (key, value) in items {
        let name = match pickle.scalar(key)? {
            Some(ArrayData::Texts(texts)) => texts.concat(),
            Some(ArrayData::Numbers(numbers)) if matches!(numbers[..], [Number::Int(_)]) => image_name(numbers[0]),
            _ => return Err(format!("expected image names as keys, got {}", pickle.describe(key))),
        };
        let within = |reason: String| format!("labels of `{name}`: {reason}");
        let Some(array) = pickle.array(value, MAX_CLASSES).map_err(within)? else {
            return Err(within(
                pickle
                    .refusal(value)
                    .unwrap_or_else(|| format!("expected a vector of 0 and 1, got {}", pickle.describe(value))),
            ));
        };
        let (&[len], ArrayData::Numbers(numbers)) = (&array.shape[..], array.data) else {
            return Err(within(format!("expected a vector of 0 and 1, got an array of shape {:?}", array.shape)));
        };
        let (other, num_classes) = first.get_or_insert_with(|| (name.clone(), len));
        if len != *num_classes {
            return Err(within(format!("expected {num_classes} classes as `{other}` has, got {len}")));
        }
        let present = present(&numbers).map_err(within)?;
        table.labels.insert(name, present);
    }
    table.num_classes = first.map_or(0, |(_, num_classes)| num_classes);
    if table.num_classes == 0 {
        return Err("a dictionary without labels".to_string());
    }
    Ok(table)
}

fn present(numbers: &[Number]) -> Result<Vec<usize>, String> {
    let mut found = Vec::new();
    for (class, number) in numbers.iter().enumerate() {
        match number {
            Number::Int(0) | Number::Float(0.0) => {}
            Number::Int(1) | Number::Float(1.0) => found.push(class),
            Number::Int(other) => return Err(format!("expected 0 or 1 for class {class}, got {other}")),
            Number::Float(other) => return Err(format!("expected 0 or 1 for class {class}, got {other}")),
        }
    }
    Ok(found)
}

// SEAM and PSA write VOC's names without their underscore, as a number: year and six digits.
fn image_name(number: Number) -> String {
    let Number::Int(number) = number else { return String::new() };
    let digits = number.to_string();
    match digits.split_at_checked(YEAR_DIGITS) {
        Some((year, rest)) if rest.len() == SERIAL_DIGITS && (1900..2100).contains(&year.parse().unwrap_or(0)) => {
            format!("{year}_{rest}")
        }
        _ => digits,
    }
}

const YEAR_DIGITS: usize = 4;
const SERIAL_DIGITS: usize = 6;
