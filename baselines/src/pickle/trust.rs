//! Names that act when Python loads them.
//!
//! Nothing is ever called here, so this protects nobody from this program. It tells people that a file they were given
//! would have done something in the others.

/// Modules all of whose names are refused, with what is below them.
const ACTING: &[&str] = &[
    "_pickle",
    "asyncio",
    "bdb",
    "cPickle",
    "cffi",
    "cloudpickle",
    "code",
    "codeop",
    "commands",
    "ctypes",
    "dill",
    "doctest",
    "ftplib",
    "http",
    "imp",
    "importlib",
    "io",
    "marshal",
    "multiprocessing",
    "nt",
    "operator",
    "os",
    "pdb",
    "pickle",
    "pip",
    "pkgutil",
    "platform",
    "popen2",
    "posix",
    "profile",
    "pty",
    "pydoc",
    "requests",
    "runpy",
    "shelve",
    "shutil",
    "smtplib",
    "socket",
    "ssl",
    "subprocess",
    "sys",
    "threading",
    "timeit",
    "trace",
    "urllib",
    "urllib2",
    "webbrowser",
];

/// Modules some of whose names are plain values.
const MIXED: &[(&str, &[&str])] = &[
    ("builtins", PLAIN),
    ("__builtin__", PLAIN),
    ("types", &["SimpleNamespace", "MappingProxyType", "NoneType"]),
    ("_codecs", &["encode"]),
    ("codecs", &["encode"]),
];

const PLAIN: &[&str] = &[
    "bool",
    "bytearray",
    "bytes",
    "complex",
    "dict",
    "float",
    "frozenset",
    "int",
    "list",
    "long",
    "object",
    "range",
    "set",
    "slice",
    "str",
    "tuple",
    "unicode",
    "xrange",
];

/// Refuses a name that acts.
pub(super) fn check(module: &str, name: &str) -> Result<(), String> {
    let top = module.split('.').next().unwrap_or_default();
    let acts = match MIXED.iter().find(|(mixed, _)| *mixed == module) {
        Some((_, plain)) => !plain.contains(&name),
        None => ACTING.contains(&top),
    };
    if acts { Err(refusal(module, name)) } else { Ok(()) }
}

/// What is said of a name that stands for no tensor and no array.
pub(super) fn refusal(module: &str, name: &str) -> String {
    format!("`{module}.{name}` is no constructor of tensors or arrays; nothing was executed")
}
