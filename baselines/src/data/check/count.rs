//! What was seen of all images, counted.

use std::path::Path;

use crate::data::check::look::{Defect, Look};
use crate::data::check::verdict::works;
use crate::data::check::{DataCheck, ImageCounts, LabelCounts, MaskCounts, Problem, SaliencyCounts};
use crate::data::labels::MASKS_TITLE;
use crate::data::listing::Listing;
use crate::data::source::DataSource;
use crate::data::voc::{are_vocs, list_length};
use crate::error::Error;

/// How many of a kind are told in full.
const SHOWN: usize = 5;

/// Counts what was seen.
pub(super) fn count(source: &DataSource, listing: &Listing, looks: &[Look]) -> DataCheck {
    let names: Vec<&str> = listing.images.iter().map(|image| image.name.as_str()).collect();
    let mut check = DataCheck {
        root: source.root.display().to_string(),
        kind: listing.kind.title().to_string(),
        split: source.split.clone(),
        list: below(&source.root, &listing.list),
        class_names: listing.class_names.clone(),
        images: images(listing, looks),
        labels: labels(listing, looks),
        masks: masks(listing, looks, listing.masks.title(&source.root, &names)),
        saliency: SaliencyCounts {
            source: below(&source.root, &listing.saliency),
            there: looks.iter().filter(|look| look.has_saliency).count(),
        },
        problems: Defect::PROBLEMS.into_iter().filter_map(|defect| problem(defect, listing, looks)).collect(),
        notes: Defect::NOTES.into_iter().filter_map(|defect| problem(defect, listing, looks)).collect(),
        works: Vec::new(),
    };
    check.notes.extend(other_length(source, &names));
    check.notes.extend(labels_of_masks(&check));
    check.works = works(&check);
    check
}

fn below(root: &Path, path: &Path) -> String {
    match path.strip_prefix(root) {
        Ok(below) if !below.as_os_str().is_empty() => below.display().to_string(),
        _ => path.display().to_string(),
    }
}

fn images(listing: &Listing, looks: &[Look]) -> ImageCounts {
    let sizes = || looks.iter().filter_map(|look| look.size);
    let both = |of: fn(&mut dyn Iterator<Item = usize>) -> Option<usize>| {
        Some([of(&mut sizes().map(|size| size.0))?, of(&mut sizes().map(|size| size.1))?])
    };
    ImageCounts {
        listed: looks.len(),
        readable: sizes().count(),
        smallest: both(|values| values.min()),
        largest: both(|values| values.max()),
        unlisted: listing.unlisted,
    }
}

fn labels(listing: &Listing, looks: &[Look]) -> LabelCounts {
    let mut counts = LabelCounts {
        source: listing.label_source.clone(),
        per_class: vec![0; listing.class_names.len()],
        ..LabelCounts::default()
    };
    for labels in looks.iter().filter_map(|look| look.labels.as_ref()) {
        counts.images += 1;
        *counts.per_image.entry(labels.len()).or_default() += 1;
        for class in labels {
            counts.per_class[*class] += 1;
        }
    }
    counts
}

fn masks(listing: &Listing, looks: &[Look], source: String) -> MaskCounts {
    let mut counts = MaskCounts {
        source,
        there: looks.iter().filter(|look| look.has_mask).count(),
        per_class: vec![0; listing.class_names.len()],
        ..MaskCounts::default()
    };
    for mask in looks.iter().filter_map(|look| look.mask.as_ref()) {
        counts.pixels += mask.pixels;
        counts.void += mask.void;
        counts.background += mask.background;
        for class in &mask.classes {
            counts.per_class[*class] += 1;
        }
    }
    counts
}

fn problem(defect: Defect, listing: &Listing, looks: &[Look]) -> Option<Problem> {
    let own = |look: &Look| -> Vec<String> {
        look.defects.iter().filter(|(kind, _)| *kind == defect).map(|(_, text)| text.clone()).collect()
    };
    let all: Vec<String> = match defect {
        Defect::List => listing.problems.iter().map(Error::to_string).collect(),
        _ => looks.iter().flat_map(own).collect(),
    };
    let count = all.len();
    (count > 0).then(|| Problem { what: defect.title(), count, first: all.into_iter().take(SHOWN).collect() })
}

fn labels_of_masks(check: &DataCheck) -> Option<Problem> {
    let text = "numbers of such a run are not those of labels somebody gave; reports say so".to_string();
    let is_so = check.labels.source == MASKS_TITLE;
    is_so.then(|| Problem { what: "labels taken from masks", count: check.labels.images, first: vec![text] })
}

// Numbers on a list of another length are not those papers report.
fn other_length(source: &DataSource, names: &[&str]) -> Option<Problem> {
    let split = Path::new(&source.split).file_stem()?.to_str()?;
    let expected = list_length(split).filter(|expected| are_vocs(names) && *expected != names.len())?;
    let text = format!("{split} has {} images, VOC's list of this name {expected}", names.len());
    Some(Problem { what: "list of another length than VOC's", count: 1, first: vec![text] })
}
