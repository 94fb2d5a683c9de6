//! The stack machine: opcodes to nodes.

use std::collections::HashMap;

use super::cursor::Cursor;
use super::{Node, NodeId, Object, Pickle, trust};

/// Reads one pickle of at most so many nodes.
pub(super) fn run(bytes: &[u8], max_nodes: usize) -> Result<Pickle<'_>, String> {
    let mut machine = Machine {
        input: Cursor::new(bytes),
        nodes: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        max_nodes,
    };
    machine.expect_protocol()?;
    loop {
        let at = machine.input.position();
        let opcode = machine.input.byte()?;
        if opcode == b'.' {
            break;
        }
        machine.step(opcode).map_err(|reason| match reason {
            Stop::Said(reason) => reason,
            Stop::Damaged(what) => format!("damaged at byte {at}: {what}"),
        })?;
    }
    let root = machine.stack.pop().ok_or("damaged: it ends without a value")?;
    Ok(Pickle { nodes: machine.nodes, root, len: machine.input.position() })
}

struct Machine<'a> {
    input: Cursor<'a>,
    nodes: Vec<Node<'a>>,
    stack: Vec<NodeId>,
    /// Heights of the stack where something was begun.
    marks: Vec<usize>,
    memo: HashMap<u32, NodeId>,
    max_nodes: usize,
}

/// Why an opcode was not carried out.
enum Stop {
    /// A reason that says it all.
    Said(String),
    /// Bytes no writer writes.
    Damaged(&'static str),
}

impl From<String> for Stop {
    fn from(reason: String) -> Self {
        Self::Said(reason)
    }
}

type Step<T = ()> = Result<T, Stop>;

const EMPTY: &str = "an opcode finds too little on the stack";
const HIGHEST_PROTOCOL: u8 = 5;

impl<'a> Machine<'a> {
    fn expect_protocol(&mut self) -> Result<(), String> {
        let mut peek = self.input.clone();
        match (peek.byte()?, peek.byte()) {
            (0x80, Ok(2..=HIGHEST_PROTOCOL)) => Ok(()),
            (0x80, Ok(version)) => Err(format!("a pickle of protocol {version}, of which 2 to 5 are read")),
            _ => Err("no pickle of protocol 2 to 5".to_string()),
        }
    }

    fn step(&mut self, opcode: u8) -> Step {
        match opcode {
            b'N' => self.push(Node::None),
            0x88 => self.push(Node::Bool(true)),
            0x89 => self.push(Node::Bool(false)),
            b'J' | b'K' | b'M' | b'I' | b'L' | 0x8a | 0x8b => self.int(opcode),
            b'G' => self.input.array().map(|bytes| Node::Float(f64::from_be_bytes(bytes)))?.pushed(self),
            b'X' | 0x8c | 0x8d => self.text(opcode),
            b'U' | b'T' | b'C' | b'B' | 0x8e | 0x96 => self.bytes(opcode),
            b']' => self.push(Node::List(Vec::new())),
            b')' => self.push(Node::Tuple(Vec::new())),
            b'}' => self.push(Node::Dict(Vec::new())),
            0x8f => self.push(Node::Set(Vec::new())),
            b't' | b'l' | 0x91 | b'd' => self.gathered(opcode),
            0x85..=0x87 => self.tuple(usize::from(opcode - 0x84)),
            b'a' | b'e' | 0x90 => self.append(opcode),
            b's' | b'u' => self.set_items(opcode),
            b'c' | 0x93 => self.global(opcode),
            b'R' | 0x81 | 0x92 => self.apply(opcode),
            b'b' => self.build(),
            b'Q' => self.pop().map(Node::Persistent)?.pushed(self),
            _ => self.housekeeping(opcode),
        }
    }

    // What leaves no value of its own.
    fn housekeeping(&mut self, opcode: u8) -> Step {
        match opcode {
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.popped_to_mark()?),
            b'2' => self.stack.push(self.top()?),
            b'q' | b'r' | b'p' | 0x94 => self.put(opcode)?,
            b'h' | b'j' | b'g' => self.get(opcode)?,
            0x80 => drop(self.input.byte()?),
            // A frame is a hint for reading in large pieces. Its length is checked when its bytes are read.
            0x95 => drop(self.input.u64()?),
            b'i' | b'o' | 0x82..=0x84 | 0x97 | 0x98 | b'P' | b'S' | b'V' | b'F' => return self.refuse(opcode),
            _ => return Err(Stop::Damaged("no opcode of a pickle")),
        }
        Ok(())
    }

    fn refuse(&mut self, opcode: u8) -> Step {
        let what = match opcode {
            b'i' => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                return Err(Stop::Said(trust::refusal(module, name)));
            }
            b'o' => "an object made by calling its class (OBJ)",
            0x82..=0x84 => "a name out of the extension registry (EXT)",
            0x97 | 0x98 => "a buffer outside the pickle",
            _ => "an opcode of protocol 0",
        };
        Err(Stop::Said(format!("it has {what}, which is no part of labels or weights; nothing was executed")))
    }

    fn node(&mut self, node: Node<'a>) -> Step<NodeId> {
        if self.nodes.len() >= self.max_nodes {
            return Err(Stop::Said(format!("more than {} values in one pickle", self.max_nodes)));
        }
        let id = u32::try_from(self.nodes.len()).map_err(|_| Stop::Damaged("too many values"))?;
        self.nodes.push(node);
        Ok(NodeId(id))
    }

    fn push(&mut self, node: Node<'a>) -> Step {
        let id = self.node(node)?;
        self.stack.push(id);
        Ok(())
    }

    // Height below which an opcode may not reach.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Step<NodeId> {
        self.stack[self.floor()..].last().copied().ok_or(Stop::Damaged(EMPTY))
    }

    fn pop(&mut self) -> Step<NodeId> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn popped_to_mark(&mut self) -> Step<Vec<NodeId>> {
        let mark = self.marks.pop().ok_or(Stop::Damaged("an opcode finds no mark"))?;
        Ok(self.stack.split_off(mark))
    }

    fn popped_pairs(&mut self) -> Step<Vec<(NodeId, NodeId)>> {
        let members = self.popped_to_mark()?;
        let (pairs, []) = members.as_chunks::<2>() else {
            return Err(Stop::Damaged("a key without a value"));
        };
        Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
    }

    fn int(&mut self, opcode: u8) -> Step {
        let value = match opcode {
            b'J' => i32::from_le_bytes(self.input.array()?).into(),
            b'K' => self.input.byte()?.into(),
            b'M' => u16::from_le_bytes(self.input.array()?).into(),
            0x8a => {
                let len = self.input.byte()?;
                self.long(len.into())?
            }
            0x8b => {
                let len = self.input.u32()?;
                self.long(len.into())?
            }
            // Python 2 writes numbers of more than 32 bits as text, and before protocol 2 truth values as well.
            _ => match self.input.line()? {
                "00" => return self.push(Node::Bool(false)),
                "01" => return self.push(Node::Bool(true)),
                line => line.trim_end_matches('L').parse().map_err(|_| Stop::Damaged("no number in a line of one"))?,
            },
        };
        self.push(Node::Int(value))
    }

    // Little-endian, two's complement.
    fn long(&mut self, len: u64) -> Step<i128> {
        let bytes = self.input.take(len)?;
        let negative = bytes.last().is_some_and(|byte| *byte >= 0x80);
        let mut value = [if negative { 0xff } else { 0 }; size_of::<i128>()];
        let part = value.get_mut(..bytes.len());
        let part = part.ok_or_else(|| format!("a number of {len} bytes, of which 16 are read"))?;
        part.copy_from_slice(bytes);
        Ok(i128::from_le_bytes(value))
    }

    fn text(&mut self, opcode: u8) -> Step {
        let len = match opcode {
            0x8c => self.input.byte()?.into(),
            0x8d => self.input.u64()?,
            _ => self.input.u32()?.into(),
        };
        let text = std::str::from_utf8(self.input.take(len)?).map_err(|_| Stop::Damaged("a text that is not UTF-8"))?;
        self.push(Node::Text(text))
    }

    fn bytes(&mut self, opcode: u8) -> Step {
        let len = match opcode {
            b'U' | b'C' => self.input.byte()?.into(),
            0x8e | 0x96 => self.input.u64()?,
            _ => self.input.u32()?.into(),
        };
        let bytes = self.input.take(len)?;
        self.push(Node::Bytes(bytes))
    }

    fn gathered(&mut self, opcode: u8) -> Step {
        let node = match opcode {
            b't' => Node::Tuple(self.popped_to_mark()?),
            b'l' => Node::List(self.popped_to_mark()?),
            b'd' => Node::Dict(self.popped_pairs()?),
            _ => Node::Set(self.popped_to_mark()?),
        };
        self.push(node)
    }

    fn tuple(&mut self, len: usize) -> Step {
        let start = self.stack.len().checked_sub(len).filter(|start| *start >= self.floor());
        let members = self.stack.split_off(start.ok_or(Stop::Damaged(EMPTY))?);
        self.push(Node::Tuple(members))
    }

    fn append(&mut self, opcode: u8) -> Step {
        let members = if opcode == b'a' { vec![self.pop()?] } else { self.popped_to_mark()? };
        let top = self.top()?;
        match (&mut self.nodes[top.0 as usize], opcode) {
            (Node::List(list), b'a' | b'e') | (Node::Set(list), 0x90) => list.extend(members),
            (Node::Object(object), _) => object.list.extend(members),
            _ => return Err(Stop::Damaged("appends to what is no list")),
        }
        Ok(())
    }

    fn set_items(&mut self, opcode: u8) -> Step {
        let pairs = if opcode == b's' {
            let (value, key) = (self.pop()?, self.pop()?);
            vec![(key, value)]
        } else {
            self.popped_pairs()?
        };
        let top = self.top()?;
        match &mut self.nodes[top.0 as usize] {
            Node::Dict(items) => items.extend(pairs),
            Node::Object(object) => object.items.extend(pairs),
            _ => return Err(Stop::Damaged("sets items of what is no dictionary")),
        }
        Ok(())
    }

    fn global(&mut self, opcode: u8) -> Step {
        let (module, name) = if opcode == b'c' {
            (self.input.line()?, self.input.line()?)
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            match (&self.nodes[module.0 as usize], &self.nodes[name.0 as usize]) {
                (Node::Text(module), Node::Text(name)) => (*module, *name),
                _ => return Err(Stop::Damaged("a name that is no text")),
            }
        };
        trust::check(module, name)?;
        self.push(Node::Global { module, name })
    }

    fn apply(&mut self, opcode: u8) -> Step {
        // Arguments by name stand last; no constructor of tensors or arrays has them.
        let keywords = if opcode == 0x92 { Some(self.pop()?) } else { None };
        let (arguments, constructor) = (self.pop()?, self.pop()?);
        if !matches!(self.nodes[constructor.0 as usize], Node::Global { .. }) {
            let reason = "it calls what is no name, which is no part of labels or weights; nothing was executed";
            return Err(Stop::Said(reason.to_string()));
        }
        if !matches!(self.nodes[arguments.0 as usize], Node::Tuple(_)) {
            return Err(Stop::Damaged("arguments that are no tuple"));
        }
        let object = Object { constructor, arguments, state: keywords, list: Vec::new(), items: Vec::new() };
        self.push(Node::Object(Box::new(object)))
    }

    fn build(&mut self) -> Step {
        let state = self.pop()?;
        let top = self.top()?;
        match &mut self.nodes[top.0 as usize] {
            Node::Object(object) => object.state = Some(state),
            _ => return Err(Stop::Damaged("a state for what has none")),
        }
        Ok(())
    }

    fn put(&mut self, opcode: u8) -> Step {
        let key = match opcode {
            b'q' => self.input.byte()?.into(),
            b'r' => self.input.u32()?,
            0x94 => u32::try_from(self.memo.len()).map_err(|_| Stop::Damaged("too many references"))?,
            _ => self.number_line()?,
        };
        let top = self.top()?;
        if self.memo.len() >= self.max_nodes {
            return Err(Stop::Said(format!("more than {} references in one pickle", self.max_nodes)));
        }
        self.memo.insert(key, top);
        Ok(())
    }

    fn get(&mut self, opcode: u8) -> Step {
        let key = match opcode {
            b'h' => self.input.byte()?.into(),
            b'j' => self.input.u32()?,
            _ => self.number_line()?,
        };
        let id = self.memo.get(&key).ok_or(Stop::Damaged("a reference to what was not kept"))?;
        self.stack.push(*id);
        Ok(())
    }

    fn number_line(&mut self) -> Step<u32> {
        self.input.line()?.parse().map_err(|_| Stop::Damaged("no number in a line of one"))
    }
}

impl<'a> Node<'a> {
    fn pushed(self, machine: &mut Machine<'a>) -> Step {
        machine.push(self)
    }
}
