//! Answers to the lines of `benches/peer/reach.py`, one JSON object each.
//!
//! * `prepare CASE FORM` reads the inputs and takes a first step: value and gradients.
//! * `run MILLISECONDS` takes steps: their time.
//! * `memory` takes one step: its bytes.
//! * `rates`: what the machine can do.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use candle_core::Device;
use serde_json::{Value, json};

use crate::measure::{self, Step};
use crate::{cases, inputs, rates};

/// What is measured at the moment.
pub(crate) struct Server {
    folder: PathBuf,
    device: Device,
    current: Option<(String, String, Step)>,
}

/// Answers until the input ends.
pub(crate) fn serve(folder: &Path, device: &Device) -> Result<()> {
    let mut server = Server::new(folder, device);
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let answer = server.answer(&line?).unwrap_or_else(|err| json!({ "error": format!("{err:#}") }));
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    Ok(())
}

impl Server {
    pub(crate) fn new(folder: &Path, device: &Device) -> Self {
        Self { folder: folder.to_path_buf(), device: device.clone(), current: None }
    }

    pub(crate) fn answer(&mut self, line: &str) -> Result<Value> {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["prepare", case, form] => {
                self.current = None;
                let tensors = inputs::load(&self.folder, case, &self.device)?;
                let step = cases::prepare(case, form, &tensors, &self.device)?;
                let summary = step()?.summary()?;
                self.current = Some((case.to_string(), form.to_string(), step));
                self.named(summary)
            }
            ["run", budget] => self.named(measure::time(self.step()?, &self.device, budget.parse()?)?),
            ["memory"] => self.named(measure::memory(self.step()?)?),
            ["drop"] => {
                self.current = None;
                Ok(json!({}))
            }
            ["rates"] => rates::measure(&self.device),
            _ => bail!("not understood: {line}"),
        }
    }

    fn step(&self) -> Result<&Step> {
        self.current.as_ref().map(|(_, _, step)| step).context("nothing is prepared")
    }

    fn named(&self, mut answer: Value) -> Result<Value> {
        let (case, form, _) = self.current.as_ref().context("nothing is prepared")?;
        answer["what"] = json!(case);
        answer["side"] = json!(form);
        Ok(answer)
    }
}
