//! The cases: what is computed, from what.

mod backbone;
mod conv;
mod crf;
mod heads;
mod hsc;
mod pcm;
mod ppc;
mod rca;
mod seam;

use anyhow::{Result, bail};
use candle_core::Device;

use crate::inputs::Tensors;
use crate::measure::Step;

/// Every case, in the order of the table.
pub(crate) const NAMES: [&str; 19] = [
    "ppc-16",
    "ppc-56",
    "ppc-16-81",
    "ppc-56-81",
    "hsc",
    "rca-20",
    "rca-80",
    "seam",
    "pcm-56",
    "pcm-112",
    "backbone-128",
    "backbone-224",
    "backbone-448",
    "convs-128",
    "convs-448",
    "crf-21",
    "crf-81",
    "ppc-heads",
    "hsc-heads",
];

/// The inputs of a case.
pub(crate) fn make(name: &str) -> Result<Tensors> {
    match parts(name) {
        ("ppc", "heads") | ("hsc", "heads") => heads::make(),
        ("ppc", size) => ppc::Size::named(size)?.make(),
        ("hsc", _) => hsc::make(),
        ("rca", classes) => rca::make(classes.parse()?),
        ("seam", _) => seam::make(),
        ("pcm", side) => pcm::make(side.parse()?, 1),
        ("backbone", side) => backbone::make(side.parse()?),
        ("convs", _) => conv::make(),
        ("crf", labels) => crf::make(labels.parse()?),
        _ => bail!("no case {name}"),
    }
}

/// A case ready to run: as `ours`, or in another form where there is one.
pub(crate) fn prepare(name: &str, form: &str, tensors: &Tensors, device: &Device) -> Result<Step> {
    match (parts(name), form) {
        (("ppc", "heads"), "ours") => heads::ppc(tensors),
        (("hsc", "heads"), "ours") => heads::hsc(tensors),
        (("ppc", size), "ours") => ppc::Size::named(size)?.prepare(tensors),
        (("hsc", _), "ours") => hsc::prepare(tensors),
        (("rca", _), "ours") => rca::prepare(tensors),
        (("seam", _), form) => seam::prepare(form, tensors),
        (("pcm", _), "ours") => pcm::prepare(tensors),
        (("backbone", _), "ours") => backbone::prepare(tensors, device),
        (("convs", side), form) => conv::prepare(side.parse()?, form, device),
        (("crf", labels), "ours") => crf::prepare(labels.parse()?, tensors),
        _ => bail!("no case {name} as {form}"),
    }
}

fn parts(name: &str) -> (&str, &str) {
    name.split_once('-').unwrap_or((name, ""))
}
