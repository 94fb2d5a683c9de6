//! What Pillow and torchvision made of generated images: `tests/data/fixtures/transforms/`.

use std::path::Path;

use base64::Engine as _;
use candle_wsss_baselines::data::{Adjustment, Filter};
use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct Expected {
    pub(super) resize: Vec<Resized>,
    #[serde(default)]
    pub(super) jitter: Vec<Adjusted>,
    #[serde(default)]
    pub(super) pipeline: Vec<Piped>,
    #[serde(default)]
    pub(super) files: Vec<ImageFile>,
}

/// An image file, and its pixels as Pillow reads it.
#[derive(Deserialize)]
pub(super) struct ImageFile {
    pub(super) file: String,
    pub(super) size: [u32; 2],
    data: String,
    rgb: String,
}

impl ImageFile {
    pub(super) fn data(&self) -> Vec<u8> {
        decoded(&self.data)
    }

    pub(super) fn rgb(&self) -> Vec<u8> {
        decoded(&self.rgb)
    }
}

fn decoded(text: &str) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

#[derive(Deserialize)]
pub(super) struct Resized {
    pub(super) from: [usize; 2],
    pub(super) to: [usize; 2],
    pub(super) channels: usize,
    pub(super) filter: Filter,
    #[serde(flatten)]
    pub(super) result: Bytes,
}

#[derive(Deserialize)]
pub(super) struct Adjusted {
    pub(super) size: [usize; 2],
    steps: Vec<(String, f64)>,
    #[serde(flatten)]
    pub(super) result: Bytes,
}

#[derive(Deserialize)]
pub(super) struct Piped {
    pub(super) size: [usize; 2],
    pub(super) resized: [usize; 2],
    pub(super) flip: bool,
    steps: Vec<(String, f64)>,
    pub(super) crop: usize,
    pub(super) left: i64,
    pub(super) top: i64,
    pub(super) image: Bytes,
    pub(super) saliency: Bytes,
}

impl Expected {
    pub(super) fn of(version: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/fixtures/transforms");
        let text = std::fs::read_to_string(folder.join(format!("pillow_{version}.json"))).unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

impl Adjusted {
    pub(super) fn adjustments(&self) -> Vec<Adjustment> {
        adjustments(&self.steps)
    }
}

impl Piped {
    pub(super) fn adjustments(&self) -> Vec<Adjustment> {
        adjustments(&self.steps)
    }
}

fn adjustments(steps: &[(String, f64)]) -> Vec<Adjustment> {
    let adjustment = |(name, value): &(String, f64)| match name.as_str() {
        "brightness" => Adjustment::Brightness(*value),
        "contrast" => Adjustment::Contrast(*value),
        "saturation" => Adjustment::Saturation(*value),
        "hue" => Adjustment::Hue(*value),
        other => panic!("unknown step {other}"),
    };
    steps.iter().map(adjustment).collect()
}

/// Bytes of an array, whole or as checksums of 16 bands of its rows.
#[derive(Deserialize)]
pub(super) struct Bytes {
    crc32c: u32,
    bytes: Option<String>,
    bands: Option<Vec<u32>>,
}

impl Bytes {
    /// Fails with the place of the first difference.
    pub(super) fn assert_equal(&self, got: &[u8], rows: usize, what: &str) {
        if let Some(bytes) = &self.bytes {
            let bytes = decoded(bytes);
            assert_eq!(got.len(), bytes.len(), "{what}: length");
            if let Some(at) = (0..got.len()).find(|at| got[*at] != bytes[*at]) {
                let count = got.iter().zip(&bytes).filter(|(got, expected)| got != expected).count();
                panic!("{what}: {count} bytes differ, first byte {at}: {} for {}", got[at], bytes[at]);
            }
        } else {
            let bands = self.bands.as_ref().unwrap();
            let row_len = got.len() / rows;
            for (band, expected) in bands.iter().enumerate() {
                let (from, to) = (rows * band / bands.len(), rows * (band + 1) / bands.len());
                let found = crc32c::crc32c(&got[from * row_len..to * row_len]);
                assert_eq!(found, *expected, "{what}: rows {from} to {to} differ");
            }
        }
        assert_eq!(crc32c::crc32c(got), self.crc32c, "{what}");
    }
}

/// Noise whose darkest and brightest sixth are black and white, every third pixel gray: as in `make.py`.
pub(super) fn picture([width, height]: [usize; 2], channels: usize) -> Vec<u8> {
    let noise = |i: usize| {
        let noise = (((i as u64 * 2_654_435_761) % (1 << 32)) >> 15) % 256;
        (((noise as i64 - 128) * 3).div_euclid(2) + 128).clamp(0, 255) as u8
    };
    let mut pixels: Vec<u8> = (0..width * height * channels).map(noise).collect();
    for pixel in pixels.chunks_exact_mut(channels).step_by(3) {
        let level = pixel[0];
        pixel.fill(level);
    }
    pixels
}
