//! Python's pickles read as data: nothing in one is looked up, imported or called.
//!
//! A pickle is a program for a small stack machine, and Python's own machine calls whatever the program names. This one
//! builds a tree of what the program *says*: numbers, texts, lists, dictionaries, names, and "this name applied to these
//! arguments" as one more kind of node. Who reads labels or weights then recognises the few applications that stand for
//! arrays and tensors and refuses the others by name.
//!
//! Nodes lie in one list and refer to each other by number. A pickle nested a million deep is a million numbers, with
//! nothing that recurses on the way in, on the way out, or when it is dropped; what is shared is there once, so a
//! pickle of a few bytes that would unfold to billions stays a few nodes. Lengths are compared with what is left of the
//! input before anything is set aside, texts and bytes stay where they are in the input, and the number of nodes has a
//! limit.
//!
//! Protocols 2 to 5 are read, without buffers outside the stream. Why not a library: candle's reader knows the opcodes
//! of protocol 2 alone (labels and weights of today are of 3, 4 and 5), keeps every text as a copy and drops nested
//! values recursively; `serde-pickle` has no persistent identifiers, which is how PyTorch refers to its storages, and
//! turns what it cannot resolve into `None`, so that a hostile file would look like an empty one.

mod array;
mod cursor;
mod machine;
mod trust;

pub use array::{Array, ArrayData, Number};
pub(crate) use cursor::Cursor;

/// Most nodes a pickle may have. Labels of 120,000 images are two million in the least compact protocol.
const MAX_NODES: usize = 4_000_000;

/// Where a value lies in its [`Pickle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(u32);

/// One value. Those that hold others hold their places.
#[derive(Clone, Debug, PartialEq)]
pub enum Node<'a> {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Text(&'a str),
    /// Bytes, and what Python 2 called a string.
    Bytes(&'a [u8]),
    /// A list.
    List(Vec<NodeId>),
    /// A tuple.
    Tuple(Vec<NodeId>),
    /// A set, frozen or not.
    Set(Vec<NodeId>),
    /// A dictionary: keys and values in the order they were put in. Of two equal keys the later one counts.
    Dict(Vec<(NodeId, NodeId)>),
    /// A name in a module. It was not looked up.
    Global {
        /// The module.
        module: &'a str,
        /// Its name there.
        name: &'a str,
    },
    /// What the writer left to the reader: PyTorch's storages.
    Persistent(NodeId),
    /// A name applied to arguments. It was not called.
    Object(Box<Object>),
}

/// A name applied to arguments, and what was put into the result.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// A [`Node::Global`].
    pub constructor: NodeId,
    /// A [`Node::Tuple`].
    pub arguments: NodeId,
    /// What `__setstate__` would be given.
    pub state: Option<NodeId>,
    /// What would be appended.
    pub list: Vec<NodeId>,
    /// What would be set as items.
    pub items: Vec<(NodeId, NodeId)>,
}

/// A name applied to arguments, looked at from outside.
#[derive(Clone, Copy, Debug)]
pub struct Call<'p> {
    /// The module of the name.
    pub module: &'p str,
    /// The name.
    pub name: &'p str,
    /// What it is applied to.
    pub arguments: &'p [NodeId],
    /// What `__setstate__` would be given.
    pub state: Option<NodeId>,
}

impl Call<'_> {
    /// Module and name.
    pub fn path(&self) -> String {
        format!("{}.{}", self.module, self.name)
    }
}

/// A pickle that was read.
#[derive(Clone, Debug)]
pub struct Pickle<'a> {
    nodes: Vec<Node<'a>>,
    root: NodeId,
    len: usize,
}

impl<'a> Pickle<'a> {
    /// Reads the pickle at the start of the bytes.
    ///
    /// # Errors
    /// With the reason, when it is damaged, of another protocol, too large, or names something that acts when Python
    /// loads it.
    ///
    /// ```
    /// use candle_wsss_baselines::pickle::Pickle;
    ///
    /// // pickle.dumps({"bird": [2, 3]}, protocol=2)
    /// let pickle = Pickle::read(b"\x80\x02}q\x00X\x04\x00\x00\x00birdq\x01]q\x02(K\x02K\x03es.")?;
    /// let (key, value) = pickle.items(pickle.root()).unwrap()[0];
    /// assert_eq!(pickle.text(key), Some("bird"));
    /// assert_eq!(pickle.sequence(value).unwrap().iter().filter_map(|id| pickle.int(*id)).sum::<i128>(), 5);
    ///
    /// let hostile = Pickle::read(b"\x80\x02cposix\nsystem\nX\x02\x00\x00\x00ls\x85R.");
    /// assert_eq!(hostile.unwrap_err(), "`posix.system` is no constructor of tensors or arrays; nothing was executed");
    /// # Ok::<(), String>(())
    /// ```
    pub fn read(bytes: &'a [u8]) -> Result<Self, String> {
        machine::run(bytes, MAX_NODES)
    }

    /// As [`Self::read`], with another limit on the number of nodes.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_within(bytes: &'a [u8], max_nodes: usize) -> Result<Self, String> {
        machine::run(bytes, max_nodes.min(MAX_NODES))
    }

    /// The value that was pickled.
    pub fn root(&self) -> NodeId {
        self.root
    }

    /// Bytes the pickle takes; another may follow.
    pub fn encoded_len(&self) -> usize {
        self.len
    }

    /// The value at that place.
    pub fn node(&self, id: NodeId) -> &Node<'a> {
        // Places come from this pickle; one of another names some value or none at all.
        self.nodes.get(id.0 as usize).unwrap_or(&Node::None)
    }

    /// Text, or bytes that are text.
    pub fn text(&self, id: NodeId) -> Option<&'a str> {
        match self.node(id) {
            Node::Text(text) => Some(text),
            Node::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// A whole number.
    pub fn int(&self, id: NodeId) -> Option<i128> {
        match self.node(id) {
            Node::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// A whole number that is a count or an index.
    pub fn count(&self, id: NodeId) -> Option<usize> {
        self.int(id).and_then(|value| usize::try_from(value).ok())
    }

    /// The members of a list or tuple.
    pub fn sequence(&self, id: NodeId) -> Option<&[NodeId]> {
        match self.node(id) {
            Node::List(members) | Node::Tuple(members) => Some(members),
            _ => None,
        }
    }

    /// The identifiers of what the writer left to the reader.
    pub fn persistent(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes.iter().filter_map(|node| match node {
            Node::Persistent(id) => Some(*id),
            _ => None,
        })
    }

    /// A name applied to arguments.
    pub fn call(&self, id: NodeId) -> Option<Call<'_>> {
        let Node::Object(object) = self.node(id) else { return None };
        let (module, name) = self.global(object.constructor)?;
        Some(Call { module, name, arguments: self.sequence(object.arguments)?, state: object.state })
    }

    /// Module and name of a name.
    pub fn global(&self, id: NodeId) -> Option<(&'a str, &'a str)> {
        match self.node(id) {
            Node::Global { module, name } => Some((module, name)),
            _ => None,
        }
    }

    /// Keys and values of a dictionary, plain or ordered.
    pub fn items(&self, id: NodeId) -> Option<Vec<(NodeId, NodeId)>> {
        let object = match self.node(id) {
            Node::Dict(items) => return Some(items.clone()),
            Node::Object(object) => object,
            _ => return None,
        };
        if !matches!(self.global(object.constructor)?, ("collections", "OrderedDict" | "defaultdict")) {
            return None;
        }
        // Python 2 gives the pairs to the constructor, Python 3 sets them afterwards.
        let mut items = Vec::new();
        for argument in self.sequence(object.arguments)? {
            for pair in self.sequence(*argument).unwrap_or_default() {
                let &[key, value] = self.sequence(*pair)? else { return None };
                items.push((key, value));
            }
        }
        items.extend_from_slice(&object.items);
        Some(items)
    }

    /// What a value is, in words, for messages.
    pub fn describe(&self, id: NodeId) -> String {
        match self.node(id) {
            Node::None => "None".to_string(),
            Node::Bool(_) => "a truth value".to_string(),
            Node::Int(value) => format!("the number {value}"),
            Node::Float(value) => format!("the number {value}"),
            Node::Text(_) => "text".to_string(),
            Node::Bytes(_) => "bytes".to_string(),
            Node::List(members) => format!("a list of {}", members.len()),
            Node::Tuple(members) => format!("a tuple of {}", members.len()),
            Node::Set(members) => format!("a set of {}", members.len()),
            Node::Dict(items) => format!("a dictionary of {}", items.len()),
            Node::Global { module, name } => format!("the name `{module}.{name}`"),
            Node::Persistent(_) => "a reference to a storage".to_string(),
            Node::Object(_) => {
                self.call(id).map_or("an object".to_string(), |call| format!("an object of `{}`", call.path()))
            }
        }
    }
}
