//! A small data set in a temporary folder, to be read or to be damaged.

use std::fs;
use std::path::{Path, PathBuf};

use candle_wsss_baselines::Result;
use candle_wsss_baselines::data::{Annotation, BoundingBox, DataSource, Dataset, Mask, Object, VOID, write_mask};
use image::{GrayImage, Luma, Rgb, RgbImage};
use tempfile::TempDir;

pub(super) const CLASSES: [&str; 3] = ["ant", "bee", "cat"];

pub(super) struct Scratch(TempDir);

impl Scratch {
    /// Images `a0`, `a1`, .. of split `train`, `24 + i` by 20 pixels. Image `i` has classes `i % 3` and, if `i` is
    /// odd, `cat`; its saliency map is its red channel.
    pub(super) fn new(images: usize) -> Self {
        let this = Self(tempfile::tempdir().unwrap());
        let mut list = String::new();
        for i in 0..images {
            let name = format!("a{i}");
            let (width, height) = (24 + i as u32, 20);
            let image = RgbImage::from_fn(width, height, |x, y| {
                Rgb([(x * 7 + y * 5 + i as u32 * 31) as u8, (x * y) as u8, (200 - x - y) as u8])
            });
            this.write(&format!("JPEGImages/{name}.png"), |path| image.save(path).unwrap());
            let saliency = GrayImage::from_fn(width, height, |x, y| Luma([image.get_pixel(x, y)[0]]));
            this.write(&format!("saliency/{name}.png"), |path| saliency.save(path).unwrap());
            let mut classes = vec![i % 3];
            if i % 2 == 1 {
                classes.push(2);
            }
            this.text(&format!("Annotations/{name}.xml"), &annotation(&classes));
            let mut mask = Mask { width: width as usize, height: 20, data: vec![0; width as usize * 20] };
            mask.data[0] = VOID;
            for (k, class) in classes.iter().enumerate() {
                mask.data[30 + k] = *class as u8 + 1;
            }
            this.write(&format!("SegmentationClass/{name}.png"), |path| write_mask(path, &mask).unwrap());
            list.push_str(&format!("{name}\n"));
        }
        this.text("ImageSets/Segmentation/train.txt", &list);
        this.text("classes.txt", &CLASSES.join("\n"));
        this
    }

    /// The same images as a plain folder: `images`, `labels.csv` with names of classes, `masks`; no list.
    pub(super) fn folder(images: usize) -> Self {
        let this = Self::new(images);
        let set = Dataset::open(this.root(), "train").unwrap();
        let mut csv = "image,labels\n".to_string();
        for i in 0..images {
            let names: Vec<&str> = set.labels(i).iter().map(|class| CLASSES[*class]).collect();
            csv.push_str(&format!("a{i}.png,{}\n", names.join(" ")));
        }
        for old in ["Annotations", "ImageSets"] {
            this.remove_all(old);
        }
        this.rename("JPEGImages", "images");
        this.rename("SegmentationClass", "masks");
        this.text("labels.csv", &csv);
        this
    }

    pub(super) fn root(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.root().join(file)
    }

    pub(super) fn text(&self, file: &str, text: &str) {
        self.write(file, |path| fs::write(path, text).unwrap());
    }

    pub(super) fn write(&self, file: &str, write: impl FnOnce(&Path)) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        write(&path);
    }

    pub(super) fn remove_all(&self, folder: &str) {
        fs::remove_dir_all(self.path(folder)).unwrap();
    }

    pub(super) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    pub(super) fn source(&self, split: &str) -> DataSource {
        DataSource::new(self.root(), split)
    }

    pub(super) fn remove(&self, file: &str) {
        fs::remove_file(self.path(file)).unwrap();
    }
}

/// Fails unless the error is that of invalid data, names `file` and says `message`.
pub(super) fn assert_data_error<T: std::fmt::Debug>(scratch: &Scratch, result: Result<T>, file: &str, message: &str) {
    let error = result.unwrap_err();
    let (code, text) = (error.exit_code(), error.to_string());
    let path = if file.is_empty() { scratch.root().to_path_buf() } else { scratch.path(file) };
    assert_eq!(text, format!("{}: {message}", path.display()));
    assert_eq!(code, 3);
}

fn annotation(classes: &[usize]) -> String {
    let bounds = BoundingBox { x_min: 1, y_min: 1, x_max: 2, y_max: 2 };
    let object = |class: &usize| Object { class: CLASSES[*class].to_string(), bounds, truncated: false };
    Annotation {
        file_name: "<&>.png".to_string(),
        source: "test".to_string(),
        width: 24,
        height: 20,
        objects: classes.iter().map(object).collect(),
    }
    .write()
}
