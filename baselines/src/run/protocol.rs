//! What belongs to a number: read off the data set, and off what the folder says that was evaluated.

use std::path::Path;

use serde_json::{Map, Value};

use crate::config::EvalConfig;
use crate::data::{Dataset, color_map};
use crate::error::{Error, Result};
use crate::report::{Protocol, ReportClass};
use crate::run::{CRF_MANIFEST, SEED_ARRAYS, SEED_MANIFEST, SEED_MASKS, SEED_PNG};

/// What is said where nobody recorded a random field.
const NO_CRF: &str = "none recorded";

pub(crate) fn classes(dataset: &Dataset) -> Vec<ReportClass> {
    let names = std::iter::once("background").chain(dataset.class_names().iter().map(String::as_str));
    names.zip(color_map()).map(|(name, color)| ReportClass { name: name.to_string(), color }).collect()
}

/// What a data set and a configuration say.
pub(crate) fn protocol(dataset: &Dataset, split: &str, config: &EvalConfig) -> Protocol {
    let root = dataset.images().root();
    let name = root.file_name().map_or_else(|| root.display().to_string(), |name| name.to_string_lossy().into_owned());
    Protocol {
        dataset: name,
        split: split.to_string(),
        num_images: dataset.len(),
        ground_truth: format!("{}, void pixels (255) ignored", dataset.mask_source()),
        labels: dataset.images().label_source().to_string(),
        threshold_rule: "best: the background score with the highest mIoU on the evaluated split, per training"
            .to_string(),
        fixed_score: config.background_score,
        held_out_rule: held_out_rule(dataset, config),
        absent_class: config.absent_class,
        crf: "none".to_string(),
        ..Protocol::default()
    }
}

/// The same where images that should choose a score have no ground truth to choose it by.
pub(crate) fn without_held_out(protocol: Protocol) -> Protocol {
    // Too few images are no part of the rule from the start.
    let is_ruled = !protocol.held_out_rule.is_empty();
    let note = "no number, the images outside of one part have no ground truth to choose a score by";
    Protocol { held_out_rule: if is_ruled { note.to_string() } else { String::new() }, ..protocol }
}

/// Whether there are images enough to choose the score of some on the others.
pub(crate) fn can_cross_fit(dataset: &Dataset, config: &EvalConfig) -> bool {
    dataset.len() >= config.folds
}

fn held_out_rule(dataset: &Dataset, config: &EvalConfig) -> String {
    if !can_cross_fit(dataset, config) {
        return String::new();
    }
    let folds = config.folds;
    format!("every image at the score that is best on the {} of {folds} parts it is not in", folds - 1)
}

/// What a folder says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Manifest {
    crf: Option<String>,
    scales: Vec<f64>,
    flip: bool,
    checkpoint: String,
    uses_saliency: bool,
    /// Of label maps that were made at one; refined ones were not.
    pub(crate) background_score: Option<f64>,
}

impl Manifest {
    /// Reads what is said of a folder of arrays or label maps, in it or above it.
    ///
    /// # Errors
    /// When a file is there and is no JSON object.
    pub(crate) fn read(part: &Path) -> Result<Self> {
        // A dot has no name, a link may have any: what is meant decides then.
        let resolved = if is_part(part) { None } else { part.canonicalize().ok() };
        let part = resolved.as_deref().unwrap_or(part);
        let mut manifest = Self::default();
        for place in part.parent().filter(|_| is_part(part)).into_iter().chain([part]) {
            if let Some(fields) = fields(&place.join(SEED_MANIFEST))? {
                // Of all parts of a folder of seeds, only the refined masks went through it.
                let refined = part.file_name().is_some_and(|name| name == SEED_MASKS);
                manifest.take(&fields);
                manifest.take_crf(fields.get("crf").filter(|_| refined).unwrap_or(&Value::Null));
                if refined {
                    // That of the other label maps there.
                    manifest.background_score = None;
                }
            }
            // Of refined seeds, and says of the others what it has to.
            if let Some(fields) = fields(&place.join(CRF_MANIFEST))? {
                if let Some(Value::Object(seeds)) = fields.get("seeds_made_with") {
                    manifest.take(seeds);
                    // That of the seeds' own label maps.
                    manifest.background_score = None;
                }
                manifest.take(&fields);
                if let Some(crf) = fields.get("crf") {
                    manifest.take_crf(crf);
                }
            }
        }
        Ok(manifest)
    }

    // What is there and of the expected kind.
    fn take(&mut self, fields: &Map<String, Value>) {
        let of = |name: &str| fields.get(name).or_else(|| fields.get("infer")?.get(name));
        if let Some(scales) = of("scales").and_then(Value::as_array) {
            self.scales = scales.iter().filter_map(Value::as_f64).collect();
        }
        if let Some(flip) = of("flip").and_then(Value::as_bool) {
            self.flip = flip;
        }
        if let Some(checkpoint) = of("checkpoint").and_then(Value::as_str) {
            self.checkpoint = checkpoint.to_string();
        }
        self.uses_saliency |= fields.get("uses_saliency").and_then(Value::as_bool).unwrap_or(false);
        self.background_score = of("background_score").and_then(Value::as_f64).or(self.background_score);
        if fields.get("attention").is_some_and(|attention| !attention.is_null()) {
            // No network was run at any scale.
            (self.scales, self.flip) = (Vec::new(), false);
        }
    }

    // Saliency may come in here, too.
    fn take_crf(&mut self, crf: &Value) {
        self.crf = Some(crf_in_words(crf));
        self.uses_saliency |= mentions(crf, "saliency");
    }

    /// Puts it into a protocol.
    pub(crate) fn onto(self, protocol: Protocol) -> Protocol {
        Protocol {
            crf: self.crf.unwrap_or_else(|| NO_CRF.to_string()),
            scales: self.scales,
            flip: self.flip,
            checkpoint: self.checkpoint,
            uses_saliency: self.uses_saliency,
            ..protocol
        }
    }
}

/// Whether a folder is a part of one that holds seeds.
fn is_part(folder: &Path) -> bool {
    folder.file_name().is_some_and(|name| [SEED_ARRAYS, SEED_PNG, SEED_MASKS].iter().any(|part| name == *part))
}

fn fields(path: &Path) -> Result<Option<Map<String, Value>>> {
    if !path.is_file() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(path).map_err(|err| Error::data(path, err.to_string()))?;
    let bad = |reason: String| Error::data(path, format!("expected a JSON object: {reason}"));
    match serde_json::from_str(&text).map_err(|err| bad(err.to_string()))? {
        Value::Object(fields) => Ok(Some(fields)),
        _ => Err(bad("it is something else".to_string())),
    }
}

// Whether something is set under this name, however deep.
fn mentions(value: &Value, name: &str) -> bool {
    let Value::Object(fields) = value else { return false };
    let is_set = |value: &Value| !matches!(value, Value::Null | Value::Bool(false));
    fields.iter().any(|(key, value)| (key == name && is_set(value)) || mentions(value, name))
}

fn crf_in_words(crf: &Value) -> String {
    match crf {
        Value::Null | Value::Bool(false) => "none".to_string(),
        Value::Bool(true) => "yes".to_string(),
        Value::String(text) => text.clone(),
        Value::Object(fields) if !fields.is_empty() => {
            let named = fields.iter().map(|(name, value)| match value {
                Value::Object(_) => format!("{name} ({})", crf_in_words(value)),
                Value::String(text) => format!("{name} {text}"),
                value => format!("{name} {value}"),
            });
            named.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::{CRF_MANIFEST, Manifest, Protocol, SEED_ARRAYS, SEED_MANIFEST, SEED_MASKS, SEED_PNG};

    fn of(files: &[(&str, &str)]) -> crate::Result<Protocol> {
        let folder = tempfile::tempdir().unwrap();
        for part in [SEED_PNG, SEED_MASKS] {
            std::fs::create_dir(folder.path().join(part)).unwrap();
        }
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let manifest = Manifest::read(folder.path())?;
        assert_eq!(manifest, Manifest::read(&folder.path().join(SEED_PNG))?, "found from the part as well");
        Ok(manifest.onto(Protocol::default()))
    }

    #[test]
    fn a_folder_says_how_it_was_made() {
        let seeds =
            ("seeds.json", r#"{"scales": [0.5, 1], "flip": true, "checkpoint": "run/c", "uses_saliency": true}"#);
        let protocol = of(&[seeds]).unwrap();
        assert_eq!((protocol.scales, protocol.flip), (vec![0.5, 1.0], true));
        assert_eq!((protocol.crf.as_str(), protocol.checkpoint.as_str()), ("none", "run/c"));
        assert!(protocol.uses_saliency);
        let crf = r#"{"crf": {"rounds": 10, "soft": {"sxy": 80.0, "srgb": 13.0}}}"#;
        let protocol = of(&[seeds, ("crf.json", crf)]).unwrap();
        assert!(protocol.crf.contains("rounds 10") && protocol.crf.contains("soft ("), "{}", protocol.crf);
        assert_eq!(protocol.scales, [0.5, 1.0], "the later file does not undo the earlier one");
        assert_eq!(of(&[("seeds.json", r#"{"crf": null}"#)]).unwrap().crf, "none");
        assert_eq!(of(&[]).unwrap().crf, "none recorded");
    }

    #[test]
    fn of_seeds_only_the_masks_are_refined() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"{"infer": {"scales": [1, 2], "flip": true}, "background_score": 0.3, "crf": {"rounds": 10}}"#;
        std::fs::write(folder.path().join("seeds.json"), text).unwrap();
        let read = |part: &str| Manifest::read(&folder.path().join(part)).unwrap();
        for (part, crf) in [("arrays", "none"), (SEED_PNG, "none"), (SEED_MASKS, "rounds 10")] {
            let manifest = read(part);
            assert_eq!(manifest.background_score, (part != SEED_MASKS).then_some(0.3), "{part}");
            let protocol = manifest.onto(Protocol::default());
            assert_eq!((protocol.crf.as_str(), protocol.scales, protocol.flip), (crf, vec![1.0, 2.0], true), "{part}");
        }
        let text = r#"{"infer": {"scales": [1, 2], "flip": true}, "attention": {"epochs": 6}}"#;
        std::fs::write(folder.path().join("seeds.json"), text).unwrap();
        assert_eq!(read(SEED_PNG).onto(Protocol::default()).scales, [0.0; 0], "no network was run");
    }

    #[test]
    fn refined_seeds_say_what_the_seeds_were_made_with() {
        let seeds = r#"{"infer": {"scales": [1, 2], "flip": true}, "background_score": 0.3, "checkpoint": "abc"}"#;
        let crf = r#"{"model": {"iterations": 10}, "background": {"saliency": {"alpha": 4.0}}}"#;
        let text = format!("{{\"crf\": {crf}, \"seeds\": \"runs/seeds\", \"seeds_made_with\": {seeds}}}");
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("crf.json"), text).unwrap();
        let manifest = Manifest::read(&folder.path().join(SEED_MASKS)).unwrap();
        assert_eq!(manifest.background_score, None, "that of other label maps");
        let protocol = manifest.onto(Protocol::default());
        assert_eq!((protocol.scales, protocol.flip, protocol.checkpoint.as_str()), (vec![1.0, 2.0], true, "abc"));
        assert!(protocol.crf.contains("model (iterations 10)") && protocol.uses_saliency, "{}", protocol.crf);
    }

    #[test]
    fn saliency_is_known_wherever_it_came_in() {
        let folder = tempfile::tempdir().unwrap();
        let uses = |files: &[(&str, &str)], part: &str| {
            [SEED_MANIFEST, CRF_MANIFEST].iter().for_each(|name| drop(std::fs::remove_file(folder.path().join(name))));
            files.iter().for_each(|(name, text)| std::fs::write(folder.path().join(name), text).unwrap());
            let manifest = Manifest::read(&folder.path().join(part)).unwrap();
            let line = manifest.onto(Protocol::default()).line();
            line.contains("uses saliency")
        };
        let eps = r#"{"format": "candle-wsss-seeds/1", "infer": {"scales": [1]}, "uses_saliency": true}"#;
        let seam = r#"{"format": "candle-wsss-seeds/1", "infer": {"scales": [1]}, "uses_saliency": false}"#;
        let power = r#"{"background": {"power": {"alpha": 4.0}}}"#;
        let rules = r#"{"background": {"saliency": {"alpha": 4.0}}}"#;
        for part in [SEED_ARRAYS, SEED_PNG, SEED_MASKS] {
            assert!(uses(&[("seeds.json", eps)], part) && !uses(&[("seeds.json", seam)], part), "{part}");
        }
        for (seeds, crf, expected) in [(eps, power, true), (seam, power, false), (seam, rules, true)] {
            let refined = format!("{{\"crf\": {crf}, \"seeds_made_with\": {seeds}}}");
            assert_eq!(uses(&[("crf.json", &refined)], SEED_MASKS), expected, "{refined}");
        }
        // Refined on the way: what stands beside the masks does not know of it.
        let on_the_way = format!("{{\"crf\": {rules}, \"uses_saliency\": false}}");
        assert!(uses(&[("seeds.json", &on_the_way)], SEED_MASKS) && !uses(&[("seeds.json", &on_the_way)], SEED_PNG));
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_has_the_name_it_is_meant_by() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("seeds.json"), r#"{"crf": {"rounds": 10}}"#).unwrap();
        let (masks, link) = (folder.path().join(SEED_MASKS), folder.path().join("refined"));
        std::fs::create_dir(&masks).unwrap();
        std::os::unix::fs::symlink(&masks, &link).unwrap();
        for path in [masks.clone(), masks.join("."), masks.join("../masks"), masks.join("x/..").join("."), link] {
            std::fs::create_dir_all(masks.join("x")).unwrap();
            let crf = Manifest::read(&path).unwrap().onto(Protocol::default()).crf;
            assert_eq!(crf, "rounds 10", "{}", path.display());
        }
    }

    #[test]
    fn odd_files_are_no_reason_to_stop_unless_they_cannot_be_read() {
        // Of other kinds than expected: as if they were not there.
        let odd = r#"{"scales": "many", "flip": 3, "checkpoint": [], "crf": 7, "more": {}}"#;
        let protocol = of(&[("crf.json", odd)]).unwrap();
        assert_eq!((protocol.scales, protocol.flip, protocol.crf.as_str()), (vec![], false, "7"));
        for text in ["", "{", "[1]", "\u{0}", "{\"crf\": "] {
            let wrong = of(&[("crf.json", text)]).unwrap_err();
            assert!(wrong.to_string().contains("crf.json: expected a JSON object"), "{wrong}");
            assert_eq!(wrong.exit_code(), 3);
        }
    }
}
