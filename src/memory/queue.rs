//! [`ClassQueue`]: a ring of momentum slots for each class.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};

use super::MemoryState;
use crate::error::{Error, Result, expect_shape};
use crate::sampler::Sampler;

/// Slots of each class, `(classes, length, dim)`, and the one that is written next. A value: writing returns the next
/// queue.
///
/// Slots are written in turn, from the first on. Those from `filled` on are not written yet: the first embedding they
/// get is stored as it is, later ones move the slot. A queue that starts from random rows counts them as written.
///
/// Positions and fill are kept on the host, because they decide which rows are touched.
#[derive(Clone, Debug)]
pub struct ClassQueue {
    slots: Tensor,
    pointer: Vec<u32>,
    filled: Vec<u32>,
}

impl ClassQueue {
    /// Standard normal slots that all count as written, as the released code of RCA starts its memory.
    ///
    /// # Errors
    /// When a class has no slot; those of a replayed sampler.
    pub fn normal(
        [classes, length, dim]: [usize; 3],
        dtype: DType,
        device: &Device,
        sampler: &mut dyn Sampler,
    ) -> Result<Self> {
        expect_slots(length)?;
        let draws = sampler.normal(classes * length * dim)?;
        let slots = Tensor::from_vec(draws, (classes, length, dim), device)?.to_dtype(dtype)?;
        Ok(Self { slots, pointer: vec![0; classes], filled: vec![length as u32; classes] })
    }

    /// Slots none of which is written yet.
    ///
    /// # Errors
    /// When a class has no slot.
    pub fn unwritten([classes, length, dim]: [usize; 3], dtype: DType, device: &Device) -> Result<Self> {
        expect_slots(length)?;
        let slots = Tensor::zeros((classes, length, dim), dtype, device)?;
        Ok(Self { slots, pointer: vec![0; classes], filled: vec![0; classes] })
    }

    /// A queue of the given slots, `(classes, length, dim)`, cut off from their graph; per class the slot that is
    /// written next and the number of those written.
    ///
    /// # Errors
    /// When a class has no slot, a number is missing or out of range, or slots were written out of turn.
    pub fn from_parts(slots: &Tensor, pointer: Vec<u32>, filled: Vec<u32>) -> Result<Self> {
        expect_shape("queue", slots, ["classes".into(), "length".into(), "dim".into()])?;
        let (classes, length, _) = slots.dims3()?;
        expect_slots(length)?;
        for (key, numbers) in [("pointer", &pointer), ("filled", &filled)] {
            if numbers.len() != classes {
                return Err(Error::state(key, format!("expected {classes} numbers, got {}", numbers.len())));
            }
        }
        for (class, (&pointer, &filled)) in pointer.iter().zip(&filled).enumerate() {
            if pointer as usize >= length {
                let reason = format!("must be below {length}, the slots of a class, is {pointer} for class {class}");
                return Err(Error::state("pointer", reason));
            }
            let out_of_turn = (filled as usize) < length && filled != pointer;
            if filled as usize > length || out_of_turn {
                let reason = format!(
                    "must be {length}, the slots of a class, or the slot written next, {pointer}; is {filled} for class \
                     {class}"
                );
                return Err(Error::state("filled", reason));
            }
        }
        Ok(Self { slots: slots.detach(), pointer, filled })
    }

    /// `(classes, length, dim)`.
    pub fn slots(&self) -> &Tensor {
        &self.slots
    }

    /// Per class, the slot that is written next.
    pub fn pointer(&self) -> &[u32] {
        &self.pointer
    }

    /// Per class, how many slots are written.
    pub fn filled(&self) -> &[u32] {
        &self.filled
    }

    /// `(classes, length)` of `u8`, 1 for slots that are written.
    ///
    /// # Errors
    /// Those of candle.
    pub fn written(&self) -> Result<Tensor> {
        let (classes, length, _) = self.slots.dims3()?;
        let of_class = |filled: &u32| -> Vec<u8> { (0..length as u32).map(|slot| u8::from(slot < *filled)).collect() };
        let written: Vec<u8> = self.filled.iter().flat_map(of_class).collect();
        Ok(Tensor::from_vec(written, (classes, length), self.slots.device())?)
    }

    /// Writes embeddings one after the other, `embeddings (writes, dim)` to the classes `classes`: the next slot of the
    /// class becomes `momentum * slot + (1 - momentum) * embedding`, or the embedding itself where nothing was written
    /// before.
    ///
    /// A class that gets more embeddings than it has slots has its first slots written again.
    ///
    /// # Errors
    /// When a class does not exist or the shape is another.
    ///
    /// ```
    /// use candle_core::{DType, Device, Tensor};
    /// use candle_wsss::ClassQueue;
    ///
    /// let queue = ClassQueue::unwritten([1, 2, 1], DType::F64, &Device::Cpu)?;
    /// let embeddings = Tensor::new(&[[1.0f64], [2.0], [3.0]], &Device::Cpu)?;
    /// let next = queue.updated(&[0, 0, 0], &embeddings, 0.75)?;
    /// assert_eq!(next.slots().to_vec3::<f64>()?, [[[1.5], [2.0]]]);
    /// assert_eq!((next.pointer(), next.filled()), (&[1][..], &[2][..]));
    /// assert!(queue.updated(&[0, 1, 0], &embeddings, 0.75).is_err());
    /// # Ok::<(), candle_wsss::Error>(())
    /// ```
    #[must_use = "the queue is a value; keep the returned one"]
    pub fn updated(&self, classes: &[usize], embeddings: &Tensor, momentum: f64) -> Result<Self> {
        let (num_classes, length, dim) = self.slots.dims3()?;
        expect_shape("embeddings of a queue", embeddings, [classes.len().into(), dim.into()])?;
        if classes.is_empty() {
            return Ok(self.clone());
        }
        let (mut pointer, mut filled) = (self.pointer.clone(), self.filled.clone());
        // What each touched row is made of: shares of itself and of every embedding. So a row that is touched twice
        // costs no second pass.
        let mut touched: BTreeMap<u32, (f64, Vec<f64>)> = BTreeMap::new();
        for (write, &class) in classes.iter().enumerate() {
            if class >= num_classes {
                return Err(Error::value("class of a queue", format!("must be below {num_classes}, is {class}")));
            }
            let slot = pointer[class];
            let is_first = slot >= filled[class];
            let stays = if is_first { 0.0 } else { momentum };
            let row = (class * length) as u32 + slot;
            let (own, fresh) = touched.entry(row).or_insert_with(|| (1.0, vec![0.0; classes.len()]));
            *own *= stays;
            fresh.iter_mut().for_each(|share| *share *= stays);
            fresh[write] = 1.0 - stays;
            filled[class] += u32::from(is_first);
            pointer[class] = (slot + 1) % length as u32;
        }
        let (dtype, device) = (self.slots.dtype(), self.slots.device());
        let count = touched.len();
        let index = Tensor::from_vec(touched.keys().copied().collect::<Vec<u32>>(), count, device)?;
        let own: Vec<f64> = touched.values().map(|(own, _)| *own).collect();
        let fresh: Vec<f64> = touched.into_values().flat_map(|(_, fresh)| fresh).collect();
        let own = Tensor::from_vec(own, (count, 1), device)?.to_dtype(dtype)?;
        let fresh = Tensor::from_vec(fresh, (count, classes.len()), device)?.to_dtype(dtype)?;
        let rows = self.slots.reshape(((), dim))?;
        let moved = fresh.matmul(&embeddings.detach().to_dtype(dtype)?)?;
        let moved = (rows.index_select(&index, 0)?.broadcast_mul(&own)? + moved)?;
        let index = index.unsqueeze(1)?.broadcast_as((count, dim))?.contiguous()?;
        let slots = rows.scatter(&index, &moved, 0)?.reshape((num_classes, length, dim))?;
        Ok(Self { slots, pointer, filled })
    }

    /// Adds `queue`, `pointer` and `filled` to a state, the latter two `(classes)` of `u32` on the CPU.
    ///
    /// # Errors
    /// When a key is taken.
    pub fn insert_into(&self, state: &mut MemoryState) -> Result<()> {
        let classes = self.pointer.len();
        // On the host, where they are kept: a step that takes the state over waits for no device.
        let counts = |numbers: &[u32]| Tensor::from_vec(numbers.to_vec(), classes, &Device::Cpu);
        state.insert("queue", &self.slots)?;
        state.insert("pointer", &counts(&self.pointer)?)?;
        state.insert("filled", &counts(&self.filled)?)
    }

    /// Takes `queue`, `pointer` and `filled` out of a state. The latter two are copied to the host.
    ///
    /// # Errors
    /// When one is missing or misshapen, or a number is out of range.
    pub fn take_from(state: &mut MemoryState, dims: [usize; 3], dtype: DType, device: &Device) -> Result<Self> {
        let slots = state.take("queue", &dims)?.to_dtype(dtype)?.to_device(device)?;
        let mut numbers =
            |key: &str| -> Result<Vec<u32>> { Ok(state.take(key, &dims[..1])?.to_dtype(DType::U32)?.to_vec1()?) };
        let (pointer, filled) = (numbers("pointer")?, numbers("filled")?);
        Self::from_parts(&slots, pointer, filled)
    }
}

fn expect_slots(length: usize) -> Result<()> {
    if length > 0 { Ok(()) } else { Err(Error::value("slots of a class", "must be at least 1, are 0")) }
}
