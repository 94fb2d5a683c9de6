//! One tensor, as its pickle describes it: a view of a storage.

use crate::pickle::{Call, Node, NodeId, Pickle};
use crate::weights::element::ElementType;
use crate::weights::source::count;

/// A run of values in the file.
#[derive(Clone, Debug)]
pub(super) struct StorageRef {
    /// Its name among the storages.
    pub(super) key: String,
    /// What its values are.
    pub(super) element: ElementType,
    /// So many values.
    pub(super) len: usize,
}

/// A tensor as a view of a storage.
#[derive(Clone, Debug)]
pub(super) struct TensorRef {
    pub(super) storage: StorageRef,
    pub(super) shape: Vec<usize>,
    /// Product of the shape.
    pub(super) len: usize,
    /// Place of the first value.
    offset: usize,
    /// Way from a value to the next one, per side.
    stride: Vec<usize>,
}

impl TensorRef {
    /// Whether the tensor is a storage of so many values, in its order.
    pub(super) fn is_whole(&self, storage: usize) -> bool {
        self.offset == 0 && self.len == storage && self.is_contiguous()
    }

    /// The values row-major; none when one of them is not in the storage.
    pub(super) fn gather(&self, storage: &[f32]) -> Option<Vec<f32>> {
        if self.len == 0 {
            return Some(Vec::new());
        }
        if self.is_contiguous() {
            return Some(storage.get(self.offset..self.offset.checked_add(self.len)?)?.to_vec());
        }
        let last = self.shape.iter().zip(&self.stride).try_fold(self.offset, |last, (side, stride)| {
            (side - 1).checked_mul(*stride).and_then(|way| last.checked_add(way))
        });
        last.filter(|last| *last < storage.len())?;
        let mut values = Vec::with_capacity(self.len);
        let mut place = vec![0; self.shape.len()];
        let mut at = self.offset;
        for _ in 0..self.len {
            values.push(storage[at]);
            // The last side moves first; one that is through starts anew and moves the side before it. No step leads
            // beyond the last value, which is in the storage: behind it there may be no number.
            for (axis, index) in place.iter_mut().enumerate().rev() {
                if *index + 1 < self.shape[axis] {
                    *index += 1;
                    at += self.stride[axis];
                    break;
                }
                at -= *index * self.stride[axis];
                *index = 0;
            }
        }
        Some(values)
    }

    fn is_contiguous(&self) -> bool {
        // The product of some sides of a shape that was counted.
        let mut expected = 1;
        for (side, stride) in self.shape.iter().zip(&self.stride).rev() {
            if *side != 1 && *stride != expected {
                return false;
            }
            expected *= (*side).max(1);
        }
        true
    }
}

/// PyTorch's module of the functions that make tensors.
const UTILS: &str = "torch._utils";

/// Sides a tensor may have.
const MAX_RANK: usize = 32;

/// Whether the value is a tensor, of a kind that can be read or not.
pub(super) fn is_tensor(pickle: &Pickle<'_>, id: NodeId) -> bool {
    pickle
        .call(id)
        .is_some_and(|call| call.module == UTILS && call.name.starts_with("_rebuild") || call.module == "torch._tensor")
}

/// The tensor at that place.
pub(super) fn tensor(pickle: &Pickle<'_>, id: NodeId) -> Result<TensorRef, String> {
    let call = pickle.call(id).ok_or("no tensor")?;
    let call = match (call.module, call.name) {
        (UTILS, "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
            let inner = call.arguments.first().and_then(|inner| pickle.call(*inner));
            inner.ok_or("a parameter without its tensor")?
        }
        _ => call,
    };
    match (call.module, call.name) {
        (UTILS, "_rebuild_tensor" | "_rebuild_tensor_v2") => view(pickle, call),
        _ => Err(format!("made by `{}`, which is not read; save a plain dense tensor", call.path())),
    }
}

fn view(pickle: &Pickle<'_>, call: Call<'_>) -> Result<TensorRef, String> {
    let [storage, offset, shape, stride, ..] = *call.arguments else {
        return Err("a tensor without its shape".to_string());
    };
    let sizes = |id: NodeId| -> Option<Vec<usize>> {
        // torch.Size applied to a tuple, in some versions.
        let id = pickle.call(id).and_then(|call| call.arguments.first().copied()).unwrap_or(id);
        let sides = pickle.sequence(id).filter(|sides| sides.len() <= MAX_RANK)?;
        sides.iter().map(|side| pickle.count(*side)).collect()
    };
    let (storage, first) = self::storage(pickle, storage)?;
    let shape = sizes(shape).ok_or("a shape that is no tuple of sizes")?;
    let stride =
        sizes(stride).filter(|stride| stride.len() == shape.len()).ok_or("strides that do not fit the shape")?;
    let offset =
        pickle.count(offset).and_then(|offset| offset.checked_add(first)).ok_or("an offset that is no size")?;
    let len = count(&shape).ok_or_else(|| format!("shape {shape:?} is larger than memory"))?;
    Ok(TensorRef { storage, shape, len, offset, stride })
}

// `('storage', torch.FloatStorage, '0', 'cpu', 432)`, in old files with a view behind it; and where the view begins.
fn storage(pickle: &Pickle<'_>, id: NodeId) -> Result<(StorageRef, usize), String> {
    let Node::Persistent(id) = pickle.node(id) else { return Err("a tensor without a storage".to_string()) };
    let storage = reference(pickle, *id)?.ok_or("a tensor whose storage is something else")?;
    let view = pickle.sequence(*id).and_then(|parts| pickle.sequence(*parts.get(5)?));
    let first = view.map_or(Some(0), |view| pickle.count(*view.get(1)?));
    Ok((storage, first.ok_or("a view of a storage without its begin")?))
}

/// The storage a persistent identifier names; none where it names something else.
pub(super) fn reference(pickle: &Pickle<'_>, id: NodeId) -> Result<Option<StorageRef>, String> {
    let Some([kind, class, key, _, len, ..]) = pickle.sequence(id) else { return Ok(None) };
    if pickle.text(*kind) != Some("storage") {
        return Ok(None);
    }
    let (module, class) = pickle.global(*class).ok_or("a storage without its type")?;
    let element = match class.strip_suffix("Storage").filter(|_| matches!(module, "torch" | "torch.cuda")) {
        Some("Double") => ElementType::F64,
        Some("Float") => ElementType::F32,
        Some("Half") => ElementType::F16,
        Some("BFloat16") => ElementType::BF16,
        Some("Long") => ElementType::I64,
        Some("Int") => ElementType::I32,
        Some("Short") => ElementType::I16,
        Some("Char") => ElementType::I8,
        Some("Byte") => ElementType::U8,
        Some("Bool") => ElementType::Bool,
        _ => return Err(format!("a storage of type `{module}.{class}`, which is not read")),
    };
    let key = pickle.text(*key).map(str::to_string).or_else(|| pickle.int(*key).map(|key| key.to_string()));
    let (Some(key), Some(len)) = (key, pickle.count(*len)) else {
        return Err("a storage without its key or size".to_string());
    };
    Ok(Some(StorageRef { key, element, len }))
}
