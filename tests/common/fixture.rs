//! Reads golden vectors: one `.safetensors` with a `.json` sidecar per case.
//!
//! The folder is `CANDLE_WSSS_FIXTURES`, or `tests/fixtures` of the workspace. Cases are found by the prefix of their
//! name, and nothing about them is assumed: shapes and constants are read from the files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use serde_json::Value;

/// One case.
pub(crate) struct Fixture {
    pub(crate) name: String,
    pub(crate) json: Value,
    tensors: BTreeMap<String, Tensor>,
}

fn own_folder() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = if here.join("tests/fixtures").is_dir() { here } else { here.parent().expect("a parent") };
    root.join("tests/fixtures")
}

// A relative path is one from the root of the workspace, wherever the tests of a crate are run.
fn folder() -> PathBuf {
    let own = own_folder();
    match std::env::var_os("CANDLE_WSSS_FIXTURES") {
        Some(other) => own.ancestors().nth(2).expect("a workspace").join(PathBuf::from(other)),
        None => own,
    }
}

impl Fixture {
    /// All cases whose name starts with `prefix`, sorted by name. A folder without one is a failure.
    pub(crate) fn with_prefix(prefix: &str) -> Vec<Self> {
        Self::in_folder(&folder(), prefix)
    }

    /// As [`Self::with_prefix`], for cases that `make_trunks.py` of this workspace makes and nobody else has.
    pub(crate) fn own_with_prefix(prefix: &str) -> Vec<Self> {
        Self::in_folder(&own_folder(), prefix)
    }

    fn in_folder(folder: &Path, prefix: &str) -> Vec<Self> {
        let entries = std::fs::read_dir(folder).unwrap_or_else(|err| panic!("{}: {err}", folder.display()));
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.expect("a readable folder").file_name().into_string().ok())
            .filter_map(|name| name.strip_suffix(".safetensors").map(str::to_string))
            .filter(|name| name.starts_with(prefix))
            .collect();
        names.sort();
        assert!(!names.is_empty(), "no case `{prefix}*` in {}", folder.display());
        names.into_iter().map(|name| Self::read(folder, name)).collect()
    }

    fn read(folder: &Path, name: String) -> Self {
        let file = folder.join(format!("{name}.safetensors"));
        let tensors = candle_core::safetensors::load(&file, &Device::Cpu)
            .unwrap_or_else(|err| panic!("{}: {err}", file.display()))
            .into_iter()
            .collect();
        let file = folder.join(format!("{name}.json"));
        let text = std::fs::read_to_string(&file).unwrap_or_else(|err| panic!("{}: {err}", file.display()));
        let json = serde_json::from_str(&text).unwrap_or_else(|err| panic!("{}: {err}", file.display()));
        Self { name, json, tensors }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// A tensor as stored.
    pub(crate) fn raw(&self, name: &str) -> Tensor {
        self.tensors.get(name).unwrap_or_else(|| panic!("{}: no tensor {name}", self.name)).clone()
    }

    /// A tensor in float64.
    pub(crate) fn tensor(&self, name: &str) -> Tensor {
        self.raw(name).to_dtype(DType::F64).expect("a convertible dtype")
    }

    /// A constant of the case, by a dotted path below `constants`.
    pub(crate) fn constant(&self, path: &str) -> f64 {
        let mut value = &self.json["constants"];
        for key in path.split('.') {
            value = &value[key];
        }
        value.as_f64().unwrap_or_else(|| panic!("{}: no constant {path}", self.name))
    }

    /// As [`Self::constant`], for counts.
    pub(crate) fn count(&self, path: &str) -> usize {
        let value = self.constant(path);
        assert!(value >= 0.0 && value.fract() == 0.0, "{}: {path} is no count", self.name);
        value as usize
    }

    /// A reference scalar; `None` when the reference was not finite.
    pub(crate) fn scalar(&self, name: &str) -> Option<f64> {
        let value = &self.json["scalars"][name];
        assert!(!value.is_null(), "{}: no scalar {name}", self.name);
        value.as_f64()
    }

    /// Fails unless `got` is the reference scalar within `tolerance`, relative.
    pub(crate) fn check_scalar(&self, name: &str, got: &Tensor, tolerance: f64) {
        let want = self.scalar(name).unwrap_or_else(|| panic!("{}: {name} is not finite", self.name));
        let got = got.to_dtype(DType::F64).and_then(|t| t.to_scalar::<f64>()).expect("a scalar");
        let error = (got - want).abs() / want.abs().max(1e-12);
        // Where the reference is zero but for rounding, nothing is relative to it.
        assert!(
            error <= tolerance || (got - want).abs() <= 1e-15,
            "{}: {name}: got {got}, want {want}, relative error {error:.2e}",
            self.name
        );
    }

    /// Fails unless `got` is the stored tensor within `tolerance` of its largest absolute value.
    pub(crate) fn check(&self, name: &str, got: &Tensor, tolerance: f64) {
        let what = format!("{}: {name}", self.name);
        candle_wsss::testing::assert_close(&what, got, &self.tensor(name), tolerance).expect("comparable tensors");
    }
}
