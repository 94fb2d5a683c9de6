//! What was measured, in a line, and whether it is the same as elsewhere.

use candle_wsss::Error;

use crate::error::Result;
use crate::report::model::Protocol;

impl Protocol {
    /// The protocol in one line, to stand beside every number.
    pub fn line(&self) -> String {
        let versions = self.versions();
        let versions = if versions.is_empty() { versions } else { format!(", scales {versions}") };
        format!(
            "{} on {} {}, {} images, ground truth {}, CRF: {}{versions}",
            self.stage, self.dataset, self.split, self.num_images, self.ground_truth, self.crf
        )
    }

    /// Scales and mirroring; baseline by baseline where they differ.
    pub(crate) fn versions(&self) -> String {
        let shown = |scales: &[f64], flip: bool| {
            let scales: Vec<String> = scales.iter().map(f64::to_string).collect();
            format!("{}{}", scales.join("/"), if flip && !scales.is_empty() { " and mirrored" } else { "" })
        };
        let each: Vec<String> = self.baselines.iter().map(|of| shown(&of.scales, of.flip)).collect();
        let own = shown(&self.scales, self.flip);
        if each.iter().all(|one| *one == own) { own } else { self.by_baseline(&each) }
    }

    /// The fixed score of a baseline.
    pub fn fixed_score_of(&self, baseline: &str) -> f64 {
        self.baselines.iter().find(|of| of.name == baseline).map_or(self.fixed_score, |of| of.fixed_score)
    }

    /// The fixed score as text, if all baselines have the same.
    pub(crate) fn shared_fixed_score(&self) -> Option<String> {
        let first = self.baselines.first().map_or(self.fixed_score, |of| of.fixed_score);
        self.baselines.iter().all(|of| of.fixed_score == first).then(|| first.to_string())
    }

    /// The fixed score; baseline by baseline where they differ.
    pub(crate) fn fixed_scores(&self) -> String {
        let each: Vec<String> = self.baselines.iter().map(|of| of.fixed_score.to_string()).collect();
        self.shared_fixed_score().unwrap_or_else(|| self.by_baseline(&each))
    }

    fn by_baseline(&self, texts: &[String]) -> String {
        let named = self.baselines.iter().zip(texts).map(|(of, text)| format!("{} {text}", of.name));
        named.collect::<Vec<_>>().join(", ")
    }

    /// Fails unless numbers of the other protocol may be compared with numbers of this one.
    ///
    /// # Errors
    /// Naming the first part that differs.
    pub fn expect_same(&self, other: &Self) -> Result<()> {
        let parts = |protocol: &Self| {
            [
                ("data set", protocol.dataset.clone()),
                ("split", protocol.split.clone()),
                ("number of images", protocol.num_images.to_string()),
                ("ground truth", protocol.ground_truth.clone()),
                ("stage", protocol.stage.clone()),
                ("threshold rule", protocol.threshold_rule.clone()),
                ("fixed score", protocol.fixed_scores()),
                ("absent classes", format!("{:?}", protocol.absent_class)),
                ("CRF", protocol.crf.clone()),
                ("scales", protocol.versions()),
                ("mirrored", protocol.flip.to_string()),
            ]
        };
        for ((name, expected), (_, got)) in parts(self).into_iter().zip(parts(other)) {
            if expected != got {
                return Err(Error::value(format!("protocol, {name}"), format!("expected {expected}, got {got}")).into());
            }
        }
        Ok(())
    }
}
