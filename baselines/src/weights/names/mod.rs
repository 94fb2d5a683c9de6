//! Which tensors of a file a trunk wants, and under which names.

mod mxnet;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use candle_core::Tensor;

use super::Weights;
use crate::backbone::BackboneConfig;
use crate::error::{Error, Result};

/// Tensors under the names of a trunk.
#[derive(Clone, Debug)]
pub struct Mapped {
    /// By the trunk's names.
    pub tensors: BTreeMap<String, Tensor>,
    /// What became of every name.
    pub report: MappingReport,
}

/// What became of the names of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingReport {
    /// Kind of the trunk.
    pub backbone: &'static str,
    /// How names were read, for people.
    pub rule: String,
    /// Name in the file and in the trunk, in the order of the file.
    pub mapped: Vec<(String, String)>,
    /// Parameters of the trunk the file has not, sorted.
    pub missing: Vec<String>,
    /// Tensors of the file the trunk has no use for, in the order of the file. Counts of batches are not told.
    pub surplus: Vec<String>,
    /// Tensors of another shape than the trunk's.
    pub misshapen: Vec<Misshapen>,
}

/// A tensor of another shape than the trunk's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misshapen {
    /// Name in the file.
    pub name: String,
    /// Name in the trunk.
    pub parameter: String,
    /// Shape in the trunk.
    pub expected: Vec<usize>,
    /// Shape in the file.
    pub got: Vec<usize>,
}

/// PyTorch counts the batches a normalisation has seen; nothing here asks for them.
const BATCH_COUNT: &str = "num_batches_tracked";

/// Finds the trunk's parameters in a file of weights.
///
/// Names fit as they are, behind a prefix (`module.`, `backbone.`, `encoder.`, or any other up to a point: the one that
/// fits most names, the first in the file where several do), or as those of MXNet's ResNet-38 where the trunk is a
/// ResNet38d. Layers that are no part of the trunk, as the classifier and those of SEAM, are surplus.
///
/// # Errors
/// When the trunk's configuration is out of range. A file that does not fit is no error but a report that says so;
/// [`Mapped::expect_whole`] makes it one.
pub fn map_names(weights: &Weights, config: &BackboneConfig) -> Result<Mapped> {
    let wanted = config.parameter_shapes()?;
    let names: Vec<&str> = weights.tensors.iter().map(|named| named.name.as_str()).collect();
    let prefix = best_prefix(&names, &wanted);
    let mut rule = match prefix {
        "" => "names as they are".to_string(),
        prefix => format!("names without `{prefix}`"),
    };
    let mut renamed: Vec<Option<String>> =
        names.iter().map(|name| name.strip_prefix(prefix).map(str::to_string)).collect();
    if matches!(config, BackboneConfig::ResNet38d(_)) {
        let other: Vec<Option<String>> = names.iter().map(|name| mxnet::resnet38(name)).collect();
        if fitting(&other, &wanted) > fitting(&renamed, &wanted) {
            (rule, renamed) = ("names of MXNet's ResNet-38".to_string(), other);
        }
    }
    let mut report = MappingReport {
        backbone: config.name(),
        rule,
        mapped: Vec::new(),
        missing: Vec::new(),
        surplus: Vec::new(),
        misshapen: Vec::new(),
    };
    let mut tensors = BTreeMap::new();
    let mut found = BTreeSet::new();
    for (named, parameter) in weights.tensors.iter().zip(renamed) {
        let name = named.name.clone();
        let known = parameter.and_then(|parameter| wanted.get(&parameter).map(|shape| (parameter, shape)));
        match known {
            Some((parameter, shape)) if found.insert(parameter.clone()) => {
                if named.tensor.dims() == shape.as_slice() {
                    tensors.insert(parameter.clone(), named.tensor.clone());
                    report.mapped.push((name, parameter));
                } else {
                    let (expected, got) = (shape.clone(), named.tensor.dims().to_vec());
                    report.misshapen.push(Misshapen { name, parameter, expected, got });
                }
            }
            _ if is_batch_count(&name) => {}
            _ => report.surplus.push(name),
        }
    }
    report.missing = wanted.into_keys().filter(|name| !found.contains(name)).collect();
    Ok(Mapped { tensors, report })
}

fn is_batch_count(name: &str) -> bool {
    name.rsplit('.').next() == Some(BATCH_COUNT)
}

fn fitting(names: &[Option<String>], wanted: &BTreeMap<String, Vec<usize>>) -> usize {
    let fitting: BTreeSet<&String> = names.iter().flatten().filter(|name| wanted.contains_key(*name)).collect();
    fitting.len()
}

// Every point of every name ends a prefix; no name has many.
fn best_prefix<'n>(names: &[&'n str], wanted: &BTreeMap<String, Vec<usize>>) -> &'n str {
    // Order of appearance breaks ties; a name without its prefix is asked for last, so that none comes first.
    let mut order: Vec<&str> = vec![""];
    let mut counts: BTreeMap<&str, usize> = BTreeMap::from([("", 0)]);
    for name in names {
        let ends = std::iter::once(0).chain(name.match_indices('.').map(|(at, _)| at + 1));
        for end in ends {
            let (prefix, rest) = name.split_at(end);
            if wanted.contains_key(rest) {
                let count = counts.entry(prefix).or_insert_with(|| {
                    order.push(prefix);
                    0
                });
                *count += 1;
            }
        }
    }
    let most = counts.values().copied().max().unwrap_or(0);
    order.into_iter().find(|prefix| counts.get(prefix) == Some(&most)).unwrap_or_default()
}

/// So many names are told; a trunk of another kind lacks hundreds.
const TOLD: usize = 8;

impl Mapped {
    /// Fails unless every parameter of the trunk was found in its shape.
    ///
    /// # Errors
    /// [`Error::Data`] naming the file, the trunk, and the tensors.
    pub fn expect_whole(&self, path: &Path) -> Result<()> {
        let MappingReport { backbone, missing, misshapen, mapped, .. } = &self.report;
        let refuse = |reason: String| Err(Error::data(path, format!("weights of a {backbone} trunk: {reason}")));
        if !misshapen.is_empty() {
            let told = misshapen.iter().map(|Misshapen { name, expected, got, .. }| {
                format!("tensor `{name}`: expected shape {expected:?}, got {got:?}")
            });
            return refuse(listed(told));
        }
        if missing.is_empty() {
            return Ok(());
        }
        let told = listed(missing.iter().map(|name| format!("`{name}`")));
        match mapped.len() {
            0 => refuse(format!("none of its tensors is in the file; missing: {told}")),
            _ => refuse(format!("missing: {told}")),
        }
    }
}

fn listed(all: impl ExactSizeIterator<Item = String>) -> String {
    let more = all.len().saturating_sub(TOLD);
    let told = all.take(TOLD).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{told}, and {more} more") } else { told }
}
