//! Baselines by name: what is different under each, on top of the configuration they share.

use candle_wsss::Error as CoreError;

use super::RunConfig;
use crate::error::{Error, Result};
use crate::settings;

/// Fields an overlay has no say in, and why.
const SHARED: [(&str, &str); 2] =
    [("seed", "all baselines of a run share its seed"), ("baselines", "is for the whole configuration")];

impl RunConfig {
    /// The configuration under the baseline of this name: its table in `baselines` merged over the rest.
    ///
    /// Tables merge key by key; one whose `type` differs, and a choice that is another one, replace what was there. The
    /// name of the configured baseline means the configuration as it is, unless a table has that name. The result has no
    /// `baselines` of its own.
    ///
    /// # Errors
    /// When there is no such baseline, or naming the field `baselines.NAME.field` that is unknown or out of range.
    pub fn with_baseline(&self, name: &str) -> Result<Self> {
        let Some(overlay) = self.baselines.get(name) else {
            if name == self.baseline.name() {
                return Ok(self.as_configured());
            }
            let known = self.baseline_names().join(", ");
            return Err(Error::Config(format!("no baseline `{name}` is configured; there are {known}")));
        };
        let path = format!("baselines.{name}");
        self.merged(overlay, &path)?.resolved().map_err(|err| err.within(&path))
    }

    fn merged(&self, overlay: &toml::Table, path: &str) -> Result<Self> {
        if let Some((field, reason)) = SHARED.iter().find(|(field, _)| overlay.contains_key(*field)) {
            return Err(CoreError::config(format!("{path}.{field}"), *reason).into());
        }
        settings::overlaid(&self.as_configured().to_table()?, overlay, path)
    }

    /// The configuration without its overlays: what a plain run trains.
    #[must_use]
    pub fn as_configured(&self) -> Self {
        Self { baselines: std::collections::BTreeMap::new(), ..self.clone() }
    }

    /// Names [`Self::with_baseline`] knows.
    pub fn baseline_names(&self) -> Vec<&str> {
        let own = self.baseline.name();
        std::iter::once(own).chain(self.baselines.keys().map(String::as_str).filter(|name| *name != own)).collect()
    }

    pub(super) fn check_overlays(&self) -> Result<()> {
        for (name, overlay) in &self.baselines {
            super::expect_name("baselines", name, &[])?;
            let path = format!("baselines.{name}");
            let mut merged = self.merged(overlay, &path)?;
            if merged.eval.thresholds == self.eval.thresholds {
                // Whether its own fixed score is on the curve shows when it is used: a run of another baseline may well
                // have another curve.
                merged.eval.background_score = self.eval.background_score;
            }
            merged.resolved().map_err(|err| err.within(&path))?;
        }
        Ok(())
    }
}
