//! What a reader of the numbers should know and could miss.

use crate::error::Result;
use crate::report::model::Report;

impl Report {
    /// What a reader of the numbers should know and could miss.
    ///
    /// # Errors
    /// When the parts of the report do not fit each other.
    pub fn cautions(&self) -> Result<Vec<String>> {
        let summaries = self.summaries()?;
        let mut cautions = Vec::new();
        if !self.thresholds.is_empty() {
            cautions.push(
                "The best score is chosen with the ground truth it is measured on; without ground truth, only a score \
                 fixed beforehand can be used."
                    .to_string(),
            );
        }
        if self.evaluation().is_some() {
            cautions.extend(self.number_cautions()?);
        } else if summaries.iter().any(|summary| summary.repeats < 2) {
            cautions.push(
                "A method was trained once only: how much another seed would change its number is unknown.".to_string(),
            );
        }
        let ends = [self.thresholds.first(), self.thresholds.last()];
        for summary in &summaries {
            if self.thresholds.len() > 1 && summary.best_thresholds.iter().any(|best| ends.contains(&Some(best))) {
                let name = &summary.name;
                cautions.push(format!("{name}: the best score lies at the end of the curve, the true best beyond it."));
            }
        }
        let compared = summaries.iter().enumerate().filter(|(index, summary)| summary.reference != *index);
        for (_, summary) in compared {
            let pairs = summary.best_difference.map_or(0, |difference| difference.count);
            if pairs < summary.repeats.max(summaries[summary.reference].repeats) {
                let name = &summary.name;
                cautions
                    .push(format!("{name}: {pairs} repeats share a seed with the reference; only they are paired."));
            }
            if summary.image_bootstrap.is_some_and(|interval| interval.lower <= 0.0 && interval.upper >= 0.0) {
                cautions.push(format!("{}: the interval over images holds 0.", summary.name));
            }
        }
        Ok(cautions)
    }
}
