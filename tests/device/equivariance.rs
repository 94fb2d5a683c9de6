//! `ops::equivariance`.

use candle_core::{DType, Device, Tensor};
use candle_wsss::ops::{ComparedMaps, EquivarianceOptions, OneHotChannels, equivariance};
use candle_wsss::{ClassLayout, ImageLabels, Pair, Result};

use super::support::{TYPES, compare, normal};

type Size = (usize, usize);
/// Sizes of the maps and of the images of both views, and the classes of every image.
type Case = ([Size; 2], [Size; 2], &'static [&'static [usize]]);

fn labels(present: &[&[usize]], foreground: usize) -> Result<ImageLabels> {
    let present = present.iter().map(|classes| classes.to_vec()).collect();
    ImageLabels::new(present, ClassLayout::new(foreground)?, DType::F32, &Device::Cpu)
}

fn terms(
    x: &[Tensor],
    sizes: [Size; 2],
    labels: &ImageLabels,
    channels: OneHotChannels,
    fraction: f64,
) -> Result<Tensor> {
    let [source, target] = sizes;
    let maps = Pair::new(
        ComparedMaps { cam: &x[0], refined: &x[1], size: source },
        ComparedMaps { cam: &x[2], refined: &x[3], size: target },
    );
    let on_device = ImageLabels::new(
        (0..labels.len()).map(|image| labels.of_image(image).to_vec()).collect(),
        labels.layout(),
        DType::F32,
        x[0].device(),
    )?;
    let options = EquivarianceOptions { one_hot_channels: channels, ecr_fraction: fraction, epsilon: 1e-5 };
    let terms = equivariance(maps, &on_device, &options)?;
    let ecr = terms.ecr.map_or_else(|| terms.er.zeros_like(), Ok)?;
    Ok(Tensor::stack(&[terms.er, ecr], 0)?)
}

fn inputs(images: usize, foreground: usize, maps: [Size; 2], dtype: DType) -> Result<Vec<Tensor>> {
    let [source, target] = maps;
    let map = |(name, (h, w)): (&str, Size)| normal(name, &[images, foreground + 1, h, w], dtype);
    [("a", source), ("p", source), ("b", target), ("q", target)].into_iter().map(map).collect()
}

#[test]
fn equivariance_on_devices() -> Result<()> {
    let cases: [Case; 5] = [
        ([(6, 6), (4, 4)], [(24, 24), (16, 16)], &[&[0, 2], &[1]]),
        ([(5, 7), (3, 4)], [(19, 26), (6, 9)], &[&[0, 1, 2], &[], &[2]]),
        ([(4, 3), (6, 5)], [(9, 8), (17, 15)], &[&[1, 2]]),
        ([(7, 6), (7, 6)], [(7, 6), (7, 6)], &[&[0], &[1, 2]]),
        ([(1, 5), (4, 1)], [(3, 9), (5, 9)], &[&[]]),
    ];
    for (maps, sizes, present) in cases {
        let labels = labels(present, 3)?;
        for dtype in TYPES {
            let x = inputs(present.len(), 3, maps, dtype)?;
            for (channels, fraction) in [(OneHotChannels::Foreground, 0.1), (OneHotChannels::SkipFirst, 0.3)] {
                let what = format!("equivariance {maps:?} to {sizes:?} {dtype:?} {channels:?}");
                compare(&what, &x, |x| terms(x, sizes, &labels, channels, fraction))?;
            }
        }
    }
    Ok(())
}

#[test]
fn ties_on_devices() -> Result<()> {
    let labels = labels(&[&[0, 2], &[0, 1, 2], &[1]], 3)?;
    let sizes = [(6, 5), (6, 5)];
    let levels = inputs(3, 3, sizes, DType::F64)?;
    let levels = levels.iter().map(|x| (x * 1.5)?.round()).collect::<candle_core::Result<Vec<Tensor>>>()?;
    let ones = levels.iter().map(Tensor::ones_like).collect::<candle_core::Result<Vec<Tensor>>>()?;
    for (what, x) in [("levels", levels), ("ones", ones)] {
        for dtype in [DType::F32, DType::F64] {
            let x = x.iter().map(|x| x.to_dtype(dtype)).collect::<candle_core::Result<Vec<Tensor>>>()?;
            for fraction in [0.01, 0.17, 0.6] {
                let run = |x: &[Tensor]| terms(x, sizes, &labels, OneHotChannels::Foreground, fraction);
                compare(&format!("equivariance of {what} {dtype:?}"), &x, run)?;
                // Enlarged, constants stay constants up to rounding, which must be the same rounding.
                let run = |x: &[Tensor]| terms(x, [(17, 13), (11, 7)], &labels, OneHotChannels::SkipFirst, fraction);
                compare(&format!("equivariance of enlarged {what} {dtype:?}"), &x, run)?;
            }
        }
    }
    Ok(())
}

#[test]
fn equivariance_of_a_single_entry_on_devices() -> Result<()> {
    let labels = labels(&[&[0]], 3)?;
    let x = inputs(1, 3, [(1, 1), (1, 1)], DType::F32)?;
    compare("no entry counts", &x, |x| terms(x, [(1, 1), (1, 1)], &labels, OneHotChannels::Foreground, 0.2))?;
    compare("all entries count", &x, |x| terms(x, [(4, 4), (2, 2)], &labels, OneHotChannels::Foreground, 1.0))
}
