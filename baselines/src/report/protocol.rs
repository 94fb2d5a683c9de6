//! What was measured, in a line, and whether it is the same as elsewhere.

use candle_wsss::Error;

use crate::error::Result;
use crate::eval::AbsentClass;
use crate::report::model::Protocol;

impl Protocol {
    /// The protocol in one line, to stand beside every number.
    pub fn line(&self) -> String {
        let versions = self.versions();
        let versions = if versions.is_empty() { versions } else { format!(", scales {versions}") };
        let labels = match self.labels.as_str() {
            "" => String::new(),
            labels => format!(", image-level labels {labels}"),
        };
        let saliency = if self.uses_saliency { ", uses saliency" } else { "" };
        let checkpoint = match self.checkpoint.as_str() {
            "" => String::new(),
            checkpoint => format!(", checkpoint {checkpoint}"),
        };
        format!(
            "{} on {} {}, {} images, ground truth {}{labels}, CRF: {}{versions}{saliency}{checkpoint}",
            self.stage, self.dataset, self.split, self.num_images, self.ground_truth, self.crf
        )
    }

    /// How background scores were chosen, and what becomes of absent classes: the rest of what belongs to a number.
    pub fn rules(&self) -> String {
        let scored = !self.threshold_rule.is_empty();
        let fixed = if scored && self.fixed_score.is_finite() { self.fixed_scores() } else { String::new() };
        let rules = [
            (scored, self.threshold_rule.clone()),
            (!fixed.is_empty(), format!("fixed: {fixed}")),
            (!self.held_out_rule.is_empty(), format!("held out: {}", self.held_out_rule)),
            (true, format!("absent classes: {}", self.absent_classes())),
        ];
        rules.into_iter().filter(|(shown, _)| *shown).map(|(_, rule)| rule).collect::<Vec<_>>().join("; ")
    }

    /// What becomes of classes in neither ground truth nor prediction, in words.
    pub(crate) fn absent_classes(&self) -> &'static str {
        match self.absent_class {
            AbsentClass::AsZero => "count as IoU 0",
            AbsentClass::Skipped => "left out of the mean",
        }
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
                ("image-level labels", protocol.labels.clone()),
                ("stage", protocol.stage.clone()),
                ("threshold rule", protocol.threshold_rule.clone()),
                ("fixed score", protocol.fixed_scores()),
                ("held out", protocol.held_out_rule.clone()),
                ("absent classes", format!("{:?}", protocol.absent_class)),
                ("CRF", protocol.crf.clone()),
                ("scales", protocol.versions()),
                ("mirrored", protocol.flip.to_string()),
                ("saliency", protocol.uses_saliency.to_string()),
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
