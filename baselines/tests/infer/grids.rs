//! Seeds at the resolution of the network: what a file keeps of them, and what is said about broken files.

use std::path::PathBuf;

use candle_core::{Device, Tensor};
use candle_wsss::ops::{Corners, resize_bilinear};
use candle_wsss_baselines::infer::{
    Grid, GridSeeds, MapSource, Precision, SeedMaps, normalize_maps, read_seeds, write_grid_seeds, write_seeds,
};

/// Smooth maps as networks make them: some blobs, the same at every scale up to a little noise.
fn blobs(classes: &[usize], (height, width): (usize, usize), factor: f32, source: MapSource) -> GridSeeds {
    let cells = |side: usize, scale: f64| ((side as f64 * scale).round() as usize).div_ceil(8);
    let grid = |scale: f64| {
        let (rows, columns) = (cells(height, scale), cells(width, scale));
        let mut maps = Vec::new();
        for class in classes {
            for (y, x) in (0..rows * columns).map(|i| (i / columns, i % columns)) {
                let (y, x) = ((y as f32 + 0.5) / rows as f32, (x as f32 + 0.5) / columns as f32);
                let blob = |cy: f32, cx: f32, size: f32| (-((y - cy).powi(2) + (x - cx).powi(2)) / size).exp();
                let noise = ((y * 57.0 + *class as f32).sin() * (x * 43.0 + scale as f32).cos()).abs();
                let value = blob(0.4, 0.3 + 0.02 * *class as f32, 0.05) + 0.7 * blob(0.7, 0.8, 0.01) + 0.05 * noise;
                maps.push(2.0 * factor * value);
            }
        }
        Grid { height: rows, width: columns, maps }
    };
    let grids = [0.5, 1.0, 1.5, 2.0].map(grid).into();
    GridSeeds::new(classes.to_vec(), (height, width), source, grids).unwrap()
}

fn small() -> GridSeeds {
    let grid = |height: usize, width: usize| {
        let maps = (0..2 * height * width).map(|i| (i as f32 * 0.37).sin() * 3.0).collect();
        Grid { height, width, maps }
    };
    GridSeeds::new(vec![0, 7], (5, 6), MapSource::Softmax, vec![grid(2, 3), grid(1, 2)]).unwrap()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, bytes: &[u8]) -> Result<SeedMaps, String> {
        let path = self.file("broken.safetensors");
        std::fs::write(&path, bytes).unwrap();
        read_seeds(&path).map_err(|err| {
            let message = err.to_string();
            assert!(message.contains("broken.safetensors"), "{message}");
            message
        })
    }

    fn failure(&self, bytes: &[u8]) -> String {
        self.read(bytes).unwrap_err()
    }
}

fn bytes_of(folder: &Folder, seeds: &GridSeeds) -> Vec<u8> {
    let path = folder.file("good");
    write_grid_seeds(&path, seeds).unwrap();
    std::fs::read(&path).unwrap()
}

#[test]
fn scores_are_those_of_the_resized_sum() {
    for source in [MapSource::Refined, MapSource::Softmax] {
        let seeds = blobs(&[1, 4], (30, 41), 1.0, source);
        let mut want = Tensor::zeros((2, 30, 41), candle_core::DType::F32, &Device::Cpu).unwrap();
        for Grid { height, width, maps } in seeds.grids() {
            let grid = Tensor::from_slice(maps, (1, 2, *height, *width), &Device::Cpu).unwrap();
            let resized = resize_bilinear(&grid, (30, 41), Corners::HalfPixel).unwrap();
            want = (want + resized.squeeze(0).unwrap()).unwrap();
        }
        let want = normalize_maps(&want, source).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let got = seeds.seed_maps().unwrap();
        assert_eq!((got.classes(), got.height(), got.width()), (&[1, 4][..], 30, 41));
        for (got, want) in got.maps().iter().zip(&want) {
            assert!((got - want).abs() < 1e-6, "{got}, {want}");
        }
    }
}

#[test]
fn a_file_holds_what_was_rounded_and_nothing_is_rounded_twice() {
    let folder = Folder::new();
    let path = folder.file("a.safetensors");
    let nothing = GridSeeds::new(vec![], (3, 4), MapSource::Refined, vec![]).unwrap();
    // From what a half could not hold for smallness to what it could not for size, next to powers of two as well.
    let factors = [1e-42, 1e-30, 1e-7, 0.999_99, 1.0, 37.0, 1e9, 1e30];
    let blobs = factors.map(|factor| blobs(&[0, 5], (60, 45), factor, MapSource::Softmax));
    for seeds in blobs.into_iter().chain([small(), nothing]) {
        let rounded = seeds.rounded().unwrap();
        assert_eq!(rounded.rounded().unwrap(), rounded);
        write_grid_seeds(&path, &rounded).unwrap();
        assert_eq!(read_seeds(&path).unwrap(), rounded.seed_maps().unwrap());
        let bytes = std::fs::read(&path).unwrap();
        write_grid_seeds(&path, &seeds).unwrap();
        assert!(std::fs::read(&path).unwrap() == bytes, "rounding first, or in the file");
        for (rounded, seeds) in rounded.grids().iter().zip(seeds.grids()) {
            let largest = seeds.maps.iter().fold(0f32, |most, value| most.max(value.abs()));
            for (got, want) in rounded.maps.iter().zip(&seeds.maps) {
                // Of the value where that is a normal half, else of the largest.
                let error = (got - want).abs();
                let bound = 4.9e-4 * want.abs() + 6e-8 * largest + 2e-45;
                assert!(error <= bound, "{want} became {got}, largest {largest}");
            }
        }
    }
}

#[test]
fn one_value_next_to_a_power_of_two() {
    for value in [0.999_999_9_f32, 1.0, 0.999_7, 0.999_8, 2.0, 65504.0, 65536.0, f32::MAX, f32::MIN_POSITIVE, 1e-45] {
        let grid = Grid { height: 1, width: 2, maps: vec![value, value * 1e-4] };
        let seeds = GridSeeds::new(vec![3], (2, 2), MapSource::Softmax, vec![grid]).unwrap();
        // The largest float32 of all is rounded up to what is none.
        let Ok(rounded) = seeds.rounded() else {
            assert_eq!(value, f32::MAX);
            continue;
        };
        assert_eq!(rounded.rounded().unwrap(), rounded, "{value}");
        assert!((rounded.grids()[0].maps[0] - value).abs() <= value * 4.9e-4);
    }
}

/// How many labels move is a matter of how many pixels lie next to a threshold: here over all 60 of the released
/// evaluation, and no more than when full scores were kept in as many digits.
#[test]
fn labels_move_on_few_pixels() {
    let folder = Folder::new();
    let path = folder.file("a");
    for source in [MapSource::Refined, MapSource::Softmax] {
        for factor in [1e-3, 1.0, 40.0] {
            let seeds = blobs(&[2, 9], (188, 250), factor, source);
            let exact = seeds.seed_maps().unwrap();
            write_grid_seeds(&path, &seeds).unwrap();
            let stored = read_seeds(&path).unwrap();
            write_seeds(&path, &exact, Precision::Half).unwrap();
            let full = read_seeds(&path).unwrap();
            let moved = |other: &SeedMaps| -> usize {
                let differs = |score: f32| {
                    let pairs = exact.labels(score).into_iter().zip(other.labels(score));
                    pairs.filter(|(one, other)| one != other).count()
                };
                (0..60).map(|step| differs(step as f32 / 100.0)).sum()
            };
            let all = 60 * 188 * 250;
            let (moved, moved_full) = (moved(&stored), moved(&full));
            // Not one in two thousand.
            assert!(moved * 2000 < all, "{source:?} {factor}: {moved} of {all}");
            assert!(moved <= moved_full, "{source:?} {factor}: {moved}, {moved_full} where scores are rounded");
            let largest = stored.maps().iter().zip(exact.maps()).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
            assert!(largest < 5e-4, "{source:?} {factor}: a score moved by {largest}");
        }
    }
}

#[test]
fn a_file_is_small() {
    let folder = Folder::new();
    // A photograph of VOC, one class: grids of 32 x 24, 63 x 47, 94 x 71 and 125 x 94 cells.
    let bytes = bytes_of(&folder, &blobs(&[3], (375, 500), 1.0, MapSource::Refined)).len();
    assert!(bytes < 2 * (32 * 24 + 63 * 47 + 94 * 71 + 125 * 94) + 600, "{bytes} bytes");
    // All of the augmented training set, a class and a half each, against the scores themselves.
    let (grids, full) = (bytes as f64 * 1.5 * 10_582.0, 2.0 * 500.0 * 375.0 * 1.5 * 10_582.0);
    assert!(grids < 0.75e9 && full > 5.9e9, "{grids}");
}

#[test]
fn files_of_version_1_are_read() {
    let folder = Folder::new();
    let path = folder.file("a");
    let maps = SeedMaps::new(vec![1, 3], 2, 3, (0..12).map(|i| i as f32 / 16.0).collect()).unwrap();
    for precision in [Precision::Half, Precision::Single] {
        write_seeds(&path, &maps, precision).unwrap();
        assert_eq!(read_seeds(&path).unwrap(), maps);
    }
}

#[test]
fn seeds_that_contradict_themselves_are_not_made() {
    let grid = |maps: Vec<f32>| Grid { height: 1, width: 2, maps };
    let fail = |classes: &[usize], size, grids: Vec<Grid>| {
        GridSeeds::new(classes.to_vec(), size, MapSource::Refined, grids).unwrap_err().to_string()
    };
    assert!(fail(&[1, 0], (2, 2), vec![]).contains("ascend"));
    assert!(fail(&[254], (2, 2), vec![]).contains("below 254"));
    assert!(fail(&[0], (2, 2), vec![]).contains("expected maps where there are classes, got 0 for [0]"));
    assert!(fail(&[], (2, 2), vec![grid(vec![])]).contains("got 1 for []"));
    assert!(fail(&[0], (0, 2), vec![grid(vec![0.0; 2])]).contains("got 0 x 2"));
    assert!(fail(&[0], (1 << 20, 1 << 20), vec![grid(vec![0.0; 2])]).contains("an image of at most 67108864 pixels"));
    assert!(fail(&[0], (usize::MAX, 2), vec![grid(vec![0.0; 2])]).contains("expected an image of"));
    assert!(fail(&[0], (2, 2), vec![grid(vec![0.0; 3])]).contains("expected 1 maps of 1 x 2, got 3 values"));
    assert!(fail(&[0, 4], (2, 2), vec![grid(vec![0.0, 1.0, 2.0, f32::NAN])]).contains("class 4 is not a number"));
    assert!(fail(&[0], (2, 2), vec![grid(vec![f32::INFINITY, 0.0])]).contains("class 0 is not a number, but inf"));
}

#[test]
fn broken_files_are_named_and_explained() {
    let folder = Folder::new();
    let good = bytes_of(&folder, &small());
    for len in 0..good.len() {
        let message = folder.failure(&good[..len]);
        assert!(message.contains("no readable seed file"), "{len}: {message}");
    }
    let changed = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let at = good.windows(from.len()).position(|window| window == from.as_bytes()).expect("in the header");
        let mut bytes = good.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        folder.failure(&bytes)
    };
    assert!(changed(r#"version\":2"#, r#"version\":3"#).contains("expected version 1 or 2 of the seed format, got 3"));
    // What one version has, the other has not.
    assert!(changed(r#"version\":2"#, r#"version\":1"#).contains("header: unknown field `source`"));
    assert!(changed("[0,7]", "[7,0]").contains("ascend"));
    assert!(changed("[0,7]", "[007]").contains("header"));
    assert!(changed("[0,7]", "[777]").contains("expected an exponent a class, 1, got 2"));
    assert!(changed(r#"height\":5"#, r#"height\":0"#).contains("got 0 x 6"));
    assert!(changed("[2,2]", "[999]").contains("expected an exponent a class, 2, got 1"));
    assert!(changed(r#"grids\":2"#, r#"grids\":1"#).contains("header: expected 1 tensors, got 2"));
    assert!(changed(r#""grid_1""#, r#""grid_7""#).contains("grid_1"));
    assert!(changed("softmax", "softmin").contains("unknown variant `softmin`"));
    assert!(changed("F16", "I16").contains("expected dtype F16, got I16"));
    assert!(changed("[2,2,3]", "[3,2,2]").contains("expected shape [2, 2, 2], got [3, 2, 2]"));
    let mut bytes = good.clone();
    let len = bytes.len();
    for (half, what) in [([0xff, 0x7f], "NaN"), ([0x00, 0x7c], "inf")] {
        bytes[len - 2..].copy_from_slice(&half);
        let message = folder.failure(&bytes);
        assert!(message.contains("class 7 is not a number") && message.contains(what), "{message}");
    }
}

/// A file of these tensors, as anyone can write one.
fn file_of(header: &serde_json::Value, tensors: &[(&str, &[usize])]) -> Vec<u8> {
    let metadata = std::collections::HashMap::from([("candle_wsss_seeds".to_string(), header.to_string())]);
    let data: Vec<Vec<u8>> = tensors.iter().map(|(_, shape)| vec![0; 2 * shape.iter().product::<usize>()]).collect();
    let views = tensors.iter().zip(&data).map(|((name, shape), data)| {
        (*name, safetensors::tensor::TensorView::new(safetensors::Dtype::F16, shape.to_vec(), data).unwrap())
    });
    safetensors::serialize(views, Some(metadata)).unwrap()
}

#[test]
fn small_files_do_not_take_large_memory() {
    let folder = Folder::new();
    let classes: Vec<usize> = (0..254).collect();
    let header = |classes: &[usize], side: u64, grids: usize| {
        serde_json::json!({
            "version": 2, "classes": classes, "height": side, "width": side, "source": "refined",
            "exponents": vec![0; classes.len()], "grids": grids,
        })
    };
    let message = folder.failure(&file_of(&header(&classes, 8192, 1), &[("grid_0", &[254, 1, 1])]));
    assert!(message.contains("at most 268435456 scores, classes times pixels, got 254 x 8192 x 8192"), "{message}");
    let message = folder.failure(&file_of(&header(&[3], 16384, 1), &[("grid_0", &[1, 1, 1])]));
    assert!(message.contains("an image of at most 67108864 pixels, got 16384 x 16384"), "{message}");
    // Without a class there is no value, and the sides of a grid may be anything.
    let endless: (&str, &[usize]) = ("grid_0", &[0, 1 << 40, 1 << 40]);
    let message = folder.failure(&file_of(&header(&[], 2, 1), &[endless]));
    assert!(message.contains("tensor `grid_0`: is of 1099511627776 x 1099511627776 cells"), "{message}");
    // Labels of the first version, which takes memory where it is asked for them.
    let version_1 = serde_json::json!({"version": 1, "classes": [], "height": 1 << 20, "width": 1 << 20});
    let message = folder.failure(&file_of(&version_1, &[("maps", &[0, 1 << 20, 1 << 20])]));
    assert!(message.contains("an image of at most 67108864 pixels, got 1048576 x 1048576"), "{message}");
}

#[test]
fn whatever_the_bytes_it_is_an_error_or_a_value() {
    let folder = Folder::new();
    let good = bytes_of(&folder, &small());
    for at in 0..good.len() {
        for flip in [0x01, 0x10, 0x80] {
            let mut bytes = good.clone();
            bytes[at] ^= flip;
            drop(folder.read(&bytes));
        }
    }
}
