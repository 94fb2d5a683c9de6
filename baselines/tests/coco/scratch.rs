use std::fs;
use std::path::{Path, PathBuf};

use candle_wsss_baselines::Result;
use candle_wsss_baselines::data::{Coco, CocoConfig, DataSource, LabelSource, Mask};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder with COCO's annotations and image files without content; pixels are not looked at here.
pub(super) struct Scratch(TempDir);

pub(super) const JSON: &str = "annotations/instances_train2014.json";

impl Scratch {
    pub(super) fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// The document as `train2014`, its images in `train2014/`.
    pub(super) fn new(document: &Value) -> Self {
        let this = Self::empty();
        this.set(document);
        for image in document["images"].as_array().unwrap() {
            this.file(&format!("train2014/{}", image["file_name"].as_str().unwrap()), b"");
        }
        this
    }

    pub(super) fn set(&self, document: &Value) {
        self.file(JSON, document.to_string().as_bytes());
    }

    pub(super) fn file(&self, path: &str, content: &[u8]) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(super) fn root(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    pub(super) fn open(&self) -> Result<Coco> {
        self.open_with(&CocoConfig::default())
    }

    pub(super) fn open_with(&self, config: &CocoConfig) -> Result<Coco> {
        Coco::open_with(&DataSource::new(self.root(), "train2014"), config)
    }

    pub(super) fn open_json(&self, json: impl Into<PathBuf>, split: &str) -> Result<Coco> {
        Coco::open(&DataSource { labels: LabelSource::File(json.into()), ..DataSource::new(self.root(), split) })
    }
}

/// Two classes; image `b` (id 2, 4 x 3) with one annotation, image `a` (id 7, 6 x 5) with three, image `c` with none.
pub(super) fn document() -> Value {
    let square = |x: i32, y: i32, side: i32| json!([[x, y, x + side, y, x + side, y + side, x, y + side]]);
    let annotation = |id: i64, image: i64, category: i64, area: f64, crowd: i64, segmentation: Value| {
        json!({
            "id": id, "image_id": image, "category_id": category, "area": area, "iscrowd": crowd,
            "segmentation": segmentation,
        })
    };
    json!({
        "info": {"year": 2014, "nested": [1, {"a": null}]},
        "images": [
            {"id": 7, "file_name": "a.jpg", "width": 6, "height": 5, "coco_url": "x"},
            {"id": 2, "file_name": "b.jpg", "width": 4, "height": 3},
            {"id": 9, "file_name": "c.jpg", "width": 2, "height": 2},
        ],
        "annotations": [
            annotation(10, 7, 3, 4.0, 0, square(1, 1, 2)),
            annotation(11, 2, 17, 12.0, 1, json!({"size": [3, 4], "counts": [3, 2, 7]})),
            annotation(12, 7, 17, 9.0, 0, square(2, 1, 3)),
            annotation(13, 7, 3, 1.0, 1, json!({"size": [5, 6], "counts": [0, 1, 29]})),
        ],
        "categories": [{"id": 17, "name": "cat"}, {"id": 3, "name": "ant", "supercategory": "animal"}],
    })
}

/// A mask as one line of digits a row, `#` for void.
pub(super) fn rows(mask: &Mask) -> Vec<String> {
    let digit = |value: &u8| if *value == 255 { '#' } else { char::from(b'0' + value) };
    mask.data.chunks(mask.width).map(|row| row.iter().map(digit).collect()).collect()
}
