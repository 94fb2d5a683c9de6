//! The exact CRF: labels on a device against those of the host.

use candle_core::{DType, Device, Tensor};
use candle_wsss::ops::{CrfKernel, DenseCrfConfig, refine_label_pair_on_device};
use candle_wsss::seed::Refine;
use candle_wsss::testing::{ThreadOrder, emulated};
use candle_wsss::{Normalization, Pair, Result, Sampler, SeededSampler, View};

const CONFIG: DenseCrfConfig =
    DenseCrfConfig { kernel: CrfKernel::Exact, bilateral_srgb: 20.0, ..DenseCrfConfig::hsc_labels() };

/// Colours that vary slowly, and noise.
fn view(n: usize, h: usize, w: usize, dtype: DType) -> Result<View> {
    let noise = SeededSampler::new(1).normal(n * 3 * h * w)?;
    let values: Vec<f64> = noise.iter().enumerate().map(|(i, noise)| (i as f64 / 17.0).sin() + 0.2 * noise).collect();
    View::new(Tensor::from_vec(values, (n, 3, h, w), &Device::Cpu)?.to_dtype(dtype)?)
}

fn labels(seed: u64, dims: [usize; 3], choices: &[u32]) -> Result<Tensor> {
    let draws = SeededSampler::new(seed).uniform(dims.iter().product())?;
    let labels: Vec<u32> = draws.iter().map(|u| choices[(u * choices.len() as f64) as usize]).collect();
    Ok(Tensor::from_vec(labels, &dims, &Device::Cpu)?)
}

fn flat(labels: &Pair<Tensor>) -> Result<[Vec<u32>; 2]> {
    let [source, target] = [&labels.source, &labels.target].map(|labels| labels.flatten_all()?.to_vec1::<u32>());
    Ok([source?, target?])
}

fn compare(view: &View, labels: &Pair<Tensor>, num_labels: usize, config: DenseCrfConfig) -> Result<()> {
    let refine = || Refine::DenseCrf(config).apply(labels, view, num_labels);
    let host = flat(&refine()?)?;
    for order in ThreadOrder::ALL {
        assert!(flat(&emulated(order, refine)?)? == host, "{order:?}, {num_labels} labels");
    }
    if let Some(device) = super::support::gpu() {
        let there = labels.as_ref().try_map(|labels| labels.to_device(&device))?;
        let image = view.image().to_device(&device)?;
        let refined = Refine::DenseCrf(config).apply(&there, &View::new(image)?, num_labels)?;
        assert!(refined.source.device().is_cuda());
        assert!(flat(&refined.try_map(|labels| labels.to_device(&Device::Cpu))?)? == host, "CUDA, {num_labels} labels");
    }
    Ok(())
}

#[test]
fn refined_labels_on_devices() -> Result<()> {
    // A view with one label, with few, with all of them; more pixels than a warp, more threads than pixels.
    for (num_labels, [h, w]) in [(2, [4, 3]), (5, [9, 7]), (21, [16, 16])] {
        let all: Vec<u32> = (0..num_labels as u32).collect();
        let few = [all[0], all[num_labels / 2], all[num_labels - 1]];
        for dtype in [DType::F32, DType::F64] {
            let pair = Pair::new(labels(2, [2, h, w], &few)?, labels(3, [2, h, w], &few[2..])?);
            compare(&view(2, h, w, dtype)?, &pair, num_labels, CONFIG)?;
        }
        let pair = Pair::new(labels(4, [1, h, w], &all)?, labels(5, [1, h, w], &few[..2])?);
        compare(&view(1, h, w, DType::F32)?, &pair, num_labels, DenseCrfConfig { iterations: 3, ..CONFIG })?;
    }
    Ok(())
}

#[test]
fn more_labels_than_shared_memory_has_room_for() -> Result<()> {
    let all: Vec<u32> = (0..90).collect();
    let pair = Pair::new(labels(6, [1, 15, 20], &all)?, labels(7, [1, 15, 20], &all)?);
    compare(&view(1, 15, 20, DType::F32)?, &pair, 90, DenseCrfConfig { iterations: 1, ..CONFIG })
}

#[test]
fn an_unlikely_given_label_loses_on_devices_too() -> Result<()> {
    let pair = Pair::new(labels(8, [1, 2, 2], &[0])?, labels(8, [1, 2, 2], &[2])?);
    compare(&view(1, 2, 2, DType::F32)?, &pair, 4, DenseCrfConfig { gt_prob: 0.05, iterations: 0, ..CONFIG })
}

#[test]
fn what_is_up_to_the_host() -> Result<()> {
    let (view, pair) =
        (view(1, 2, 2, DType::F32)?, Pair::new(labels(8, [1, 2, 2], &[0])?, labels(8, [1, 2, 2], &[1])?));
    let refine = |config: &DenseCrfConfig, num_labels: usize| {
        refine_label_pair_on_device(view.image(), Normalization::IMAGENET, &pair, num_labels, config)
    };
    assert!(refine(&CONFIG, 2)?.is_none(), "a tensor of the host");
    let lattice = DenseCrfConfig { kernel: CrfKernel::Lattice, ..CONFIG };
    assert!(emulated(ThreadOrder::Forward, || refine(&lattice, 2))?.is_none(), "the lattice");
    assert!(emulated(ThreadOrder::Forward, || refine(&CONFIG, 1)).is_err(), "one label");
    Ok(())
}
