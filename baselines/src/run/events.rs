//! The curves of a training for TensorBoard, beside the JSON lines.

use std::path::{Path, PathBuf};

use crate::data::write_atomic;
use crate::error::{Error, Result};
use crate::report::EventFile;
use crate::run::job::StepRecord;

/// Folder of the event file inside the folder of a training.
pub const EVENTS_FOLDER: &str = "tb";
/// The usual name has time, host and process in it; a fixed one keeps equal runs equal.
const EVENTS_FILE: &str = "events.out.tfevents.0.wsss";

/// Path of the event file of a training.
pub fn events_path(folder: &Path) -> PathBuf {
    folder.join(EVENTS_FOLDER).join(EVENTS_FILE)
}

/// Writes the history of a training as an event file: `total`, `learning_rate`, and `terms/NAME` before its weight.
///
/// The whole file every time: one that grew could hold steps the checkpoint beside it does not know.
pub(crate) fn write_events(folder: &Path, history: &[StepRecord]) -> Result<()> {
    let mut events = EventFile::new();
    for record in history {
        let terms: Vec<(String, f64)> =
            record.terms.iter().map(|(term, value)| (format!("terms/{term}"), *value)).collect();
        let all = record.total.map(|total| ("total", total)).into_iter();
        let all = all.chain([("learning_rate", record.learning_rate)]);
        events.scalars(record.step, all.chain(terms.iter().map(|(tag, value)| (tag.as_str(), *value))));
    }
    let path = events_path(folder);
    let parent = folder.join(EVENTS_FOLDER);
    std::fs::create_dir_all(&parent).map_err(Error::io(&parent))?;
    write_atomic(&path, |out| out.write_all(events.bytes()))
}
