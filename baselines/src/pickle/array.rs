//! NumPy's arrays and scalars, as their pickles describe them.

use std::borrow::Cow;

use super::{Call, Node, NodeId, Pickle, trust};

/// An array.
#[derive(Clone, Debug)]
pub struct Array<'p> {
    /// Its shape; of rank 0 for a single value.
    pub shape: Vec<usize>,
    /// Whether the first index moves fastest.
    pub is_fortran: bool,
    /// Its values.
    pub data: ArrayData<'p>,
}

/// Values of an array, as many as its shape says.
#[derive(Clone, Debug)]
pub enum ArrayData<'p> {
    /// Numbers or truth values, in memory's order.
    Numbers(Vec<Number>),
    /// Texts of a fixed length, without the zeros that fill them up.
    Texts(Vec<String>),
    /// Python's objects.
    Objects(&'p [NodeId]),
}

/// A number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A whole one, or a truth value.
    Int(i64),
    /// One with a fraction.
    Float(f64),
}

/// Kind, order and size of an element: the `f4` of `<f4`.
struct ElementType {
    kind: u8,
    size: usize,
    is_big_endian: bool,
}

/// NumPy's own limit.
const MAX_RANK: usize = 64;

const ARRAY_MODULES: [&str; 2] = ["numpy.core.multiarray", "numpy._core.multiarray"];
const BUFFER_MODULES: [&str; 2] = ["numpy.core.numeric", "numpy._core.numeric"];

impl Pickle<'_> {
    /// The array of at most so many values at that place; none where there is something else.
    ///
    /// # Errors
    /// When it has more values, unknown elements, or its values are not as many as its shape says.
    pub fn array(&self, id: NodeId, most: usize) -> Result<Option<Array<'_>>, String> {
        let Some(call) = self.call(id) else { return Ok(None) };
        let parts = if ARRAY_MODULES.contains(&call.module) && call.name == "_reconstruct" {
            let state = call.state.and_then(|state| self.sequence(state));
            let Some(&[_, shape, dtype, order, data]) = state else {
                return Err("an array without its state".to_string());
            };
            (shape, dtype, *self.node(order) == Node::Bool(true) || self.int(order) == Some(1), data)
        } else if BUFFER_MODULES.contains(&call.module) && call.name == "_frombuffer" {
            let &[data, dtype, shape, order] = call.arguments else {
                return Err("an array without its shape".to_string());
            };
            (shape, dtype, self.text(order) == Some("F"), data)
        } else {
            return Ok(None);
        };
        let (shape, dtype, is_fortran, data) = parts;
        let shape = self.shape(shape)?;
        let len = shape.iter().try_fold(1_usize, |len, side| len.checked_mul(*side));
        let len = len.filter(|len| *len <= most);
        let len = len.ok_or_else(|| format!("an array of shape {shape:?}, more than {most} values"))?;
        let element = self.element_type(dtype)?;
        let data = if element.kind == b'O' {
            let objects = self.sequence(data).filter(|objects| objects.len() == len);
            ArrayData::Objects(objects.ok_or_else(|| format!("an array of shape {shape:?} without its {len} objects"))?)
        } else {
            let bytes = self.raw_bytes(data).ok_or("an array without its bytes")?;
            if len.checked_mul(element.size) != Some(bytes.len()) {
                return Err(format!("an array of shape {shape:?} with {} bytes of {}", bytes.len(), element.size));
            }
            element.decode(&bytes)?
        };
        Ok(Some(Array { shape, is_fortran, data }))
    }

    /// The single number or text at that place, Python's own or NumPy's; none where there is something else.
    ///
    /// # Errors
    /// When it is a NumPy scalar of an unknown kind.
    pub fn scalar(&self, id: NodeId) -> Result<Option<ArrayData<'_>>, String> {
        let number = |number| Ok(Some(ArrayData::Numbers(vec![number])));
        if let Some(text) = self.text(id) {
            return Ok(Some(ArrayData::Texts(vec![text.to_string()])));
        }
        match self.node(id) {
            Node::Int(value) => match i64::try_from(*value) {
                Ok(value) => number(Number::Int(value)),
                Err(_) => Ok(None),
            },
            Node::Float(value) => number(Number::Float(*value)),
            _ => match self.call(id) {
                Some(call) if ARRAY_MODULES.contains(&call.module) && call.name == "scalar" => self.numpy_scalar(call),
                _ => Ok(self
                    .raw_bytes(id)
                    .and_then(|bytes| text_of_bytes(&bytes))
                    .map(|text| ArrayData::Texts(vec![text]))),
            },
        }
    }

    fn numpy_scalar(&self, call: Call<'_>) -> Result<Option<ArrayData<'_>>, String> {
        let &[dtype, data] = call.arguments else { return Err("a NumPy scalar without its value".to_string()) };
        let element = self.element_type(dtype)?;
        let bytes = self.raw_bytes(data).filter(|bytes| element.kind != b'O' && bytes.len() == element.size);
        element.decode(&bytes.ok_or("a NumPy scalar without its bytes")?).map(Some)
    }

    /// What is said of an object that stands for nothing known.
    pub fn refusal(&self, id: NodeId) -> Option<String> {
        let global = self.call(id).map(|call| (call.module, call.name)).or_else(|| self.global(id));
        global.map(|(module, name)| trust::refusal(module, name))
    }

    fn shape(&self, id: NodeId) -> Result<Vec<usize>, String> {
        let sides = self.sequence(id).filter(|sides| sides.len() <= MAX_RANK);
        let sides = sides.ok_or("an array whose shape is no tuple")?;
        sides
            .iter()
            .map(|side| self.count(*side).ok_or_else(|| "an array whose shape is no size".to_string()))
            .collect()
    }

    // `dtype('f4', False, True)` with the state `(3, '<', ..)`.
    fn element_type(&self, id: NodeId) -> Result<ElementType, String> {
        let call = self.call(id).filter(|call| (call.module, call.name) == ("numpy", "dtype"));
        let call = call.ok_or("an array without the type of its elements")?;
        let code = call.arguments.first().and_then(|code| self.text(*code)).unwrap_or_default();
        let order = call.state.and_then(|state| self.sequence(state)?.get(1).and_then(|order| self.text(*order)));
        ElementType::new(code, order == Some(">"))
    }

    // Python 3 writes bytes in protocol 2 as the text that they are in Latin 1.
    fn raw_bytes(&self, id: NodeId) -> Option<Cow<'_, [u8]>> {
        match self.node(id) {
            Node::Bytes(bytes) => return Some(Cow::Borrowed(bytes)),
            Node::Object(_) => {}
            _ => return None,
        }
        let call = self.call(id)?;
        match ((call.module, call.name), call.arguments) {
            (("_codecs", "encode"), [text, encoding]) if self.text(*encoding) == Some("latin1") => {
                let bytes: Option<Vec<u8>> =
                    self.text(*text)?.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
                bytes.map(Cow::Owned)
            }
            (("builtins" | "__builtin__", "bytes"), []) => Some(Cow::Borrowed(&[])),
            _ => None,
        }
    }
}

impl ElementType {
    /// Of a code such as `f4`, with or without its byte order in front.
    fn new(code: &str, is_big_endian: bool) -> Result<Self, String> {
        let unknown = || format!("elements of type `{code}`, which are neither numbers nor text");
        let is_big_endian = is_big_endian || code.starts_with('>');
        let plain = code.trim_start_matches(['<', '>', '=', '|']);
        let kind = *plain.as_bytes().first().ok_or_else(unknown)?;
        let count: usize = plain.get(1..).and_then(|count| count.parse().ok()).ok_or_else(unknown)?;
        let size = match (kind, count) {
            (b'f', 2 | 4 | 8) | (b'i' | b'u', 1 | 2 | 4 | 8) | (b'b', 1) | (b'O', _) => count,
            (b'S', 1..) => count,
            (b'U', 1..) => count.checked_mul(UTF32).ok_or_else(unknown)?,
            _ => return Err(unknown()),
        };
        Ok(Self { kind, size, is_big_endian })
    }

    fn decode(&self, bytes: &[u8]) -> Result<ArrayData<'static>, String> {
        let elements = bytes.chunks_exact(self.size);
        match self.kind {
            b'S' => elements.map(text_of_bytes).collect::<Option<_>>().map(ArrayData::Texts),
            b'U' => elements.map(|element| self.text_of_utf32(element)).collect::<Option<_>>().map(ArrayData::Texts),
            _ => elements.map(|element| self.number(element)).collect::<Option<_>>().map(ArrayData::Numbers),
        }
        .ok_or_else(|| "an array with elements that are no text".to_string())
    }

    fn number(&self, element: &[u8]) -> Option<Number> {
        // Little-endian, filled up with zeros.
        let mut wide = [0; size_of::<u64>()];
        wide.get_mut(..self.size)?.copy_from_slice(element);
        if self.is_big_endian {
            wide[..self.size].reverse();
        }
        let bits = u64::from_le_bytes(wide);
        let unused = u64::BITS - u8::BITS * u32::try_from(self.size).ok()?;
        Some(match (self.kind, self.size) {
            (b'f', 2) => Number::Float(half::f16::from_bits(bits as u16).into()),
            (b'f', 4) => Number::Float(f32::from_bits(bits as u32).into()),
            (b'f', _) => Number::Float(f64::from_bits(bits)),
            (b'i', _) => Number::Int(((bits << unused) as i64) >> unused),
            _ => i64::try_from(bits).map_or(Number::Float(bits as f64), Number::Int),
        })
    }

    fn text_of_utf32(&self, element: &[u8]) -> Option<String> {
        let (points, _) = element.as_chunks::<UTF32>();
        let order = if self.is_big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
        let text: Option<String> = points.iter().map(|point| char::from_u32(order(*point))).collect();
        text.map(|text| text.trim_end_matches('\0').to_string())
    }
}

/// Bytes of a character.
const UTF32: usize = 4;

fn text_of_bytes(element: &[u8]) -> Option<String> {
    std::str::from_utf8(element).ok().map(|text| text.trim_end_matches('\0').to_string())
}
