//! What verbs share.

use std::io::Write;
use std::path::Path;

use crate::cli::args::ConfigSource;
use crate::config::RunConfig;
use crate::data::write_atomic;
use crate::error::{Error, Result};
use crate::run::Progress;
use crate::settings;
use crate::synth::{self, SynthConfig};

/// Folder of the embedded data set inside a comparison's folder.
pub(super) const SYNTH_FOLDER: &str = "data";

pub(super) fn load(source: &ConfigSource, baseline: Option<&String>) -> Result<RunConfig> {
    let config = RunConfig::load(&source.config, &source.settings)?;
    baseline.map_or_else(|| Ok(config.as_configured()), |name| config.with_baseline(name))
}

pub(super) fn say(text: &str) -> Result<()> {
    // Not println!: a closed pipe is no reason to panic.
    let mut out = std::io::stdout().lock();
    let text = if text.ends_with('\n') { text.to_string() } else { format!("{text}\n") };
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Error::io("stdout"))
}

pub(super) fn write_text(path: &Path, text: &str) -> Result<()> {
    write_atomic(path, |out| out.write_all(text.as_bytes()))
}

pub(super) fn generate(base: &SynthConfig, settings: &[String], out: &Path, progress: &Progress) -> Result<()> {
    let config: SynthConfig = settings::on_top(base, "generator", settings)?;
    let bar = progress.bar("embedded data", config.train + config.val);
    synth::generate(&config, out, &mut |done, _total| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    Ok(())
}

/// What was typed, quoted so that it can be typed again.
pub(super) fn typed() -> String {
    std::env::args().map(|argument| quoted(&argument)).collect::<Vec<_>>().join(" ")
}

fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+%@".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        return argument.to_string();
    }
    format!("'{}'", argument.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn what_a_shell_would_change_is_quoted() {
        assert_eq!(quoted("--set=loader.batch_size=4"), "--set=loader.batch_size=4");
        assert_eq!(quoted("a={ type = \"b\" }"), "'a={ type = \"b\" }'");
        assert_eq!((quoted("it's"), quoted("")), (r"'it'\''s'".to_string(), "''".to_string()));
    }
}
