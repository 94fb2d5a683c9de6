//! What a data set has, of whatever kind: images, their labels, and where the rest is.
//!
//! Defects of single images and lines are kept, not returned at once: opening a data set takes the first, checking it
//! takes all.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use crate::data::classes::{CLASSES_FILE, read_class_names};
use crate::data::coco::Coco;
use crate::data::csv_labels::KnownClasses;
use crate::data::image_folder::ImageFolder;
use crate::data::kind::{Kind, LISTS, files_ending, has_extension};
use crate::data::labels::{LabelPlace, Labels, LabelsRead, Rows, file_name};
use crate::data::list::{read_list, split_names};
use crate::data::masks::MaskPlace;
use crate::data::saliency::saliency_folder;
use crate::data::source::{DataSource, LabelSource};
use crate::data::text::is_plain;
use crate::data::voc::VOC_CLASSES;
use crate::error::{Error, Result};

/// The split that is every image.
const ALL: &str = "all";
/// Lists that may be beside a CSV.
const USUAL_LISTS: [&str; 6] = ["train", "trainaug", "train_aug", "val", "trainval", "test"];

/// What a data set has.
pub(super) struct Listing {
    pub(super) kind: Kind,
    pub(super) class_names: Vec<String>,
    /// What reports call the place labels come from.
    pub(super) label_source: String,
    /// Where the names of the images come from.
    pub(super) list: PathBuf,
    /// In the order of the list.
    pub(super) images: Vec<Found>,
    pub(super) masks: MaskPlace,
    pub(super) saliency: PathBuf,
    /// What is wrong with lists and tables.
    pub(super) problems: Vec<Error>,
    /// Images of the folder that are in no list, where there are lists.
    pub(super) unlisted: Option<usize>,
}

/// An image of a list, with what is wrong with it.
pub(super) struct Found {
    pub(super) name: String,
    pub(super) image: Result<PathBuf>,
    /// `None` when there is nothing to look them up in, which is one of the listing's problems.
    pub(super) labels: Option<Result<Vec<usize>>>,
}

/// What a data set is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// Training: images and labels.
    Labels,
    /// Evaluation: masks as well.
    Masks,
}

impl Listing {
    /// Reads lists and labels.
    ///
    /// # Errors
    /// When there is no such data set, list or folder of images, or it is unknown which classes there are.
    pub(super) fn read(source: &DataSource, sight: Sight) -> Result<Self> {
        match Kind::of(source)? {
            Kind::Coco => coco(source, sight),
            kind => files(source, kind),
        }
    }
}

fn coco(source: &DataSource, sight: Sight) -> Result<Listing> {
    // Polygons are most of what there is to read and to keep.
    let coco = match sight {
        Sight::Labels if source.labels != LabelSource::Masks => Coco::open_labels(source, &source.coco)?,
        _ => Coco::open_with(source, &source.coco)?,
    };
    let coco = Arc::new(coco);
    let masks = match &source.masks {
        Some(folder) => MaskPlace::Folder(source.root.join(folder)),
        None => MaskPlace::Coco(Arc::clone(&coco), coco.has_masks()),
    };
    let place = LabelPlace::find(source, Kind::Coco);
    let label_source = label_source(&place, Some(coco.annotations()));
    let known = KnownClasses { listed: Some(&coco.class_names), usual: None };
    let mut problems = Vec::new();
    let labels = read_labels(place, known, &masks, Some(&coco), &mut problems).map(|read| read.labels);
    let images = coco.images.par_iter().enumerate().map(|(index, image)| Found {
        name: image.name.clone(),
        image: Ok(image.path.clone()),
        labels: labels.as_ref().map(|labels| labels.of(index, &image.name, &coco.class_names)),
    });
    Ok(Listing {
        kind: Kind::Coco,
        class_names: coco.class_names.clone(),
        label_source,
        list: coco.annotations().to_path_buf(),
        images: images.collect(),
        masks,
        saliency: saliency_folder(source)?,
        problems,
        unlisted: None,
    })
}

fn label_source(place: &Result<LabelPlace>, json: Option<&Path>) -> String {
    match (place, json) {
        (Ok(LabelPlace::Coco), Some(json)) => file_name(json),
        (Ok(place), _) => place.title(),
        (Err(_), _) => "none".to_string(),
    }
}

fn files(source: &DataSource, kind: Kind) -> Result<Listing> {
    let root = &source.root;
    let listed = read_class_names(root)?;
    let vocs: Vec<String> = VOC_CLASSES.iter().map(ToString::to_string).collect();
    let usual = (kind == Kind::Voc).then_some(&vocs[..]);
    let masks = MaskPlace::Folder(kind.masks(source));
    let place = LabelPlace::find(source, kind);
    let label_source = label_source(&place, None);
    let csv_folder = place.as_ref().ok().and_then(LabelPlace::csv_folder).map(Path::to_path_buf);
    let mut problems = Vec::new();
    let known = KnownClasses { listed: listed.as_deref(), usual };
    let read = read_labels(place, known, &masks, None, &mut problems);
    let (labels, own, rows) = read.map_or((None, None, None), |read| (Some(read.labels), read.class_names, read.rows));
    let class_names = match listed.clone().or(own).or(usual.map(<[_]>::to_vec)) {
        Some(class_names) => class_names,
        None => return Err(unknown_classes(root, problems)),
    };
    let folder = ImageFolder::read(&kind.images(root))?;
    let names = names(source, kind, &folder, rows.as_ref(), csv_folder.as_deref(), &mut problems)?;
    let unlisted = names.unlisted(root, &folder, rows.as_ref());
    let images = names.names.into_par_iter().enumerate().map(|(index, name)| Found {
        image: folder.find(&name),
        labels: labels.as_ref().map(|labels| labels.of(index, &name, &class_names)),
        name,
    });
    Ok(Listing {
        kind,
        label_source,
        list: names.list,
        images: images.collect(),
        masks,
        saliency: saliency_folder(source)?,
        problems,
        unlisted,
        class_names,
    })
}

fn read_labels(
    place: Result<LabelPlace>,
    known: KnownClasses<'_>,
    masks: &MaskPlace,
    coco: Option<&Coco>,
    problems: &mut Vec<Error>,
) -> Option<LabelsRead> {
    match place.and_then(|place| Labels::read(place, known, masks, coco)) {
        Ok(mut read) => {
            problems.append(&mut read.problems);
            Some(read)
        }
        Err(err) => {
            problems.push(err);
            None
        }
    }
}

// Without classes nothing can be said; why there are none may be known already.
fn unknown_classes(root: &Path, problems: Vec<Error>) -> Error {
    let missing =
        || Error::data(root.join(CLASSES_FILE), "expected the names of the classes, one a line, there is no such file");
    problems.into_iter().next().unwrap_or_else(missing)
}

/// Which images a split has.
struct Names {
    names: Vec<String>,
    /// Where they are from.
    list: PathBuf,
}

impl Names {
    fn unlisted(&self, root: &Path, folder: &ImageFolder, rows: Option<&Rows>) -> Option<usize> {
        let lists = files_ending(&root.join(LISTS), "txt");
        let mut known: BTreeSet<&str> = self.names.iter().map(String::as_str).collect();
        known.extend(rows.into_iter().flat_map(|rows| rows.images.iter().map(|(name, _)| name.as_str())));
        let listed: Vec<String> =
            lists.iter().filter_map(|path| read_list(path, "a list").ok()).flat_map(|list| list.names).collect();
        known.extend(listed.iter().map(String::as_str));
        Some(folder.names().filter(|name| !known.contains(name)).count())
    }
}

fn names(
    source: &DataSource,
    kind: Kind,
    folder: &ImageFolder,
    rows: Option<&Rows>,
    csv_folder: Option<&Path>,
    problems: &mut Vec<Error>,
) -> Result<Names> {
    let DataSource { root, split, .. } = source;
    let expected = format!("the list of split `{split}`");
    let from_list = |list: PathBuf, problems: &mut Vec<Error>| {
        let read = read_list(&list, &expected)?;
        problems.extend(read.problems);
        Ok(Names { names: read.names, list })
    };
    if has_extension(Path::new(split), "txt") {
        let places = [PathBuf::from(split), root.join(split), root.join(LISTS).join(split)];
        let list = places.iter().find(|path| path.is_file()).unwrap_or(&places[0]).clone();
        return from_list(list, problems);
    }
    if !is_plain(split) {
        let reason = "split: expected the name of a list, such as `train`, or the path of one ending in .txt";
        return Err(Error::Config(format!("{reason}, got `{split}`")));
    }
    let mut folders = vec![root.join(LISTS), root.clone()];
    folders.extend(csv_folder.map(Path::to_path_buf));
    let list_of =
        |name: &str| folders.iter().map(|folder| folder.join(format!("{name}.txt"))).find(|path| path.is_file());
    if let Some(list) = split_names(split).into_iter().find_map(list_of) {
        return from_list(list, problems);
    }
    if let Some(rows) = rows.filter(|rows| rows.has_splits && split != ALL) {
        return from_column(rows, split);
    }
    let has_lists = USUAL_LISTS.iter().any(|name| list_of(name).is_some());
    if kind == Kind::Folder && (split == ALL || (split == USUAL_LISTS[0] && !has_lists)) {
        return Ok(match rows {
            Some(rows) => {
                Names { names: rows.images.iter().map(|(name, _)| name.clone()).collect(), list: rows.path.clone() }
            }
            None => Names { names: folder.names().map(str::to_string).collect(), list: kind.images(root) },
        });
    }
    Err(no_such_list(&folders[0], &expected, kind))
}

fn from_column(rows: &Rows, split: &str) -> Result<Names> {
    let aliases = split_names(split);
    let of = |own: &str| aliases.contains(&own);
    let names: Vec<String> = rows.images.iter().filter(|(_, own)| of(own)).map(|(name, _)| name.clone()).collect();
    if names.is_empty() {
        let there: BTreeSet<&str> = rows.images.iter().map(|(_, own)| own.as_str()).collect();
        let there: Vec<&str> = there.into_iter().collect();
        let reason = format!("expected rows of split `{split}`; the column `split` has {}", there.join(", "));
        return Err(Error::data(&rows.path, reason));
    }
    Ok(Names { names, list: rows.path.clone() })
}

fn no_such_list(folder: &Path, expected: &str, kind: Kind) -> Error {
    let split = expected.split('`').nth(1).unwrap_or_default();
    let there = files_ending(folder, "txt");
    let there: Vec<&str> = there.iter().filter_map(|path| path.file_stem()?.to_str()).collect();
    let hint = match kind {
        _ if !there.is_empty() => format!("; there are: {}", there.join(", ")),
        Kind::Folder => format!("; `--split {ALL}` takes every image"),
        _ => String::new(),
    };
    Error::data(folder.join(format!("{split}.txt")), format!("expected {expected}, there is no such file{hint}"))
}
