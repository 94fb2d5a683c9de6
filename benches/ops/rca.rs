//! RCA's operations and steps.

use std::hint::black_box;

use candle_core::{DType, Device, Tensor, Var};
use candle_wsss::ops::{self, MemoryContrastSpec};
use candle_wsss::regularizer::rca::{RcaConfig, Regions, region_contrast, update_memory};
use candle_wsss::{ClassLayout, ClassQueue, ImageLabels, Result, SeededSampler};

use crate::{Case, Work, backward, both_ways, random, variable};

/// Sizes RCA is used at: slots of a class, maps and batch are those of the released code.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    name: &'static str,
    foreground: usize,
    // Labels of the images, in turns.
    labels: [usize; 2],
}

impl Size {
    pub(crate) const VOC: Self = Self { name: "VOC", foreground: 20, labels: [1, 2] };
    pub(crate) const COCO: Self = Self { name: "COCO", foreground: 80, labels: [3, 3] };
}

// Regions, contrast and update of the memory: maps of 46x46 with 512 channels, 500 slots a class.
pub(crate) fn cases(size: Size) -> Result<Vec<Case<'static>>> {
    const BATCH: usize = 8;
    let (classes, dim, side) = (size.foreground, 512, 46);
    let config = RcaConfig::default();
    let layout = ClassLayout::new(classes)?;
    let of_image = |image: usize| (0..size.labels[image % 2]).map(|label| (3 * image + 7 * label) % classes).collect();
    let present: Vec<Vec<usize>> = (0..BATCH).map(of_image).collect();
    let pairs: Vec<(usize, usize)> =
        present.iter().enumerate().flat_map(|(image, of)| of.iter().map(move |class| (image, *class))).collect();
    let labels = ImageLabels::new(present, layout, DType::F32, &Device::Cpu)?;
    let embeddings = variable(&[BATCH, dim, side, side])?;
    let coarse = random(&[BATCH, classes, side, side])?;
    let regions = Regions::new(&coarse, &labels)?;
    let shape = [classes, config.memory_length, dim];
    let queue = ClassQueue::normal(shape, DType::F32, &Device::Cpu, &mut SeededSampler::new(0))?;
    let probabilities = Tensor::ones((BATCH, classes), DType::F32, &Device::Cpu)?;
    let case = |what: &str, ours| Case { name: format!("rca, {}: {what}", size.name), ours, candle: None };
    let mut cases = operations(size, &regions, &embeddings, &queue, &config, &pairs)?;
    cases.push({
        let (coarse, labels) = (coarse.clone(), labels.clone());
        case("regions", Box::new(move || Regions::new(&coarse, &labels).map(|regions| drop(black_box(regions)))))
    });
    cases.push({
        let (embeddings, labels, queue, config) = (embeddings.clone(), labels.clone(), queue.clone(), config.clone());
        let work: Work<'_> = Box::new(move || {
            let regions = Regions::new(&coarse, &labels)?;
            let draws = SeededSampler::new(0);
            let contrast = region_contrast(embeddings.as_tensor(), &regions, &labels, &queue, &config, &draws)?;
            contrast.map_or(Ok(()), |contrast| backward(&contrast.value))
        });
        case("regions, contrast, and gradient", work)
    });
    let update: Work<'_> = Box::new(move || {
        let features = embeddings.as_detached_tensor();
        update_memory(&features, &regions, &probabilities, &labels, &queue, &config).map(|queue| drop(black_box(queue)))
    });
    cases.push(case("memory update", update));
    Ok(cases)
}

// Beside the same out of candle's operations.
fn operations(
    size: Size,
    regions: &Regions,
    embeddings: &Var,
    queue: &ClassQueue,
    config: &RcaConfig,
    pairs: &[(usize, usize)],
) -> Result<Vec<Case<'static>>> {
    let spec = MemoryContrastSpec { temperature: config.temperature, clamp_min: config.clamp_min };
    let classes: Vec<[usize; 2]> =
        pairs.iter().enumerate().map(|(i, (_, class))| [*class, pairs[i * 5 % pairs.len()].1]).collect();
    let queries = variable(&[pairs.len(), queue.slots().dim(2)?])?;
    let composed = {
        let (queries, queue, classes) = (queries.clone(), queue.clone(), classes.clone());
        move || ops::memory_contrast_composed(queries.as_tensor(), queue.slots(), queue.filled(), &classes, &spec)
    };
    let queue = queue.clone();
    let ours = move || ops::memory_contrast(queries.as_tensor(), queue.slots(), queue.filled(), &classes, &spec);
    let name = format!("rca, {}: memory_contrast, {} queries", size.name, pairs.len());
    let mut cases = Vec::from(both_ways(&name, ours, Some(composed)));
    let (images, counts): (Vec<usize>, Vec<f64>) =
        pairs.iter().map(|(image, class)| (*image, regions.count(*image, *class))).unzip();
    let (_, foreground, pixels) = regions.masks().dims3()?;
    let rows: Vec<u32> = pairs.iter().map(|(image, class)| (image * foreground + class) as u32).collect();
    let rows = Tensor::from_vec(rows, pairs.len(), &Device::Cpu)?;
    let masks = regions.masks().reshape(((), pixels))?.index_select(&rows, 0)?;
    let masks = masks.reshape((pairs.len(), embeddings.dim(2)?, embeddings.dim(3)?))?;
    let counts = Tensor::from_vec(counts, pairs.len(), &Device::Cpu)?;
    let composed = {
        let (map, masks, images, counts) = (embeddings.clone(), masks.clone(), images.clone(), counts.clone());
        move || ops::region_mean_composed(map.as_tensor(), &masks, &images, &counts)
    };
    let map = embeddings.clone();
    let ours = move || ops::region_mean(map.as_tensor(), &masks, &images, &counts);
    let name = format!("rca, {}: region_mean, {} regions", size.name, pairs.len());
    cases.extend(both_ways(&name, ours, Some(composed)));
    Ok(cases)
}
