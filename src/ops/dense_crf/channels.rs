//! What a pixel chooses between: labels that nothing can tell apart share one channel.

use candle_core::{DType, Device, Tensor, WithDType};

use crate::error::{Error, Result};

/// The score of a channel that only fills a row up: never wins, and its belief is 0.
const FILLER_SCORE: f64 = -1e30;

/// Pixels turned from maps into rows at a time: as many as a cache holds.
const BLOCK: usize = 64;

/// Numbers scores are kept in.
pub(super) trait Score: WithDType + PartialEq {
    /// Values a pixel has room for when it needs `count`.
    fn stride(count: usize) -> usize;

    /// Natural logarithm of the value brought into `[floor, 1]`; of `floor` for what is no number.
    fn ln_within(self, floor: Self) -> Self;
}

impl Score for f64 {
    fn stride(count: usize) -> usize {
        count
    }

    fn ln_within(self, floor: Self) -> Self {
        self.max(floor).min(1.0).ln()
    }
}

impl Score for f32 {
    fn stride(count: usize) -> usize {
        super::lattice::padded(count)
    }

    fn ln_within(self, floor: Self) -> Self {
        self.max(floor).min(1.0).ln()
    }
}

/// Labels that share a unary in every pixel keep one belief in every iteration, so one channel stands for all of them.
pub(super) struct Channels<T> {
    /// How many labels each channel stands for; 0 for a filler.
    pub(super) multiplicity: Vec<T>,
    /// `-U`, pixel-major, `stride` values a pixel.
    pub(super) scores: Vec<T>,
    /// Values of a pixel.
    pub(super) stride: usize,
    // Channel of every label.
    of_label: Vec<usize>,
    // Lowest label of every channel.
    lowest: Vec<u32>,
}

impl<T: Score> Channels<T> {
    /// Soft unaries of `(labels, h, w)` class probabilities.
    pub(super) fn soft(probabilities: &Tensor, floor: f64) -> Result<Self> {
        let count = probabilities.dim(0)?;
        if count == 0 {
            return Err(Error::value("crf probabilities", "at least 1 label is needed, there are 0"));
        }
        let values = probabilities.to_dtype(T::DTYPE)?.flatten_all()?.to_vec1::<T>()?;
        let pixels = values.len() / count;
        let maps: Vec<&[T]> = (0..count).map(|label| &values[label * pixels..][..pixels]).collect();
        let mut own: Vec<usize> = Vec::new();
        let mut of_label = Vec::with_capacity(count);
        for (label, map) in maps.iter().enumerate() {
            // Absent classes have equal maps; others differ after a few pixels, so this costs nothing.
            let equal = own.iter().position(|&other| maps[other] == *map);
            of_label.push(equal.unwrap_or(own.len()));
            if equal.is_none() {
                own.push(label);
            }
        }
        let mut channels = Self::unfilled(of_label, own.iter().map(|label| *label as u32).collect(), pixels);
        let (stride, floor) = (channels.stride, T::from_f64(floor));
        for (block, rows) in channels.scores.chunks_mut(BLOCK * stride).enumerate() {
            for (channel, &label) in own.iter().enumerate() {
                for (row, &p) in rows.chunks_exact_mut(stride).zip(&maps[label][block * BLOCK..]) {
                    row[channel] = p.ln_within(floor);
                }
            }
        }
        Ok(channels)
    }

    /// Unaries of hard labels, right with probability `gt_prob`.
    pub(super) fn hard(labels: &[u32], num_labels: usize, gt_prob: f64) -> Result<Self> {
        if num_labels < 2 {
            return Err(Error::value("crf labels", format!("at least 2 labels are needed, there are {num_labels}")));
        }
        let mut occurs = vec![false; num_labels];
        for &label in labels {
            let seen = occurs.get_mut(label as usize);
            *seen.ok_or_else(|| Error::value("crf labels", format!("must be below {num_labels}, one is {label}")))? =
                true;
        }
        let mut lowest: Vec<u32> = (0..num_labels).filter(|l| occurs[*l]).map(|l| l as u32).collect();
        let mut of_label = vec![lowest.len(); num_labels];
        for (channel, &label) in lowest.iter().enumerate() {
            of_label[label as usize] = channel;
        }
        lowest.extend(occurs.iter().position(|occurs| !occurs).map(|label| label as u32));
        let mut channels = Self::unfilled(of_label, lowest, labels.len());
        let (given, other) = (gt_prob.ln(), ((1.0 - gt_prob) / (num_labels - 1) as f64).ln());
        let count = channels.lowest.len();
        for (row, &label) in channels.scores.chunks_exact_mut(channels.stride).zip(labels) {
            row[..count].fill(T::from_f64(other));
            row[channels.of_label[label as usize]] = T::from_f64(given);
        }
        Ok(channels)
    }

    fn unfilled(of_label: Vec<usize>, lowest: Vec<u32>, pixels: usize) -> Self {
        let stride = T::stride(lowest.len());
        let mut many = vec![0usize; stride];
        for &channel in &of_label {
            many[channel] += 1;
        }
        Self {
            multiplicity: many.into_iter().map(|many| T::from_f64(many as f64)).collect(),
            scores: vec![T::from_f64(FILLER_SCORE); pixels * stride],
            stride,
            of_label,
            lowest,
        }
    }

    /// What beliefs in channels say about labels.
    pub(super) fn read(self, beliefs: Beliefs) -> Posterior {
        Posterior { beliefs, of_label: self.of_label, lowest: self.lowest }
    }
}

/// Beliefs in *one* label of each channel, pixel-major, `stride` values a pixel.
pub(super) struct Beliefs {
    pub(super) values: Vec<f32>,
    pub(super) stride: usize,
}

/// Beliefs in labels.
pub(super) struct Posterior {
    beliefs: Beliefs,
    of_label: Vec<usize>,
    lowest: Vec<u32>,
}

impl Posterior {
    /// As a map `(labels, h, w)`, float32, on the host.
    pub(super) fn map(&self, (height, width): (usize, usize)) -> Result<Tensor> {
        if self.beliefs.values.is_empty() {
            return Ok(Tensor::zeros((self.of_label.len(), height, width), DType::F32, &Device::Cpu)?);
        }
        let rows = self.beliefs.values.chunks_exact(self.beliefs.stride);
        let values: Vec<f32> =
            self.of_label.iter().flat_map(|&channel| rows.clone().map(move |row| row[channel])).collect();
        Ok(Tensor::from_vec(values, (self.of_label.len(), height, width), &Device::Cpu)?)
    }

    /// The label of the largest belief of every pixel, the lowest of several.
    pub(super) fn winners(&self) -> Vec<u32> {
        let rows = self.beliefs.values.chunks_exact(self.beliefs.stride);
        rows.map(|row| {
            let mut best = (f32::NEG_INFINITY, u32::MAX);
            for (&belief, &label) in row.iter().zip(&self.lowest) {
                if belief > best.0 || (belief == best.0 && label < best.1) {
                    best = (belief, label);
                }
            }
            best.1
        })
        .collect()
    }
}
