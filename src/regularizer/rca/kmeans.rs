//! Centroids of the memory's slots.

use candle_core::Tensor;

use crate::error::{Result, expect_shape};
use crate::memory::ClassQueue;
use crate::ops::{Order, top_k};
use crate::sampler::Sampler;

/// k-means (Lloyd) of each class over its written slots, from distinct slots drawn from the stream `{class}`.
///
/// A slot as close to several centroids goes to the first of them. A centroid that loses all its slots stays where it
/// is; with fewer slots than centroids, the slots are the centroids, over and over. A class without a written slot keeps
/// its previous centroids.
///
/// All classes are computed at once. It ends after `iterations` rounds, or when no slot changes its centroid, which is
/// looked at on the host.
///
/// # Shapes
/// Slots `(num_foreground, length, D)` and `previous (num_foreground, clusters, D)`, to the latter. No gradient.
///
/// # Errors
/// When the shapes differ.
pub fn cluster(queue: &ClassQueue, previous: &Tensor, iterations: usize, sampler: &dyn Sampler) -> Result<Tensor> {
    let (classes, length, dim) = queue.slots().dims3()?;
    expect_shape("previous centroids", previous, [classes.into(), "clusters".into(), dim.into()])?;
    let clusters = previous.dim(1)?;
    let (slots, device) = (queue.slots().detach(), previous.device());
    let start = Tensor::from_vec(start(queue, clusters, sampler)?, classes * clusters, device)?;
    let mut centroids = slots.reshape((classes * length, dim))?.index_select(&start, 0)?;
    centroids = centroids.reshape((classes, clusters, dim))?;
    let written = queue.written()?.to_dtype(slots.dtype())?.unsqueeze(2)?;
    let columns = Tensor::arange(0u32, clusters as u32, device)?.reshape((1, 1, clusters))?;
    let mut before: Option<Vec<u32>> = None;
    for _ in 0..iterations {
        let nearest = nearest(&slots, &centroids)?; // (classes, length, 1)
        let now = nearest.flatten_all()?.to_vec1::<u32>()?;
        if before.as_ref() == Some(&now) {
            break;
        }
        before = Some(now);
        let members = nearest.broadcast_eq(&columns)?.to_dtype(slots.dtype())?.broadcast_mul(&written)?;
        let members = members.transpose(1, 2)?.contiguous()?; // (classes, clusters, length)
        let counts = members.sum_keepdim(2)?;
        let means = members.matmul(&slots)?.broadcast_div(&counts.maximum(1.0)?)?;
        let is_empty = counts.eq(0.0)?.broadcast_as(means.shape())?;
        centroids = is_empty.where_cond(&centroids, &means)?;
    }
    let has_slots: Vec<u8> = queue.filled().iter().map(|filled| u8::from(*filled > 0)).collect();
    let has_slots = Tensor::from_vec(has_slots, (classes, 1, 1), device)?.broadcast_as(previous.shape())?;
    Ok(has_slots.where_cond(&centroids, &previous.detach())?)
}

// Rows of all slots, `(classes * clusters)`; any for a class without a written slot.
fn start(queue: &ClassQueue, clusters: usize, sampler: &dyn Sampler) -> Result<Vec<u32>> {
    let length = queue.slots().dim(1)?;
    let mut rows = Vec::with_capacity(queue.filled().len() * clusters);
    for (class, &filled) in queue.filled().iter().enumerate() {
        let filled = filled as usize;
        let mut chosen = sampler.fork(&class.to_string()).distinct(filled, clusters.min(filled))?;
        if chosen.is_empty() {
            chosen.push(0);
        }
        rows.extend(chosen.iter().cycle().take(clusters).map(|slot| (class * length + slot) as u32));
    }
    Ok(rows)
}

// By `|c|² - 2 x·c`: what is left out, `|x|²`, is the same for all centroids.
fn nearest(slots: &Tensor, centroids: &Tensor) -> Result<Tensor> {
    let products = slots.matmul(&centroids.transpose(1, 2)?.contiguous()?)?; // (classes, length, clusters)
    let squares = centroids.sqr()?.sum(2)?.unsqueeze(1)?;
    let distances = squares.broadcast_sub(&(products * 2.0)?)?;
    Ok(top_k(&distances, 1, Order::Smallest)?.indices)
}
