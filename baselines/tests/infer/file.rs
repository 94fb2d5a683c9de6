//! Seed files: round trip, same bytes, and what is said about broken ones.

use std::path::PathBuf;

use candle_wsss_baselines::infer::{Precision, SeedMaps, read_seeds, write_seeds};

fn example() -> SeedMaps {
    let maps = (0..2 * 3 * 4).map(|index| index as f32 / 31.0 - 0.01).collect();
    SeedMaps::new(vec![0, 7], 3, 4, maps).unwrap()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// What reading a file of these bytes fails with.
    fn failure(&self, bytes: &[u8]) -> String {
        let path = self.file("broken.safetensors");
        std::fs::write(&path, bytes).unwrap();
        let message = read_seeds(&path).unwrap_err().to_string();
        assert!(message.contains("broken.safetensors"), "{message}");
        message
    }
}

#[test]
fn round_trip() {
    let (folder, seeds) = (Folder::new(), example());
    let path = folder.file("a.safetensors");
    write_seeds(&path, &seeds, Precision::Single).unwrap();
    assert_eq!(read_seeds(&path).unwrap(), seeds);
    write_seeds(&path, &seeds, Precision::Half).unwrap();
    let half = read_seeds(&path).unwrap();
    assert_eq!((half.classes(), half.height(), half.width()), (seeds.classes(), 3, 4));
    for (got, want) in half.maps().iter().zip(seeds.maps()) {
        assert!((got - want).abs() <= 5e-4 * want.abs(), "got {got}, want {want}");
    }
    let nothing = SeedMaps::new(vec![], 3, 4, vec![]).unwrap();
    write_seeds(&path, &nothing, Precision::Half).unwrap();
    assert_eq!(read_seeds(&path).unwrap(), nothing);
}

#[test]
fn equal_seeds_are_equal_bytes_and_nothing_else_is_left_behind() {
    let folder = Folder::new();
    for name in ["a", "b"] {
        write_seeds(&folder.file(name), &example(), Precision::Half).unwrap();
    }
    let bytes = std::fs::read(folder.file("a")).unwrap();
    assert_eq!(bytes, std::fs::read(folder.file("b")).unwrap());
    assert!(bytes.len() < 2 * 24 + 250, "{} bytes", bytes.len());
    assert_eq!(std::fs::read_dir(folder.0.path()).unwrap().count(), 2);
    let missing = write_seeds(&folder.file("no/such/folder"), &example(), Precision::Half);
    assert!(missing.unwrap_err().to_string().contains("no/such/folder"));
}

#[test]
fn broken_files_are_named_and_explained() {
    let folder = Folder::new();
    let missing = read_seeds(&folder.file("missing")).unwrap_err();
    assert!(missing.to_string().contains("missing"));
    let path = folder.file("good");
    write_seeds(&path, &example(), Precision::Half).unwrap();
    let good = std::fs::read(&path).unwrap();
    // Cut at every length, it is an error and no panic.
    for len in 0..good.len() {
        let message = folder.failure(&good[..len]);
        assert!(message.contains("no readable seed file"), "{len}: {message}");
    }
    assert!(folder.failure(b"\x89PNG\r\n\x1a\nnothing of the kind").contains("no readable seed file"));

    // Same length, other content of the header.
    let changed = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let at = good.windows(from.len()).position(|window| window == from.as_bytes()).expect("in the header");
        let mut bytes = good.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        folder.failure(&bytes)
    };
    assert!(changed("candle_wsss_seeds", "candle_wsss_seedz").contains("not one of seeds"));
    assert!(changed(r#"version\":1"#, r#"version\":9"#).contains("expected version 1 or 2 of the seed format, got 9"));
    assert!(changed(r#"[0,7]"#, r#"[7,0]"#).contains("ascend"));
    assert!(changed(r#"[0,7]"#, r#"[007]"#).contains("header"));
    assert!(changed(r#"height\":3"#, r#"height\":4"#).contains("expected shape [2, 4, 4], got [2, 3, 4]"));
    assert!(changed("F16", "I16").contains("expected dtype F16 or F32"));
    assert!(changed(r#""maps""#, r#""caps""#).contains("maps"));
    let mut bytes = good.clone();
    let len = bytes.len();
    // A half-precision NaN.
    bytes[len - 2..].copy_from_slice(&[0xff, 0x7f]);
    assert!(folder.failure(&bytes).contains("class 7 is not a number"));
}
