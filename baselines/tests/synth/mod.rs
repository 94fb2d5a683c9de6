//! The generator of synthetic scenes.
#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod cues;
mod determinism;
mod saliency;
mod truth;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_wsss_baselines::synth::{Summary, SynthConfig, generate};
use tempfile::TempDir;

fn small() -> SynthConfig {
    SynthConfig { train: 10, val: 4, size: [56, 72], ..SynthConfig::default() }
}

/// A generated data set that goes when it is dropped.
struct Generated {
    folder: TempDir,
    summary: Summary,
}

impl Generated {
    fn new(config: &SynthConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let summary = generate(config, &folder.path().join("set"), &mut |_, _| {}).unwrap();
        Self { folder, summary }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("set")
    }

    /// The bytes of all files whose path starts so.
    fn files(&self, prefix: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(&self.root(), &self.root(), &mut files);
        files.retain(|path, _| path.to_str().unwrap().starts_with(prefix));
        files
    }
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            files.insert(path.strip_prefix(root).unwrap().to_path_buf(), fs::read(&path).unwrap());
        }
    }
}
