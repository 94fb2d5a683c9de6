//! TensorBoard's event files: scalars and pictures over steps.
//!
//! Written here by hand: the crates there are do not live any more, and it is four fields of a protocol buffer in
//! records with a checksum (the checksum is `crc32c`'s).

use crate::report::picture::Picture;

/// What TensorBoard looks for in the first record.
const VERSION: &[u8] = b"brain.Event:2";
/// Added to a rotated checksum: sums of data that holds sums are weak otherwise.
const MASK: u32 = 0xa282_ead8;
/// Colour space of pictures: red, green, blue.
const RGB: u64 = 3;

// Numbers of the fields of `Event`, `Summary`, `Summary.Value` and `Summary.Image`.
const EVENT_TIME: u64 = 1;
const EVENT_STEP: u64 = 2;
const EVENT_VERSION: u64 = 3;
const EVENT_SUMMARY: u64 = 5;
const SUMMARY_VALUE: u64 = 1;
const VALUE_TAG: u64 = 1;
const VALUE_SCALAR: u64 = 2;
const VALUE_IMAGE: u64 = 4;
const IMAGE_HEIGHT: u64 = 1;
const IMAGE_WIDTH: u64 = 2;
const IMAGE_COLORS: u64 = 3;
const IMAGE_FILE: u64 = 4;

/// An event file as it grows in memory. The same calls give the same bytes: the time of an event is its step, in
/// seconds, and not the clock's.
///
/// ```
/// use candle_wsss_baselines::report::EventFile;
///
/// let mut events = EventFile::new();
/// events.scalars(0, [("total", 1.5), ("learning_rate", 0.01)]);
/// assert_eq!(events.bytes().len(), 107);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventFile {
    bytes: Vec<u8>,
}

impl Default for EventFile {
    fn default() -> Self {
        Self::new()
    }
}

impl EventFile {
    /// A file without events: its version only.
    pub fn new() -> Self {
        let mut file = Self { bytes: Vec::new() };
        let mut event = event(0);
        bytes_field(&mut event, EVENT_VERSION, VERSION);
        file.record(&event);
        file
    }

    /// Adds values of a step, by tag; those that are no numbers are left out.
    pub fn scalars<'a>(&mut self, step: usize, values: impl IntoIterator<Item = (&'a str, f64)>) {
        let mut summary = Vec::new();
        for (tag, scalar) in values.into_iter().filter(|(_, scalar)| scalar.is_finite()) {
            let mut value = Vec::new();
            bytes_field(&mut value, VALUE_TAG, tag.as_bytes());
            key(&mut value, VALUE_SCALAR, 5);
            value.extend((scalar as f32).to_le_bytes());
            bytes_field(&mut summary, SUMMARY_VALUE, &value);
        }
        self.summary(step, &summary);
    }

    /// Adds a picture of a step.
    pub fn picture(&mut self, step: usize, tag: &str, picture: &Picture) {
        let mut image = Vec::new();
        number_field(&mut image, IMAGE_HEIGHT, u64::from(picture.height()));
        number_field(&mut image, IMAGE_WIDTH, u64::from(picture.width()));
        number_field(&mut image, IMAGE_COLORS, RGB);
        bytes_field(&mut image, IMAGE_FILE, picture.bytes());
        let (mut value, mut summary) = (Vec::new(), Vec::new());
        bytes_field(&mut value, VALUE_TAG, tag.as_bytes());
        bytes_field(&mut value, VALUE_IMAGE, &image);
        bytes_field(&mut summary, SUMMARY_VALUE, &value);
        self.summary(step, &summary);
    }

    /// The file so far.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn summary(&mut self, step: usize, summary: &[u8]) {
        if !summary.is_empty() {
            let mut event = event(step);
            bytes_field(&mut event, EVENT_SUMMARY, summary);
            self.record(&event);
        }
    }

    // Length, its checksum, data, its checksum; all little endian.
    fn record(&mut self, data: &[u8]) {
        let length = (data.len() as u64).to_le_bytes();
        self.bytes.extend(length);
        self.bytes.extend(checksum(&length).to_le_bytes());
        self.bytes.extend(data);
        self.bytes.extend(checksum(data).to_le_bytes());
    }
}

fn checksum(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(MASK)
}

fn event(step: usize) -> Vec<u8> {
    let mut event = Vec::new();
    key(&mut event, EVENT_TIME, 1);
    event.extend((step as f64).to_le_bytes());
    number_field(&mut event, EVENT_STEP, step as u64);
    event
}

fn number_field(out: &mut Vec<u8>, field: u64, value: u64) {
    key(out, field, 0);
    varint(out, value);
}

fn bytes_field(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    key(out, field, 2);
    varint(out, bytes.len() as u64);
    out.extend(bytes);
}

// Wire types: 0 variable length, 1 eight bytes, 2 counted bytes, 5 four bytes.
fn key(out: &mut Vec<u8>, field: u64, wire_type: u64) {
    varint(out, field << 3 | wire_type);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
