//! What a step writes into the memory: its definition written out, both maskings, what is not written.

use candle_core::{DType, Device, Tensor, Var};
use candle_wsss::regularizer::rca::{RcaConfig, Regions, UpdateMasking, update_memory};
use candle_wsss::testing::randn;
use candle_wsss::{ClassQueue, SeededSampler};

use super::inputs::{DIM, FOREGROUND, Inputs, LENGTH, assert_all_near, count, full, numbers, pixels, pooled, region};

const PRESENT: &[&[usize]] = &[&[0, 2, 3], &[2], &[], &[0, 2]];

// As written down: each class in turn, on features that the classes before it have masked.
fn naive(inputs: &Inputs, probabilities: &Tensor, config: &RcaConfig) -> ClassQueue {
    let probabilities: Vec<Vec<f64>> = probabilities.to_vec2().unwrap();
    let mut queue = inputs.queue.clone();
    for (image, probabilities) in probabilities.iter().enumerate() {
        let mut features = pixels(&inputs.embeddings, image);
        for &class in inputs.labels.of_image(image) {
            if probabilities[class] <= config.gate {
                continue;
            }
            let inside = region(&inputs.coarse, image, class);
            let mean = pooled(&features, &inside, count(&inside));
            if config.update_masking == UpdateMasking::Cumulative {
                for (pixel, _) in features.iter_mut().zip(&inside).filter(|(_, inside)| !**inside) {
                    pixel.fill(0.0);
                }
            }
            let mean = Tensor::from_vec(mean, (1, DIM), &Device::Cpu).unwrap();
            queue = queue.updated(&[class], &mean, config.memory_momentum).unwrap();
        }
    }
    queue
}

fn update(inputs: &Inputs, probabilities: &Tensor, config: &RcaConfig) -> ClassQueue {
    let regions = inputs.regions();
    update_memory(&inputs.embeddings, &regions, probabilities, &inputs.labels, &inputs.queue, config).unwrap()
}

fn probabilities(seed: u64, images: usize) -> Tensor {
    candle_nn::ops::sigmoid(&(randn(seed, &[images, FOREGROUND]).unwrap() * 3.0).unwrap()).unwrap()
}

#[test]
fn it_is_the_definition_written_out() {
    for seed in 0..6 {
        for update_masking in [UpdateMasking::Cumulative, UpdateMasking::Own] {
            let mut inputs = Inputs::random(seed, PRESENT);
            if seed % 2 == 1 {
                inputs.queue = ClassQueue::unwritten([FOREGROUND, 2, DIM], DType::F64, &Device::Cpu).unwrap();
            }
            let config = RcaConfig { update_masking, gate: 0.4, memory_momentum: 0.7, ..RcaConfig::default() };
            let probabilities = probabilities(seed + 50, PRESENT.len());
            let (got, want) = (update(&inputs, &probabilities, &config), naive(&inputs, &probabilities, &config));
            assert_all_near("slots", &numbers(got.slots()), &numbers(want.slots()));
            assert_eq!((got.pointer(), got.filled()), (want.pointer(), want.filled()));
        }
    }
}

#[test]
fn maskings_differ_from_the_second_class_of_an_image_on() {
    let inputs = Inputs::random(20, PRESENT);
    let sure = Tensor::ones((PRESENT.len(), FOREGROUND), DType::F64, &Device::Cpu).unwrap();
    let [cumulative, own] = [UpdateMasking::Cumulative, UpdateMasking::Own].map(|update_masking| {
        let slots = update(&inputs, &sure, &RcaConfig { update_masking, ..RcaConfig::default() });
        slots.slots().to_vec3::<f64>().unwrap()
    });
    assert_eq!(cumulative[0], own[0]);
    assert_ne!(cumulative[2][0], own[2][0]);
    assert_eq!(cumulative[2][1], own[2][1]);
    assert_ne!(cumulative[3], own[3]);
}

#[test]
fn nothing_is_written_without_confidence_label_or_region() {
    let config = RcaConfig::default();
    let check = |inputs: &Inputs, probabilities: &Tensor| {
        let next = update(inputs, probabilities, &config);
        assert_eq!(numbers(next.slots()), numbers(inputs.queue.slots()));
        assert_eq!(next.pointer(), inputs.queue.pointer());
    };
    let sure = Tensor::ones((PRESENT.len(), FOREGROUND), DType::F64, &Device::Cpu).unwrap();
    // The gate itself is not above the gate.
    check(&Inputs::random(21, PRESENT), &(&sure * config.gate).unwrap());
    check(&Inputs::random(21, &[&[], &[], &[], &[]]), &sure);
    let mut constant = Inputs::random(21, PRESENT);
    constant.coarse = (constant.coarse.zeros_like().unwrap() + 0.1).unwrap();
    check(&constant, &sure);
}

#[test]
fn no_gradient_goes_into_the_memory() {
    let inputs = Inputs::random(22, PRESENT);
    let map = Var::from_tensor(&inputs.embeddings).unwrap();
    let sure = Tensor::ones((PRESENT.len(), FOREGROUND), DType::F64, &Device::Cpu).unwrap();
    let config = RcaConfig::default();
    let next = update_memory(&map, &inputs.regions(), &sure, &inputs.labels, &inputs.queue, &config).unwrap();
    assert!(!next.slots().track_op());
}

#[test]
fn shapes_that_do_not_fit_are_named() {
    let inputs = Inputs::random(23, PRESENT);
    let config = RcaConfig::default();
    let regions = Regions::new(&inputs.coarse, &inputs.labels).unwrap();
    let message = |probabilities: &Tensor, queue: &ClassQueue| {
        update_memory(&inputs.embeddings, &regions, probabilities, &inputs.labels, queue, &config)
            .unwrap_err()
            .to_string()
    };
    let few = probabilities(0, PRESENT.len() - 1);
    assert!(message(&few, &inputs.queue).contains("class probabilities: expected shape (4, 4)"));
    let mut draws = SeededSampler::new(0);
    let narrow = ClassQueue::normal([FOREGROUND, LENGTH, DIM + 1], DType::F64, &Device::Cpu, &mut draws).unwrap();
    assert!(message(&probabilities(0, PRESENT.len()), &narrow).contains("queue: expected shape (4, length, 6)"));
    assert!(full(narrow.slots()).updated(&[], &randn(0, &[0, DIM + 1]).unwrap(), 0.5).is_ok());
}
