//! The contrast: its definition written out, gradients, closed forms, degenerate batches.

use candle_core::{DType, Device, Tensor, Var};
use candle_wsss::regularizer::rca::{ImageReduction, MixUp, RcaConfig, RegionContrast, Regions, region_contrast};
use candle_wsss::testing::{gradient_error, randn};
use candle_wsss::{ClassQueue, ReplaySampler, SeededSampler};

use super::inputs::{
    DIM, FOREGROUND, Inputs, LENGTH, assert_all_near, assert_near, cosine, count, full, labels, numbers, pixels,
    pooled, region,
};

const PRESENT: &[&[usize]] = &[&[0, 2], &[2, 3, 1], &[0]];

fn value(contrast: &RegionContrast) -> f64 {
    contrast.value.to_scalar().unwrap()
}

// `X(z, k)`, row by row.
fn naive_loss(embedding: &[f64], class: usize, queue: &ClassQueue, config: &RcaConfig) -> f64 {
    let slots: Vec<Vec<Vec<f64>>> = queue.slots().to_vec3().unwrap();
    let logits: Vec<Vec<f64>> = slots
        .iter()
        .zip(queue.filled())
        .map(|(slots, filled)| {
            slots.iter().take(*filled as usize).map(|slot| cosine(embedding, slot) / config.temperature).collect()
        })
        .collect();
    let top = logits.iter().flatten().fold(f64::NEG_INFINITY, |top, logit| top.max(*logit));
    let mut losses = Vec::new();
    for positive in &logits[class] {
        let mut sum = (positive - top).exp();
        for (_, rows) in logits.iter().enumerate().filter(|(other, _)| *other != class) {
            sum += rows.iter().map(|negative| (negative - top).exp()).sum::<f64>();
        }
        losses.push(sum.max(config.clamp_min).ln() - (positive - top));
    }
    losses.iter().sum::<f64>() / losses.len() as f64
}

fn naive_value(inputs: &Inputs, got: &RegionContrast, config: &RcaConfig) -> f64 {
    let embedding = |(image, class): (usize, usize)| {
        let inside = region(&inputs.coarse, image, class);
        pooled(&pixels(&inputs.embeddings, image), &inside, count(&inside))
    };
    let mut of_images = Vec::new();
    for image in 0..inputs.labels.len() {
        let mut losses = Vec::new();
        for pair in got.pairs.iter().filter(|pair| pair.own.0 == image) {
            let (own, partner) = (embedding(pair.own), embedding(pair.partner));
            let mixed: Vec<f64> =
                own.iter().zip(&partner).map(|(a, b)| pair.share * a + (1.0 - pair.share) * b).collect();
            let against = |class| naive_loss(&mixed, class, &inputs.queue, config);
            losses.push(pair.share * against(pair.own.1) + (1.0 - pair.share) * against(pair.partner.1));
        }
        if !losses.is_empty() {
            of_images.push(losses.iter().sum::<f64>() / losses.len() as f64);
        }
    }
    let sum: f64 = of_images.iter().sum();
    match config.image_reduction {
        ImageReduction::Sum => sum,
        ImageReduction::Mean => sum / of_images.len() as f64,
    }
}

fn check_against_the_definition(inputs: &Inputs, config: &RcaConfig, seed: u64) {
    let got = inputs.contrast(config, &SeededSampler::new(seed)).unwrap().unwrap();
    assert_near("contrast", value(&got), naive_value(inputs, &got, config));
}

#[test]
fn it_is_the_definition_written_out() {
    let inputs = Inputs::random(1, PRESENT);
    for seed in 0..4 {
        check_against_the_definition(&inputs, &RcaConfig::default(), seed);
    }
    let image_reduction = ImageReduction::Mean;
    check_against_the_definition(&inputs, &RcaConfig { image_reduction, ..RcaConfig::default() }, 4);
    check_against_the_definition(&inputs, &RcaConfig { mixup: MixUp::Off, ..RcaConfig::default() }, 5);
    check_against_the_definition(&inputs, &RcaConfig { temperature: 1.5, ..RcaConfig::default() }, 6);
    // So high that it binds for some slots and not for others.
    check_against_the_definition(&inputs, &RcaConfig { clamp_min: 2.5, ..RcaConfig::default() }, 7);
}

#[test]
fn slots_that_are_not_written_take_no_part() {
    let mut inputs = Inputs::random(2, PRESENT);
    let filled = vec![2, LENGTH as u32, 1, 3];
    let pointer = vec![2, 1, 1, 3];
    inputs.queue = ClassQueue::from_parts(inputs.queue.slots(), pointer.clone(), filled.clone()).unwrap();
    for seed in 0..4 {
        check_against_the_definition(&inputs, &RcaConfig::default(), seed);
    }
    let before = value(&inputs.contrast(&RcaConfig::default(), &SeededSampler::new(0)).unwrap().unwrap());
    let written = inputs.queue.written().unwrap().unsqueeze(2).unwrap().to_dtype(DType::F64).unwrap();
    let noise = (randn(9, &[FOREGROUND, LENGTH, DIM]).unwrap() * 50.0).unwrap();
    let noise = noise.broadcast_mul(&(1.0 - written).unwrap()).unwrap();
    let slots = (inputs.queue.slots() + noise).unwrap();
    inputs.queue = ClassQueue::from_parts(&slots, pointer, filled).unwrap();
    assert_eq!(value(&inputs.contrast(&RcaConfig::default(), &SeededSampler::new(0)).unwrap().unwrap()), before);
}

#[test]
fn a_class_without_a_written_slot_is_neither_contrasted_nor_mixed_in() {
    let mut inputs = Inputs::random(3, PRESENT);
    inputs.queue = ClassQueue::from_parts(inputs.queue.slots(), vec![0; 4], vec![5, 5, 0, 5]).unwrap();
    for seed in 0..4 {
        let got = inputs.contrast(&RcaConfig::default(), &SeededSampler::new(seed)).unwrap().unwrap();
        assert_eq!(got.pairs.iter().map(|pair| pair.own).collect::<Vec<_>>(), [(0, 0), (1, 1), (1, 3), (2, 0)]);
        assert!(got.pairs.iter().all(|pair| pair.partner.1 != 2));
        assert_near("contrast", value(&got), naive_value(&inputs, &got, &RcaConfig::default()));
    }
}

#[test]
fn gradient_is_the_numeric_one() {
    for config in [
        RcaConfig::default(),
        RcaConfig { image_reduction: ImageReduction::Mean, mixup: MixUp::Off, ..RcaConfig::default() },
    ] {
        let mut inputs = Inputs::random(4, PRESENT);
        let regions = inputs.regions();
        for queue in [
            inputs.queue.clone(),
            ClassQueue::from_parts(inputs.queue.slots(), vec![2, 0, 1, 0], vec![2, 5, 1, 5]).unwrap(),
        ] {
            inputs.queue = queue;
            let error = gradient_error(std::slice::from_ref(&inputs.embeddings), 80, |x| {
                let sampler = SeededSampler::new(5);
                let contrast = region_contrast(&x[0], &regions, &inputs.labels, &inputs.queue, &config, &sampler)?;
                Ok(contrast.expect("a region").value)
            });
            assert!(error.unwrap() < 1e-6);
        }
    }
}

#[test]
fn gradient_at_the_clamp_is_the_numeric_one() {
    // The largest logit is a constant in the definition: a slot of length 0, all others lying opposite, makes it one.
    let mut inputs = Inputs::random(14, PRESENT);
    inputs.embeddings = inputs.embeddings.abs().unwrap();
    let slots = inputs.queue.slots().abs().unwrap().neg().unwrap();
    let mut lengths = vec![1.0; FOREGROUND * LENGTH];
    lengths[0] = 0.0;
    let lengths = Tensor::from_vec(lengths, (FOREGROUND, LENGTH, 1), &Device::Cpu).unwrap();
    inputs.queue = full(&slots.broadcast_mul(&lengths).unwrap());
    let regions = inputs.regions();
    let values = [1e-4, 1.5, 3.0, 4.5, 1e3].map(|clamp_min| {
        let config = RcaConfig { clamp_min, temperature: 0.5, ..RcaConfig::default() };
        let sampler = SeededSampler::new(5);
        let error = gradient_error(std::slice::from_ref(&inputs.embeddings), 80, |x| {
            let contrast = region_contrast(&x[0], &regions, &inputs.labels, &inputs.queue, &config, &sampler)?;
            Ok(contrast.expect("a region").value)
        });
        assert!(error.unwrap() < 1e-6);
        value(&inputs.contrast(&config, &sampler).unwrap().unwrap())
    });
    assert!(values.is_sorted() && values[0] < values[4], "{values:?}");
}

#[test]
fn equal_slots_leave_pure_chance() {
    // Every logit is the largest: each positive is one of `1 + (classes - 1) * length` equal exponentials.
    let mut inputs = Inputs::random(5, PRESENT);
    let row = randn(6, &[1, 1, DIM]).unwrap();
    inputs.queue = full(&row.broadcast_as((FOREGROUND, LENGTH, DIM)).unwrap().contiguous().unwrap());
    let got = inputs.contrast(&RcaConfig::default(), &SeededSampler::new(0)).unwrap().unwrap();
    let chance = (1.0 + ((FOREGROUND - 1) * LENGTH) as f64).ln();
    assert_near("sum", value(&got), PRESENT.len() as f64 * chance);
    let config = RcaConfig { image_reduction: ImageReduction::Mean, ..RcaConfig::default() };
    let got = inputs.contrast(&config, &SeededSampler::new(0)).unwrap().unwrap();
    assert_near("mean", value(&got), chance);
}

#[test]
fn slots_far_away_are_limited_by_the_clamp() {
    // The own class lies opposite to the embedding, all others on it.
    let slots: Vec<Tensor> = (0..FOREGROUND)
        .map(|class| {
            let ones = Tensor::ones((LENGTH, DIM), DType::F64, &Device::Cpu).unwrap();
            (ones * if class == 1 { 1.0 } else { -1.0 }).unwrap()
        })
        .collect();
    let slots = Tensor::stack(&slots, 0).unwrap();
    let config = RcaConfig { mixup: MixUp::Off, ..RcaConfig::default() };
    let at = |slots: &Tensor| {
        let mut inputs = Inputs::random(6, &[&[1]]);
        inputs.embeddings = inputs.embeddings.ones_like().unwrap();
        inputs.queue = full(slots);
        value(&inputs.contrast(&config, &SeededSampler::new(0)).unwrap().unwrap())
    };
    let gap = 2.0 / config.temperature;
    let negatives = ((FOREGROUND - 1) * LENGTH) as f64;
    assert_near("on the embedding", at(&slots), (negatives * (-gap).exp()).ln_1p());
    assert_near("opposite to it", at(&slots.neg().unwrap()), (negatives + (-gap).exp()).ln() + gap);
}

#[test]
fn undefined_regions_are_left_out_of_the_mean() {
    // Class 2 of the first image is constant in space whatever the others do: equal scores of all classes there.
    let mut inputs = Inputs::random(7, &[&[0, 2], &[1]]);
    let constant = inputs.coarse.narrow(0, 0, 1).unwrap().zeros_like().unwrap();
    inputs.coarse = Tensor::cat(&[&constant, &inputs.coarse.narrow(0, 1, 1).unwrap()], 0).unwrap();
    for seed in 0..4 {
        let got = inputs.contrast(&RcaConfig::default(), &SeededSampler::new(seed)).unwrap().unwrap();
        // Neither on its own nor as a partner.
        assert_eq!(got.pairs.len(), 1);
        assert_eq!((got.pairs[0].own, got.pairs[0].partner), ((1, 1), (1, 1)));
        assert_near("contrast", value(&got), naive_value(&inputs, &got, &RcaConfig::default()));
    }
}

#[test]
fn nothing_to_contrast_is_none() {
    let config = RcaConfig::default();
    let none = |inputs: &Inputs| inputs.contrast(&config, &SeededSampler::new(0)).unwrap().is_none();
    assert!(none(&Inputs::random(8, &[&[], &[]])));
    for size in [1usize, 3, 7, 11] {
        // A mean of equal numbers need not be equal to them; the region is empty all the same.
        let mut inputs = Inputs::random(8, PRESENT);
        inputs.coarse = (Tensor::zeros((3, FOREGROUND, size, size), DType::F64, &Device::Cpu).unwrap() + 0.3).unwrap();
        inputs.embeddings = randn(1, &[3, DIM, size, size]).unwrap();
        assert!(none(&inputs), "{size}");
    }
    let mut inputs = Inputs::random(8, PRESENT);
    inputs.queue = ClassQueue::from_parts(inputs.queue.slots(), vec![0; 4], vec![0; 4]).unwrap();
    assert!(none(&inputs));
}

#[test]
fn one_foreground_class_has_no_regions() {
    // Its soft-max is 1 everywhere.
    let labels = labels(&[&[0], &[0]], 1);
    let regions = Regions::new(&randn(1, &[2, 1, 4, 5]).unwrap(), &labels).unwrap();
    assert_eq!(numbers(regions.masks()).iter().sum::<f64>(), 0.0);
    let (embeddings, queue) = (randn(2, &[2, DIM, 4, 5]).unwrap(), full(&randn(3, &[1, LENGTH, DIM]).unwrap()));
    let sampler = SeededSampler::new(0);
    assert!(
        region_contrast(&embeddings, &regions, &labels, &queue, &RcaConfig::default(), &sampler).unwrap().is_none()
    );
}

#[test]
fn degenerate_batches_stay_finite() {
    for present in [&[&[1][..]][..], &[&[0], &[]], &[&[], &[3], &[]], &[&[0, 1, 2, 3], &[2]]] {
        for seed in 0..3 {
            for stretch in [0.0, 1.0, 1e4] {
                let mut inputs = Inputs::random(seed, present);
                let var = Var::from_tensor(&(&inputs.embeddings * stretch).unwrap()).unwrap();
                inputs.embeddings = var.as_tensor().clone();
                let got = inputs.contrast(&RcaConfig::default(), &SeededSampler::new(seed)).unwrap().unwrap();
                assert!(value(&got).is_finite());
                let gradients = got.value.backward().unwrap();
                assert!(numbers(gradients.get(&var).unwrap()).iter().all(|g| g.is_finite()));
            }
            let mut inputs = Inputs::random(seed, present);
            inputs.queue = full(&inputs.queue.slots().zeros_like().unwrap());
            assert!(
                value(&inputs.contrast(&RcaConfig::default(), &SeededSampler::new(seed)).unwrap().unwrap()).is_finite()
            );
        }
    }
}

#[test]
fn a_region_of_one_pixel_is_that_pixel() {
    let mut inputs = Inputs::random(9, &[&[3]]);
    let mut scores = vec![0.0; FOREGROUND * 20];
    scores[3 * 20 + 7] = 5.0;
    inputs.coarse = Tensor::from_vec(scores, (1, FOREGROUND, 4, 5), &Device::Cpu).unwrap();
    let got = inputs.contrast(&RcaConfig::default(), &SeededSampler::new(0)).unwrap().unwrap();
    assert_eq!(inputs.regions().count(0, 3), 1.0);
    assert_all_near("embedding", &numbers(&got.embeddings), &pixels(&inputs.embeddings, 0)[7]);
}

#[test]
fn draws_of_a_region_depend_on_its_image_and_class_alone() {
    let (few, many) = (Inputs::random(10, &[&[0], &[1]]), Inputs::random(10, &[&[0, 3], &[1]]));
    let shares = |inputs: &Inputs| {
        let got = inputs.contrast(&RcaConfig::default(), &SeededSampler::new(3)).unwrap().unwrap();
        got.pairs.into_iter().map(|pair| (pair.own, pair.partner.0)).collect::<Vec<_>>()
    };
    let many = shares(&many);
    for pair in shares(&few) {
        assert!(many.contains(&pair));
    }
}

#[test]
fn a_partner_without_label_draws_nothing_more() {
    let inputs = Inputs::random(11, &[&[2], &[]]);
    let tape = ReplaySampler::new().record_distinct("mix/0/2", vec![1]);
    let got = inputs.contrast(&RcaConfig::default(), &tape).unwrap().unwrap();
    assert_eq!((got.pairs[0].partner, got.pairs[0].share), ((0, 2), 1.0));
}

#[test]
fn float32_agrees_with_float64() {
    let inputs = Inputs::random(12, PRESENT);
    let single = |t: &Tensor| t.to_dtype(DType::F32).unwrap();
    let regions = Regions::new(&single(&inputs.coarse), &inputs.labels).unwrap();
    let queue = full(&single(inputs.queue.slots()));
    let sampler = SeededSampler::new(0);
    let config = RcaConfig::default();
    let got = region_contrast(&single(&inputs.embeddings), &regions, &inputs.labels, &queue, &config, &sampler)
        .unwrap()
        .unwrap();
    let want = value(&inputs.contrast(&config, &sampler).unwrap().unwrap());
    assert!((f64::from(got.value.to_scalar::<f32>().unwrap()) - want).abs() < 1e-4 * want);
}

#[test]
fn shapes_that_do_not_fit_are_named() {
    let inputs = Inputs::random(13, PRESENT);
    let sampler = SeededSampler::new(0);
    let config = RcaConfig::default();
    let message = |embeddings: &Tensor, queue: &ClassQueue| {
        let regions = inputs.regions();
        region_contrast(embeddings, &regions, &inputs.labels, queue, &config, &sampler).unwrap_err().to_string()
    };
    let narrow = full(&inputs.queue.slots().narrow(2, 0, 3).unwrap());
    assert!(message(&inputs.embeddings, &narrow).contains("queue: expected shape (4, length, 6)"));
    let small = inputs.embeddings.narrow(3, 0, 4).unwrap();
    assert!(message(&small, &inputs.queue).contains("map under the regions"));
    let few = Regions::new(&inputs.coarse.narrow(1, 0, 3).unwrap(), &inputs.labels).unwrap_err().to_string();
    assert!(few.contains("coarse maps: expected shape (3, 4, h, w)"), "{few}");
}
