//! A step reads nothing from the device: a host that waits for a number cannot prepare what comes next.

use super::source::{Source, line_of};
use super::{expect_none, rust_files};

/// Where code of a step is: all of the core, and what the program's trainings run.
const STEP: [&str; 8] = [
    "src/",
    "baselines/src/backbone/",
    "baselines/src/seam/",
    "baselines/src/eps/",
    "baselines/src/oaa/",
    "baselines/src/train/",
    "baselines/src/data/",
    "baselines/src/run/training_log.rs",
];

/// Calls that copy from the device, or wait for it.
const READS: [&str; 7] =
    [".to_scalar", ".to_vec0", ".to_vec1", ".to_vec2", ".to_vec3", ".to_device(&Device::Cpu)", ".synchronize("];

/// Files that read, and why.
const ALLOWED: &[(&str, &str)] = &[
    ("src/testing.rs", "for tests"),
    ("src/label.rs", "labels handed over as a tensor; the program makes them on the host"),
    ("src/objective.rs", "for loops that want every step's terms; the trainer reads many steps' at once"),
    ("src/memory/queue.rs", "positions of a queue, which are on the host but after a checkpoint was read"),
    ("src/ops/dense_crf/batch.rs", "the lattice is filtered on the host"),
    ("src/ops/dense_crf/channels.rs", "the lattice is filtered on the host"),
    ("src/ops/dense_crf/image.rs", "the lattice is filtered on the host"),
    ("src/ops/prototype_contrast/composed.rs", "the composed form, which is there to compare with"),
    ("src/regularizer/ppc/terms.rs", "recorded draws, and batches of fewer pixels than classes"),
    ("src/regularizer/pss/expansion.rs", "whether a term has a meaning depends on the maps"),
    ("src/regularizer/pss/region.rs", "whether a term has a meaning depends on the maps"),
    ("src/regularizer/pss/support.rs", "when a checkpoint is taken up"),
    ("src/regularizer/rca/kmeans.rs", "once an epoch, until nothing moves"),
    ("src/regularizer/rca/regions.rs", "which images go into the queue depends on the maps"),
    ("src/regularizer/rca/update.rs", "which images go into the queue depends on the network"),
    ("baselines/src/train/checkpoint.rs", "when a checkpoint is written"),
    ("baselines/src/train/ledger.rs", "the reading, once in many steps"),
    ("baselines/src/train/trainer.rs", "when a step has failed"),
];

// Reads of a file, whether allowed or not.
fn reads(source: &Source) -> Vec<String> {
    let Source { path, product, .. } = source;
    if !STEP.iter().any(|place| path.starts_with(place)) {
        return Vec::new();
    }
    let places = READS.iter().flat_map(|read| product.match_indices(read));
    places
        .map(|(at, read)| format!("{path}:{}: `{}` reads from the device", line_of(product, at), &read[1..]))
        .collect()
}

#[test]
fn a_step_reads_nothing_from_the_device() {
    let files = rust_files();
    let watched = files.iter().filter(|file| ALLOWED.iter().all(|(path, _)| *path != file.path));
    expect_none(&watched.flat_map(reads).collect::<Vec<_>>());
}

#[test]
fn every_exception_still_reads() {
    let files = rust_files();
    for (path, reason) in ALLOWED {
        let reads_still = files.iter().any(|file| &file.path == path && !reads(file).is_empty());
        assert!(reads_still, "{path}: reads nothing any more, allowed because {reason}");
    }
}

#[test]
fn reads_are_found() {
    let found = |path: &str, text: &str| reads(&Source::new(path, text)).len();
    for text in ["x.to_scalar::<f64>()", "x.to_vec1()?", "x.to_device(&Device::Cpu)?", "device.synchronize()?"] {
        assert_eq!(found("src/a.rs", text), 1, "{text}");
        assert_eq!(found("baselines/src/run/seeds.rs", text), 0, "{text}");
    }
    for text in [
        "// x.to_vec1()",
        "x.to_vec()",
        "x.to_device(like.device())",
        "#[cfg(test)]\nmod tests { fn f() { x.to_vec1() } }",
    ] {
        assert_eq!(found("src/a.rs", text), 0, "{text}");
    }
}
