//! PPC: all terms of a batch, from projected features and maps of both views.

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use candle_wsss::regularizer::ppc::{
    PixelSampling, PpcConfig, PpcSeeds, PrototypeMining, SemiHardRanks, evaluate, sample_pixels,
};
use candle_wsss::{Pair, SeededSampler};

use crate::inputs::{self, Tensors};
use crate::measure::{Outcome, Step};

const BATCH: usize = 8;
const CHANNELS: usize = 128;
/// Seed of the draws, which the peer is given.
const DRAWS: u64 = 11;

/// One of the sizes.
pub(crate) struct Size {
    foreground: usize,
    grid: usize,
    // Of the maps of both views.
    sides: Pair<usize>,
    ranks: SemiHardRanks,
}

impl Size {
    pub(crate) fn named(name: &str) -> Result<Self> {
        let small = Self {
            foreground: 20,
            grid: 16,
            // Of a crop of 448 and of its view of 128.
            sides: Pair::new(56, 16),
            ranks: SemiHardRanks::default(),
        };
        // The released code for 81 classes: a share of the classes, as the 13 and 3 of 21 are.
        let many = SemiHardRanks { dropped: 9, last_rank: 49 };
        let sides = Pair::new(56, 56);
        Ok(match name {
            "16" => small,
            "56" => Self { grid: 56, sides, ..small },
            "16-81" => Self { foreground: 80, ranks: many, ..small },
            "56-81" => Self { foreground: 80, ranks: many, grid: 56, sides },
            _ => anyhow::bail!("no size {name}"),
        })
    }

    fn config(&self) -> PpcConfig {
        PpcConfig { grid: (self.grid, self.grid), mining: PrototypeMining::SemiHard(self.ranks), ..PpcConfig::seam() }
    }

    /// Features, maps, labels, and the random half of the pixels of each class, drawn as the loss will draw it.
    pub(crate) fn make(&self) -> Result<Tensors> {
        let mut tensors = Tensors::new();
        let counts: Vec<usize> = (0..BATCH).map(|image| 1 + image % 2).collect();
        tensors.insert("label".to_string(), inputs::multi_hot(self.foreground, &counts)?);
        let classes = self.foreground + 1;
        for (view, side) in [(1, self.sides.source), (2, self.sides.target)] {
            let name = format!("features{view}");
            tensors.insert(name.clone(), inputs::normal(&name, &[BATCH, CHANNELS, side, side])?.relu()?);
            let name = format!("cam{view}");
            tensors.insert(name.clone(), inputs::smooth(&name, [BATCH, classes, side, side])?);
        }
        let ranks = [self.ranks.dropped as u32, self.ranks.last_rank as u32];
        tensors.insert("ranks".to_string(), Tensor::new(&ranks, &Device::Cpu)?);
        tensors.insert("grid".to_string(), Tensor::new(&[self.grid as u32], &Device::Cpu)?);
        let random = self.random_halves(&tensors)?;
        tensors.insert("random_half".to_string(), random);
        Ok(tensors)
    }

    // (2, pixels of the batch), ones where a pixel was drawn.
    fn random_halves(&self, tensors: &Tensors) -> Result<Tensor> {
        let config = self.config();
        let PixelSampling::HardHalf { hard_fraction } = config.sampling else {
            anyhow::bail!("the released sampling draws halves");
        };
        let cams = inputs::pair(tensors, "cam")?;
        let seeds = PpcSeeds::new(cams.as_ref(), &inputs::labels(tensors)?, &config)?;
        let halves = seeds.labels.zip(Pair::new("intra/source", "intra/target")).try_map(|(labels, scope)| {
            let labels: Vec<usize> =
                labels.flatten_all()?.to_vec1::<u32>()?.into_iter().map(|class| class as usize).collect();
            let likeness = vec![0.0; labels.len()];
            let sampler = SeededSampler::new(DRAWS);
            let mut drawn = vec![0f32; labels.len()];
            for sample in sample_pixels(&labels, &likeness, Some(hard_fraction), &sampler, scope)? {
                for &position in &sample.chosen[..sample.chosen.len() / 2] {
                    drawn[sample.members[position]] = 1.0;
                }
            }
            Ok::<_, anyhow::Error>(Tensor::from_vec(drawn, labels.len(), &Device::Cpu)?)
        })?;
        Ok(Tensor::stack(&[halves.source, halves.target], 0)?)
    }

    pub(crate) fn prepare(&self, tensors: &Tensors) -> Result<Step> {
        let config = self.config();
        let features = inputs::variables(tensors, "features")?;
        let cams = inputs::pair(tensors, "cam")?;
        let labels = inputs::labels(tensors)?;
        Ok(Box::new(move || {
            let maps = features.as_ref().map(|map| map.as_tensor().clone());
            let objective = evaluate(&maps, cams.as_ref(), &labels, &config, &SeededSampler::new(DRAWS))?;
            let total = objective.terms.total()?.context("no term")?;
            Outcome::backward(total, &[&features.source, &features.target])
        }))
    }
}
