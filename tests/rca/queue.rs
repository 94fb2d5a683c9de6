//! The class queue: one write after the other, written out; saved and taken up again.

use candle_core::{DType, Device, Tensor};
use candle_wsss::testing::randn;
use candle_wsss::{ClassQueue, MemoryState, Sampler, SeededSampler};
use proptest::prelude::*;

use super::inputs::{assert_all_near, full, numbers};

// One write at a time.
fn naive(queue: &ClassQueue, classes: &[usize], embeddings: &Tensor, momentum: f64) -> (Vec<f64>, Vec<u32>, Vec<u32>) {
    let (_, length, dim) = queue.slots().dims3().unwrap();
    let mut slots = numbers(queue.slots());
    let (mut pointer, mut filled) = (queue.pointer().to_vec(), queue.filled().to_vec());
    let embeddings: Vec<Vec<f64>> = embeddings.to_vec2().unwrap();
    for (&class, embedding) in classes.iter().zip(&embeddings) {
        let slot = pointer[class] as usize;
        let row = &mut slots[(class * length + slot) * dim..][..dim];
        for (x, e) in row.iter_mut().zip(embedding) {
            *x = if slot >= filled[class] as usize { *e } else { momentum * *x + (1.0 - momentum) * e };
        }
        filled[class] = filled[class].max(slot as u32 + 1);
        pointer[class] = ((slot + 1) % length) as u32;
    }
    (slots, pointer, filled)
}

fn check(queue: &ClassQueue, classes: &[usize], embeddings: &Tensor) -> ClassQueue {
    let next = queue.updated(classes, embeddings, 0.8).unwrap();
    let (slots, pointer, filled) = naive(queue, classes, embeddings, 0.8);
    assert_all_near("slots", &numbers(next.slots()), &slots);
    assert_eq!((next.pointer(), next.filled()), (&pointer[..], &filled[..]));
    next
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn writes_go_one_after_the_other(seed in any::<u32>(), length in 1usize..4, writes in 0usize..9, starts_full in any::<bool>()) {
        let mut draws = SeededSampler::new(u64::from(seed));
        let mut queue = if starts_full {
            ClassQueue::normal([3, length, 2], DType::F64, &Device::Cpu, &mut draws).unwrap()
        } else {
            ClassQueue::unwritten([3, length, 2], DType::F64, &Device::Cpu).unwrap()
        };
        for _ in 0..3 {
            let classes: Vec<usize> = (0..writes).map(|_| draws.distinct(3, 1).unwrap()[0]).collect();
            let embeddings = Tensor::from_vec(draws.normal(writes * 2).unwrap(), (writes, 2), &Device::Cpu).unwrap();
            queue = check(&queue, &classes, &embeddings);
        }
    }
}

#[test]
fn rows_that_are_not_written_keep_their_bits() {
    let queue = full(&randn(1, &[3, 4, 5]).unwrap());
    let next = queue.updated(&[1, 1], &randn(2, &[2, 5]).unwrap(), 0.9).unwrap();
    let (before, after) = (numbers(queue.slots()), numbers(next.slots()));
    let row = 5;
    assert_eq!(before[..4 * row], after[..4 * row]);
    assert_eq!(before[6 * row..], after[6 * row..]);
    assert!(before[4 * row..6 * row].iter().zip(&after[4 * row..6 * row]).all(|(before, after)| before != after));
}

#[test]
fn saved_and_taken_up_again_it_is_the_same() {
    let queue = ClassQueue::unwritten([2, 3, 4], DType::F64, &Device::Cpu).unwrap();
    let queue = queue.updated(&[0, 0, 1], &randn(1, &[3, 4]).unwrap(), 0.9).unwrap();
    let mut state = MemoryState::default();
    queue.insert_into(&mut state).unwrap();
    let bytes = state.to_safetensors(None).unwrap();
    let mut state = MemoryState::from_safetensors(&bytes, &Device::Cpu).unwrap();
    let back = ClassQueue::take_from(&mut state, [2, 3, 4], DType::F64, &Device::Cpu).unwrap();
    assert!(state.is_empty());
    assert_eq!(numbers(back.slots()), numbers(queue.slots()));
    assert_eq!((back.pointer(), back.filled()), (&[2, 1][..], &[2, 1][..]));
    assert_eq!(numbers(&back.written().unwrap()), [1.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
}

#[test]
fn parts_that_do_not_fit_are_named() {
    let slots = randn(1, &[2, 3, 4]).unwrap();
    let message =
        |pointer: Vec<u32>, filled: Vec<u32>| ClassQueue::from_parts(&slots, pointer, filled).unwrap_err().to_string();
    assert_eq!(message(vec![0], vec![3, 3]), "tensor `pointer`: expected 2 numbers, got 1");
    assert!(message(vec![0, 3], vec![3, 3]).contains("must be below 3, the slots of a class, is 3 for class 1"));
    assert!(message(vec![0, 0], vec![3, 4]).starts_with("tensor `filled`: must be 3"));
    assert!(message(vec![0, 2], vec![3, 1]).contains("slot written next, 2; is 1 for class 1"));
    let flat = ClassQueue::from_parts(&slots.get(0).unwrap(), vec![0], vec![0]).unwrap_err().to_string();
    assert!(flat.contains("queue: expected shape (classes, length, dim)"), "{flat}");
    let none = ClassQueue::unwritten([2, 0, 4], DType::F64, &Device::Cpu).unwrap_err().to_string();
    assert_eq!(none, "slots of a class: must be at least 1, are 0");
    let queue = full(&slots);
    assert!(queue.updated(&[0], &randn(1, &[1, 3]).unwrap(), 0.9).is_err());
    let missing = queue.updated(&[2], &randn(1, &[1, 4]).unwrap(), 0.9).unwrap_err().to_string();
    assert_eq!(missing, "class of a queue: must be below 2, is 2");
}
