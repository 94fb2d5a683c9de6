//! Centroids of the slots: clusters that are there are found, and nothing degenerate breaks them.

use candle_core::{DType, Device, Tensor};
use candle_wsss::regularizer::rca::cluster;
use candle_wsss::testing::randn;
use candle_wsss::{ClassQueue, ReplaySampler, SeededSampler};

use super::inputs::{assert_all_near, full, numbers};

fn squared(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

// Rounds of Lloyd on one class, as anybody would write them.
fn naive(points: &[Vec<f64>], start: &[usize], iterations: usize) -> Vec<Vec<f64>> {
    let mut centroids: Vec<Vec<f64>> = start.iter().map(|at| points[*at].clone()).collect();
    for _ in 0..iterations {
        let nearest: Vec<usize> = points
            .iter()
            .map(|point| {
                let distances: Vec<f64> = centroids.iter().map(|centroid| squared(point, centroid)).collect();
                (0..distances.len()).fold(0, |best, at| if distances[at] < distances[best] { at } else { best })
            })
            .collect();
        for (at, centroid) in centroids.iter_mut().enumerate() {
            let members: Vec<&Vec<f64>> =
                points.iter().zip(&nearest).filter(|(_, n)| **n == at).map(|(p, _)| p).collect();
            if !members.is_empty() {
                for (d, x) in centroid.iter_mut().enumerate() {
                    *x = members.iter().map(|member| member[d]).sum::<f64>() / members.len() as f64;
                }
            }
        }
    }
    centroids
}

#[test]
fn it_is_lloyd_written_out() {
    let slots = randn(1, &[3, 12, 4]).unwrap();
    let points: Vec<Vec<Vec<f64>>> = slots.to_vec3().unwrap();
    let starts = [vec![3, 0, 7], vec![11, 1, 2], vec![5, 6, 4]];
    for (iterations, filled) in [(1, [12, 12, 12]), (3, [12, 12, 12]), (100, [12, 12, 12]), (100, [12, 12, 8])] {
        let pointer = filled.map(|filled| filled % 12).to_vec();
        let queue = ClassQueue::from_parts(&slots, pointer, filled.to_vec()).unwrap();
        let tape = starts
            .iter()
            .enumerate()
            .fold(ReplaySampler::new(), |tape, (class, start)| tape.record_distinct(&class.to_string(), start.clone()));
        let got = cluster(&queue, &randn(2, &[3, 3, 4]).unwrap(), iterations, &tape).unwrap();
        let want: Vec<f64> = (0..3)
            .flat_map(|class| naive(&points[class][..filled[class] as usize], &starts[class], iterations))
            .flatten()
            .collect();
        assert_all_near("centroids", &numbers(&got), &want);
    }
}

#[test]
fn separate_groups_are_found_from_a_start_in_each() {
    // Slot `s` belongs to group `s % 3`; the groups are far apart.
    let noise: Vec<Vec<Vec<f64>>> = randn(3, &[1, 30, 2]).unwrap().to_vec3().unwrap();
    let slots: Vec<f64> =
        (0..30).flat_map(|s| [noise[0][s][0] * 0.01 + 10.0 * (s % 3) as f64, noise[0][s][1] * 0.01]).collect();
    let queue = full(&Tensor::from_vec(slots, (1, 30, 2), &Device::Cpu).unwrap());
    let tape = ReplaySampler::new().record_distinct("0", vec![2, 9, 13]);
    let got: Vec<Vec<Vec<f64>>> =
        cluster(&queue, &randn(4, &[1, 3, 2]).unwrap(), 20, &tape).unwrap().to_vec3().unwrap();
    for (centroid, want) in got[0].iter().zip([20.0, 0.0, 10.0]) {
        assert!((centroid[0] - want).abs() < 0.02 && centroid[1].abs() < 0.02, "{centroid:?}");
    }
}

#[test]
fn the_start_depends_on_the_class_and_the_seed() {
    let slots = randn(5, &[1, 40, 3]).unwrap();
    let queue = full(&Tensor::cat(&[&slots, &slots], 0).unwrap());
    let previous = randn(6, &[2, 4, 3]).unwrap();
    let run = |seed| cluster(&queue, &previous, 1, &SeededSampler::new(seed)).unwrap().to_vec3::<f64>().unwrap();
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    assert_ne!(run(1)[0], run(1)[1]);
}

#[test]
fn fewer_slots_than_centroids_are_the_centroids() {
    let slots = randn(7, &[2, 5, 3]).unwrap();
    let queue = ClassQueue::from_parts(&slots, vec![2, 0], vec![2, 0]).unwrap();
    let previous = randn(8, &[2, 4, 3]).unwrap();
    let got = cluster(&queue, &previous, 10, &SeededSampler::new(0)).unwrap().to_vec3::<f64>().unwrap();
    let slots: Vec<Vec<Vec<f64>>> = slots.to_vec3().unwrap();
    for slot in &slots[0][..2] {
        assert_eq!(got[0].iter().filter(|centroid| *centroid == slot).count(), 2);
    }
    // No slot at all: the previous ones stay.
    assert_eq!(got[1], previous.to_vec3::<f64>().unwrap()[1]);
}

#[test]
fn equal_slots_and_every_size_stay_finite() {
    for classes in [1, 6, 20, 80] {
        for dtype in [DType::F32, DType::F64] {
            let equal = full(&Tensor::ones((classes, 7, 2), dtype, &Device::Cpu).unwrap());
            let previous = randn(9, &[classes, 3, 2]).unwrap().to_dtype(dtype).unwrap();
            let got = cluster(&equal, &previous, 5, &SeededSampler::new(0)).unwrap();
            assert!(numbers(&got).iter().all(|x| *x == 1.0));
        }
    }
    let queue = full(&randn(10, &[2, 3, 4]).unwrap());
    assert!(cluster(&queue, &randn(11, &[2, 3, 5]).unwrap(), 5, &SeededSampler::new(0)).is_err());
}
