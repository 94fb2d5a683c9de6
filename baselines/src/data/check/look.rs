//! One image looked at, with all that belongs to it.

use std::path::{Path, PathBuf};

use crate::data::decode::{read_gray_image, read_rgb_image};
use crate::data::image_set::expect_size;
use crate::data::listing::{Found, Listing};
use crate::data::mask::{BACKGROUND, Mask, VOID};
use crate::data::masks::out_of_range;
use crate::data::saliency::saliency_path;
use crate::error::{Error, Result};

/// Kinds of defects, in the order they are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Defect {
    List,
    NoImage,
    BadImage,
    Labels,
    NoMask,
    BadMask,
    MaskSize,
    MaskValues,
    NoSaliency,
    BadSaliency,
    SaliencySize,
    Unlabelled,
    OnlyInMask,
    OnlyInLabels,
}

impl Defect {
    pub(super) const PROBLEMS: [Self; 11] = [
        Self::List,
        Self::NoImage,
        Self::BadImage,
        Self::Labels,
        Self::NoMask,
        Self::BadMask,
        Self::MaskSize,
        Self::MaskValues,
        Self::NoSaliency,
        Self::BadSaliency,
        Self::SaliencySize,
    ];
    pub(super) const NOTES: [Self; 3] = [Self::Unlabelled, Self::OnlyInMask, Self::OnlyInLabels];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::List => "defects of the list or the table of labels",
            Self::NoImage => "images missing",
            Self::BadImage => "images unreadable or cut short",
            Self::Labels => "images whose labels are missing or wrong",
            Self::NoMask => "masks missing",
            Self::BadMask => "masks unreadable",
            Self::MaskSize => "masks of another size than their image",
            Self::MaskValues => "masks with values out of range",
            Self::NoSaliency => "saliency maps missing",
            Self::BadSaliency => "saliency maps unreadable",
            Self::SaliencySize => "saliency maps of another size than their image",
            Self::Unlabelled => "images without a label",
            Self::OnlyInMask => "images whose mask has a class their labels have not",
            Self::OnlyInLabels => "images whose labels have a class their mask has not",
        }
    }
}

/// What there is of an image.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub(super) size: Option<(usize, usize)>,
    pub(super) labels: Option<Vec<usize>>,
    pub(super) has_mask: bool,
    pub(super) mask: Option<MaskLook>,
    pub(super) has_saliency: bool,
    pub(super) defects: Vec<(Defect, String)>,
}

/// What is in a mask.
#[derive(Debug)]
pub(super) struct MaskLook {
    pub(super) pixels: usize,
    pub(super) void: usize,
    pub(super) background: usize,
    pub(super) classes: Vec<usize>,
}

/// Looks at an image of a list.
pub(super) fn look(listing: &Listing, index: usize) -> Look {
    let Found { name, image, labels } = &listing.images[index];
    let mut look = Look::default();
    let path = match image {
        Ok(path) => {
            look.size = look.keep(Defect::BadImage, read_size(path));
            Some(path)
        }
        Err(err) => {
            look.defects.push((Defect::NoImage, err.to_string()));
            None
        }
    };
    match labels {
        Some(Ok(labels)) => {
            if labels.is_empty() {
                look.defects.push((Defect::Unlabelled, name.clone()));
            }
            look.labels = Some(labels.clone());
        }
        Some(Err(err)) => look.defects.push((Defect::Labels, err.to_string())),
        None => {}
    }
    look.mask(listing, index, path);
    look.saliency(listing, name, path);
    look
}

fn read_size(path: &PathBuf) -> Result<(usize, usize)> {
    let image = read_rgb_image(path)?;
    Ok((image.width() as usize, image.height() as usize))
}

impl Look {
    fn keep<T>(&mut self, defect: Defect, result: Result<T>) -> Option<T> {
        result.map_err(|err| self.defects.push((defect, err.to_string()))).ok()
    }

    // Compared with the image's own, where that is known.
    fn compare_size(&mut self, defect: Defect, image: Option<&PathBuf>, path: &Path, size: (usize, usize)) {
        if let (Some(image), Some(expected)) = (image, self.size) {
            self.keep(defect, expect_size(image, expected, path, size));
        }
    }

    fn mask(&mut self, listing: &Listing, index: usize, image: Option<&PathBuf>) {
        let (masks, name) = (&listing.masks, &listing.images[index].name);
        let path = masks.path(name);
        self.has_mask = masks.is_there(name);
        if !self.has_mask {
            // None at all is no defect: masks are for evaluation.
            if masks.exists() {
                self.defects.push((Defect::NoMask, path.display().to_string()));
            }
            return;
        }
        let Some(mask) = self.keep(Defect::BadMask, masks.read_any(index, name)) else { return };
        self.compare_size(Defect::MaskSize, image, &path, (mask.width, mask.height));
        let num_classes = listing.class_names.len();
        if let Some(reason) = out_of_range(&mask, num_classes) {
            self.defects.push((Defect::MaskValues, Error::data(&path, reason).to_string()));
        }
        let classes: Vec<usize> = mask.classes().into_iter().filter(|class| *class < num_classes).collect();
        self.compare_classes(listing, name, &classes);
        self.mask = Some(MaskLook { classes, ..MaskLook::of(&mask) });
    }

    fn compare_classes(&mut self, listing: &Listing, name: &str, classes: &[usize]) {
        let Some(labels) = &self.labels else { return };
        let beyond = |these: &[usize], those: &[usize]| {
            let more = these.iter().filter(|class| !those.contains(class));
            let more: Vec<&str> = more.map(|class| listing.class_names[*class].as_str()).collect();
            (!more.is_empty()).then(|| format!("{name}: {}", more.join(", ")))
        };
        let (in_mask, in_labels) = (beyond(classes, labels), beyond(labels, classes));
        self.defects.extend(in_mask.map(|text| (Defect::OnlyInMask, text)));
        self.defects.extend(in_labels.map(|text| (Defect::OnlyInLabels, text)));
    }

    fn saliency(&mut self, listing: &Listing, name: &str, image: Option<&PathBuf>) {
        let path = saliency_path(&listing.saliency, name);
        self.has_saliency = path.is_file();
        if !self.has_saliency {
            if listing.saliency.is_dir() {
                self.defects.push((Defect::NoSaliency, path.display().to_string()));
            }
            return;
        }
        if let Some(map) = self.keep(Defect::BadSaliency, read_gray_image(&path)) {
            self.compare_size(Defect::SaliencySize, image, &path, (map.width() as usize, map.height() as usize));
        }
    }
}

impl MaskLook {
    fn of(mask: &Mask) -> Self {
        let count = |value: u8| mask.data.iter().filter(|own| **own == value).count();
        Self { pixels: mask.data.len(), void: count(VOID), background: count(BACKGROUND), classes: Vec::new() }
    }
}
