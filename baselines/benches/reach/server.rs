//! Answers to the lines of `benches/peer/reach.py`, one JSON object each.
//!
//! * `prepare CASE FORM` reads the inputs and takes a first step: value and gradients.
//! * `run FORM MILLISECONDS` takes steps: their time.
//! * `memory FORM` takes one step: its bytes.
//! * `drop` lets go of the case.
//! * `rates`: what the machine can do.

use std::collections::BTreeMap;
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
    case: String,
    forms: BTreeMap<String, Step>,
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
        Self { folder: folder.to_path_buf(), device: device.clone(), case: String::new(), forms: BTreeMap::new() }
    }

    pub(crate) fn answer(&mut self, line: &str) -> Result<Value> {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["prepare", case, form] => {
                if self.case != case {
                    self.forms.clear();
                }
                self.case = case.to_string();
                let tensors = inputs::load(&self.folder, case, &self.device)?;
                let step = cases::prepare(case, form, &tensors, &self.device)?;
                let summary = step()?.summary()?;
                self.forms.insert(form.to_string(), step);
                Ok(self.named(form, summary))
            }
            ["run", form, budget] => {
                Ok(self.named(form, measure::time(self.step(form)?, &self.device, budget.parse()?)?))
            }
            ["memory", form] => Ok(self.named(form, measure::memory(self.step(form)?)?)),
            ["drop"] => {
                self.forms.clear();
                Ok(json!({}))
            }
            ["rates"] => rates::measure(&self.device),
            _ => bail!("not understood: {line}"),
        }
    }

    fn step(&self, form: &str) -> Result<&Step> {
        self.forms.get(form).with_context(|| format!("{form} is not prepared"))
    }

    fn named(&self, form: &str, mut answer: Value) -> Value {
        answer["what"] = json!(self.case);
        answer["side"] = json!(form);
        answer
    }
}
