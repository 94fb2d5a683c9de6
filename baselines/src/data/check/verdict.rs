//! What works with what is there.

use crate::data::check::look::Defect;
use crate::data::check::{DataCheck, Work};

/// Without these nothing opens.
const OPENING: [Defect; 3] = [Defect::List, Defect::NoImage, Defect::Labels];
const READING: [Defect; 1] = [Defect::BadImage];
const SALIENCY: [Defect; 3] = [Defect::NoSaliency, Defect::BadSaliency, Defect::SaliencySize];
const MASKS: [Defect; 4] = [Defect::NoMask, Defect::BadMask, Defect::MaskSize, Defect::MaskValues];

/// What can be done, training first.
pub(super) fn works(check: &DataCheck) -> Vec<Work> {
    let seeds = first_of(check, &OPENING).or_else(|| first_of(check, &READING));
    let train = seeds.clone().or_else(|| no_labels(check));
    let saliency = || {
        let none = check.saliency.there == 0;
        none.then(|| format!("no saliency maps in {}", check.saliency.source)).or_else(|| first_of(check, &SALIENCY))
    };
    let masks = || {
        let none = check.masks.there == 0;
        none.then(|| format!("no masks in {}", check.masks.source)).or_else(|| first_of(check, &MASKS))
    };
    let work = |what, reason: Option<String>| Work { what, works: reason.is_none(), reason };
    vec![
        work("train", train.clone()),
        work("train EPS (needs saliency)", train.or_else(saliency)),
        work("seeds", seeds.clone()),
        work("crf", seeds.clone()),
        work("eval, compare (need masks)", seeds.or_else(masks)),
    ]
}

fn first_of(check: &DataCheck, defects: &[Defect]) -> Option<String> {
    let of = |defect: &Defect| check.problems.iter().find(|problem| problem.what == defect.title());
    defects.iter().find_map(of).map(|problem| format!("{}: {}", problem.what, problem.count))
}

fn no_labels(check: &DataCheck) -> Option<String> {
    check.labels.per_class.iter().all(|images| *images == 0).then(|| "no image has a label".to_string())
}
