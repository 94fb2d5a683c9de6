//! What a comparison consists of: baselines times methods, each cell of which can be built.

use std::sync::Arc;

use candle_core::Device;
use candle_wsss::regularizer::RegularizerConfig;

use crate::config::{EvalConfig, RunConfig};
use crate::data::{ImageSet, Loader};
use crate::error::{Error, Result};
use crate::report::LeftOut;
use crate::run::build::build;
use crate::run::{Interrupt, Progress};
use crate::train::PolySgd;

/// A baseline of the comparison: a column.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// The configuration under it.
    pub(crate) config: RunConfig,
}

/// A method on a baseline.
#[derive(Debug)]
pub(crate) struct Cell {
    /// Index of the baseline.
    pub(crate) column: usize,
    pub(crate) method: String,
    /// Baseline and method: `seam`, `seam+hsc`.
    pub(crate) title: String,
    pub(crate) regularizers: Vec<RegularizerConfig>,
}

/// Baselines times methods.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) columns: Vec<Column>,
    /// Column by column.
    pub(crate) cells: Vec<Cell>,
    /// Cells that make no sense.
    pub(crate) left_out: Vec<LeftOut>,
}

/// Checks what to compare before anything is made for it. No `baselines` means the configured one.
///
/// # Errors
/// When a baseline or method is not configured or comes twice, baselines differ in what they must share, or there are
/// no repeats.
pub fn check_plan(config: &RunConfig, baselines: &[String], methods: &[String], repeats: usize) -> Result<()> {
    if repeats == 0 {
        return Err(Error::Config("--repeats: must be at least 1, is 0".to_string()));
    }
    Plan::new(config, baselines, methods).map(drop)
}

impl Plan {
    pub(crate) fn new(config: &RunConfig, baselines: &[String], methods: &[String]) -> Result<Self> {
        config.validate()?;
        if methods.is_empty() {
            return Err(Error::Config("--regularizers: must name at least one method".to_string()));
        }
        expect_once("--baselines: baseline", baselines)?;
        expect_once("--regularizers: method", methods)?;
        let mut plan = Self { columns: columns(config, baselines)?, cells: Vec::new(), left_out: Vec::new() };
        plan.columns.iter().try_for_each(|column| expect_same_measure(&plan.columns[0], column))?;
        for (index, column) in plan.columns.iter().enumerate() {
            for method in methods {
                let title = title(&column.name, method);
                match column.config.method(method) {
                    Ok(regularizers) => {
                        plan.cells.push(Cell { column: index, method: method.clone(), title, regularizers });
                    }
                    // Configured under another baseline alone; a name that is nowhere is a mistake.
                    Err(err) if plan.columns.iter().any(|other| other.config.method(method).is_ok()) => {
                        plan.left_out.push(left_out(column, method, &err));
                    }
                    Err(err) => return Err(err),
                }
            }
        }
        Ok(plan)
    }

    /// Builds every cell once, and leaves out those whose construction says they make no sense.
    ///
    /// # Errors
    /// When nothing is left, a cell fails for another reason (a start that does not fit, data that lacks something), or
    /// the user interrupts.
    pub(crate) fn buildable(
        mut self,
        images: &Arc<ImageSet>,
        progress: &Progress,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let bar = progress.bar("trying to build", self.cells.len());
        let mut reason = None;
        let mut cells = Vec::new();
        for cell in std::mem::take(&mut self.cells) {
            if interrupt.asked() {
                return Err(Error::Interrupted(String::new()));
            }
            bar.inc(1);
            let column = &self.columns[cell.column];
            match try_build(&column.config, &cell.regularizers, images) {
                Ok(()) => cells.push(cell),
                Err(err) if is_configuration(&err) => {
                    self.left_out.push(left_out(column, &cell.method, &err));
                    reason.get_or_insert(err);
                }
                Err(Error::Data { path, reason }) => {
                    return Err(Error::data(path, format!("{reason} (for {})", cell.title)));
                }
                Err(err) => return Err(err),
            }
        }
        bar.finish_and_clear();
        match reason {
            Some(err) if cells.is_empty() => Err(err),
            _ => Ok(Self { cells, ..self }),
        }
    }

    /// The configuration of a cell.
    pub(crate) fn config(&self, cell: usize) -> &RunConfig {
        &self.columns[self.cells[cell].column].config
    }

    /// Index of the cell that differences of a cell are to: the first of its baseline.
    pub(crate) fn reference(&self, cell: usize) -> usize {
        let column = self.cells[cell].column;
        self.cells.iter().position(|other| other.column == column).unwrap_or(cell)
    }
}

fn columns(config: &RunConfig, names: &[String]) -> Result<Vec<Column>> {
    if names.is_empty() {
        return Ok(vec![Column { name: config.baseline.name().to_string(), config: config.as_configured() }]);
    }
    names.iter().map(|name| Ok(Column { name: name.clone(), config: config.with_baseline(name)? })).collect()
}

fn title(baseline: &str, method: &str) -> String {
    if method == "none" { baseline.to_string() } else { format!("{baseline}+{method}") }
}

fn left_out(column: &Column, method: &str, err: &Error) -> LeftOut {
    LeftOut { baseline: column.name.clone(), method: method.to_string(), reason: err.to_string() }
}

fn expect_once(what: &str, names: &[String]) -> Result<()> {
    match names.iter().enumerate().find(|(index, name)| names[..*index].contains(name)) {
        None => Ok(()),
        Some((_, name)) => Err(Error::Config(format!("{what} `{name}` comes twice"))),
    }
}

// One report has one list of scores and one way to count.
fn expect_same_measure(first: &Column, other: &Column) -> Result<()> {
    let shared = |column: &Column| EvalConfig { background_score: 0.0, ..column.config.eval.clone() };
    if shared(first) == shared(other) {
        return Ok(());
    }
    Err(Error::Config(format!(
        "baselines `{}` and `{}` differ in `eval`; but for background_score, baselines that are compared share it",
        first.name, other.name
    )))
}

// Whether it can be built does not depend on the device.
fn try_build(config: &RunConfig, regularizers: &[RegularizerConfig], images: &Arc<ImageSet>) -> Result<()> {
    config.expect_trainable()?;
    let loader = Loader::new(Arc::clone(images), config.loader.clone(), config.seed, &Device::Cpu);
    let steps = config.train.total_steps(loader.map_err(|err| err.within("loader"))?.steps_per_epoch());
    let model = build(config, regularizers, images.layout(), config.seed, &Device::Cpu)?;
    PolySgd::new(config.optimizer.clone(), model.baseline.as_ref(), &model.store, steps).map(drop)
}

fn is_configuration(err: &Error) -> bool {
    matches!(err, Error::Config(_) | Error::Core(candle_wsss::Error::Config { .. }))
}
