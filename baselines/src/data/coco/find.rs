//! Where a split's annotations and images are.

use std::path::{Component, Path, PathBuf};

use crate::data::kind::has_extension;
use crate::data::source::{DataSource, LabelSource};
use crate::error::{Error, Result};

const YEARS: [&str; 2] = ["2014", "2017"];
const PREFIX: &str = "instances_";

/// A split's annotations, and the folders its images may be in.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) annotations: PathBuf,
    folders: Vec<PathBuf>,
}

impl Places {
    /// # Errors
    /// When there is no such file of annotations, or two.
    pub(super) fn new(source: &DataSource) -> Result<Self> {
        let root = &source.root;
        if !root.is_dir() {
            return Err(Error::data(root, "expected the folder of a data set, there is no such folder"));
        }
        if !is_below(Path::new(&source.split)) {
            let reason = format!("expected the name of a part, such as `train2014`, got `{}`", source.split);
            return Err(Error::Config(format!("split: {reason}")));
        }
        let annotations = match &source.labels {
            LabelSource::File(path) if has_extension(path, "json") => source.file(path),
            _ => annotations_of(root, &source.split)?,
        };
        // `train` may have found `train2014`, whose images are in a folder of that name.
        let stem = annotations.file_stem().unwrap_or_default().to_string_lossy();
        let part = stem.strip_prefix(PREFIX).unwrap_or(&stem).to_string();
        let images = root.join("images");
        let parts = [source.split.as_str(), &part].map(|part| [root.join(part), images.join(part)]);
        let mut folders: Vec<PathBuf> = parts.into_iter().flatten().chain([images, root.clone()]).collect();
        let mut seen = Vec::new();
        folders.retain(|folder| {
            folder.is_dir() && !seen.contains(folder) && {
                seen.push(folder.clone());
                true
            }
        });
        Ok(Self { annotations, folders })
    }

    /// The file of an image, in the first folder that has it.
    pub(super) fn image(&self, file_name: &str) -> Option<PathBuf> {
        self.folders.iter().map(|folder| folder.join(file_name)).find(|path| path.is_file())
    }

    /// The folders that were looked into, for messages.
    pub(super) fn folders(&self) -> String {
        self.folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ")
    }
}

/// Whether a path stays below the folder it is joined to.
pub(super) fn is_below(path: &Path) -> bool {
    let mut components = path.components().peekable();
    components.peek().is_some() && components.all(|component| matches!(component, Component::Normal(_)))
}

fn annotations_of(root: &Path, split: &str) -> Result<PathBuf> {
    let file = |split: &str| root.join("annotations").join(format!("{PREFIX}{split}.json"));
    let exact = file(split);
    if exact.is_file() {
        return Ok(exact);
    }
    let mut found: Vec<PathBuf> = YEARS.iter().map(|year| file(&format!("{split}{year}"))).collect();
    found.retain(|path| path.is_file());
    match <[PathBuf; 1]>::try_from(found) {
        Ok([path]) => Ok(path),
        Err(none) if none.is_empty() => {
            Err(Error::data(exact, format!("expected COCO's annotations of split `{split}`, there is no such file")))
        }
        Err(several) => {
            let names: Vec<_> = YEARS.iter().map(|year| format!("`{split}{year}`")).collect();
            let reason = format!("split `{split}` may be {}; expected the one that is meant", names.join(" or "));
            Err(Error::data(&several[0], reason))
        }
    }
}
