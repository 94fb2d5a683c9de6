//! Where image-level labels come from, and those of one image.
//!
//! All but [`Labels::Masks`] are weak supervision. That one looks at masks while a data set is opened and keeps nothing
//! of them but the classes they have; nothing else on the way of an image into training sees a mask.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::data::annotation::read_labels;
use crate::data::classes::CLASSES_FILE;
use crate::data::coco::Coco;
use crate::data::csv_labels::{KnownClasses, Row, read_csv_labels};
use crate::data::kind::{Kind, files_ending, has_extension};
use crate::data::label_table::LabelTable;
use crate::data::masks::MaskPlace;
use crate::data::npy::read_npy_labels;
use crate::data::source::{DataSource, LabelSource};
use crate::error::{Error, Result};

/// What reports call masks labels are taken from.
pub(super) const MASKS_TITLE: &str = "masks";
const NPY_FILE: &str = "cls_labels.npy";
const CSV_FILES: [&str; 2] = ["image_labels.csv", "labels.csv"];

/// A place labels come from, found but not read.
#[derive(Clone, Debug)]
pub(super) enum LabelPlace {
    /// Folder of annotations.
    Xml(PathBuf),
    Npy(PathBuf),
    Csv(PathBuf),
    Masks,
    /// The JSON images come from.
    Coco,
}

impl LabelPlace {
    /// What a source asks for, or the first of the usual places.
    ///
    /// # Errors
    /// When nothing is there, or a file is of no known kind.
    pub(super) fn find(source: &DataSource, kind: Kind) -> Result<Self> {
        match &source.labels {
            LabelSource::Auto if kind == Kind::Coco => Ok(Self::Coco),
            LabelSource::Auto => usual_place(source, kind),
            LabelSource::Xml => Ok(Self::Xml(Kind::annotations(&source.root))),
            LabelSource::Masks => Ok(Self::Masks),
            LabelSource::File(path) => match kind {
                _ if has_extension(path, "npy") => Ok(Self::Npy(source.file(path))),
                _ if has_extension(path, "csv") => Ok(Self::Csv(source.file(path))),
                Kind::Coco if has_extension(path, "json") => Ok(Self::Coco),
                _ => {
                    let reason = "labels: expected `auto`, `xml`, `masks`, or a file ending in .npy, .csv or .json";
                    Err(Error::Config(format!("{reason}, got `{}`", path.display())))
                }
            },
        }
    }

    /// What reports call it.
    pub(super) fn title(&self) -> String {
        match self {
            Self::Xml(_) => "annotations (XML)".to_string(),
            Self::Npy(path) | Self::Csv(path) => file_name(path),
            Self::Masks => MASKS_TITLE.to_string(),
            Self::Coco => "annotations (JSON)".to_string(),
        }
    }

    /// Folder of the CSV, beside which lists may be.
    pub(super) fn csv_folder(&self) -> Option<&Path> {
        match self {
            Self::Csv(path) => path.parent(),
            _ => None,
        }
    }
}

/// The last part of a path.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn usual_place(source: &DataSource, kind: Kind) -> Result<LabelPlace> {
    let root = &source.root;
    let annotations = Kind::annotations(root);
    if annotations.is_dir() {
        return Ok(LabelPlace::Xml(annotations));
    }
    let file = |names: &[&str], folders: &[&str]| {
        let all = folders.iter().flat_map(|folder| names.iter().map(move |name| root.join(folder).join(name)));
        all.into_iter().find(|path| path.is_file())
    };
    let lists = ["", "ImageSets", super::kind::LISTS];
    if let Some(path) = file(&[NPY_FILE], &lists) {
        return Ok(LabelPlace::Npy(path));
    }
    if let Some(path) = file(&CSV_FILES, &lists) {
        return Ok(LabelPlace::Csv(path));
    }
    // A folder of images has one CSV, whatever its name.
    let tables = if kind == Kind::Folder { files_ending(root, "csv") } else { Vec::new() };
    if let [only] = &tables[..] {
        return Ok(LabelPlace::Csv(only.clone()));
    }
    let expected = format!("expected image-level labels: a folder Annotations, {NPY_FILE} or {}", CSV_FILES[0]);
    let reason = if !tables.is_empty() {
        let names: Vec<String> =
            tables.iter().filter_map(|path| path.file_name()?.to_str().map(str::to_string)).collect();
        format!("{expected}; there are {}: say which with --labels", names.join(", "))
    } else if kind.masks(source).is_dir() {
        format!("{expected}; there are only masks: --labels masks takes the classes they have")
    } else {
        format!("{expected}; there is none")
    };
    Err(Error::data(root, reason))
}

/// Labels, read where they are in one file.
pub(super) enum Labels {
    Xml(PathBuf),
    Table {
        path: PathBuf,
        labels: BTreeMap<String, Vec<usize>>,
    },
    Masks(MaskPlace),
    /// By the place of an image.
    Coco(Vec<Vec<usize>>),
}

/// What is known once labels are read.
pub(super) struct LabelsRead {
    pub(super) labels: Labels,
    /// Those the labels are indices of, where their file says them.
    pub(super) class_names: Option<Vec<String>>,
    /// Rows of a CSV in its order.
    pub(super) rows: Option<Rows>,
    /// What is wrong with single rows.
    pub(super) problems: Vec<Error>,
}

/// Images of a CSV.
pub(super) struct Rows {
    pub(super) path: PathBuf,
    /// Names of images in the order of the file, each with its split.
    pub(super) images: Vec<(String, String)>,
    pub(super) has_splits: bool,
}

impl Labels {
    /// Reads what is in one file.
    ///
    /// # Errors
    /// When the file cannot be read, or is about other classes.
    pub(super) fn read(
        place: LabelPlace,
        known: KnownClasses<'_>,
        masks: &MaskPlace,
        coco: Option<&Coco>,
    ) -> Result<LabelsRead> {
        let labels = match place {
            LabelPlace::Xml(folder) if folder.is_dir() => Self::Xml(folder),
            LabelPlace::Xml(folder) => {
                return Err(Error::data(folder, "expected the folder of the annotations, there is no such folder"));
            }
            LabelPlace::Masks => Self::Masks(masks.clone()),
            LabelPlace::Coco => {
                let images = coco.map(|coco| &coco.images[..]).unwrap_or_default();
                Self::Coco(images.iter().map(|image| image.labels.clone()).collect())
            }
            LabelPlace::Npy(path) => {
                let (table, class_names) = read_npy(&path, known)?;
                let labels = Self::Table { path, labels: table };
                return Ok(LabelsRead { labels, class_names, rows: None, problems: Vec::new() });
            }
            LabelPlace::Csv(path) => return read_csv(path, known),
        };
        Ok(LabelsRead { labels, class_names: None, rows: None, problems: Vec::new() })
    }

    /// Labels of an image, ascending.
    ///
    /// # Errors
    /// When it has none, not even an empty set, or they make no sense.
    pub(super) fn of(&self, index: usize, name: &str, class_names: &[String]) -> Result<Vec<usize>> {
        match self {
            Self::Xml(folder) => read_labels(&folder.join(format!("{name}.xml")), class_names),
            Self::Table { path, labels } => labels
                .get(name)
                .cloned()
                .ok_or_else(|| Error::data(path, format!("expected the labels of image `{name}`, there are none"))),
            // The one place where labels come out of a mask.
            Self::Masks(masks) => Ok(masks.read(index, name, class_names.len())?.classes()),
            Self::Coco(labels) => Ok(labels.get(index).cloned().unwrap_or_default()),
        }
    }
}

type Table = BTreeMap<String, Vec<usize>>;

fn read_npy(path: &Path, known: KnownClasses<'_>) -> Result<(Table, Option<Vec<String>>)> {
    let LabelTable { class_names, num_classes, labels } = read_npy_labels(path)?;
    let names = class_names.as_deref().or(known.listed).or(known.usual);
    let Some(names) = names else {
        let reason = format!("has {num_classes} columns without names; expected {CLASSES_FILE} with a name for each");
        return Err(Error::data(path, reason));
    };
    if names.len() != num_classes {
        let which = if known.listed.is_some() { CLASSES_FILE } else { "VOC, there being no classes.txt" };
        let reason =
            format!("has {num_classes} columns, expected one for each of the {} classes of {which}", names.len());
        return Err(Error::data(path, reason));
    }
    Ok((labels, class_names))
}

fn read_csv(path: PathBuf, known: KnownClasses<'_>) -> Result<LabelsRead> {
    let table = read_csv_labels(&path, known)?;
    let images = table.rows.iter().map(|row| (row.name.clone(), row.split.clone())).collect();
    let labels = table.rows.into_iter().map(|Row { name, labels, .. }| (name, labels)).collect();
    Ok(LabelsRead {
        rows: Some(Rows { path: path.clone(), images, has_splits: table.has_splits }),
        labels: Labels::Table { path, labels },
        class_names: Some(table.class_names),
        problems: table.problems,
    })
}
