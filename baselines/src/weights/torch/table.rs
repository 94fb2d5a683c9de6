//! Where in what was saved the table of tensors is.

use std::collections::BTreeMap;

use super::rebuild::is_tensor;
use crate::pickle::{NodeId, Pickle};

/// The tensors of a file by name, and what is beside them.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) tensors: Vec<(String, NodeId)>,
    pub(super) passed_over: Vec<String>,
}

/// Keys people keep the table under, the likelier first.
const KEYS: [&str; 8] =
    ["state_dict", "model_state_dict", "model", "net", "network", "model_state", "module", "state_dict_ema"];

/// Tables within tables are looked at so deep.
const MAX_DEPTH: usize = 4;

/// Values looked at altogether. A pickle can refer to one table many times, and those in it as well.
const MAX_VISITS: usize = 1_000_000;

/// Finds the table: what was saved, what is under a usual key, or the tables of what was saved taken together.
pub(super) fn find(pickle: &Pickle<'_>) -> Result<Table, String> {
    let root = pickle.root();
    let mut table = Table::default();
    let mut at = root;
    for _ in 0..MAX_DEPTH {
        let items = pickle.items(at).ok_or_else(|| unlike(pickle, at))?;
        if items.iter().any(|(_, value)| is_tensor(pickle, *value)) {
            break;
        }
        let keyed = |wanted: &str| items.iter().rev().find(|(key, _)| pickle.text(*key) == Some(wanted));
        let usual = KEYS.iter().filter_map(|wanted| keyed(wanted)).find(|(_, value)| pickle.items(*value).is_some());
        let Some((chosen, inner)) = usual else { break };
        let beside = items.iter().filter(|(key, _)| key != chosen);
        table.passed_over.extend(beside.map(|(key, value)| shown(pickle, &label(pickle, *key), *value)));
        at = *inner;
    }
    let mut visits = 0;
    table.gather(pickle, at, "", 0, &mut visits)?;
    if table.tensors.is_empty() {
        return Err(match table.passed_over.as_slice() {
            [] => format!("no tensor in it, but {}", pickle.describe(root)),
            beside => format!("no tensor in it, but {}", beside.join(", ")),
        });
    }
    table.keep_last();
    Ok(table)
}

fn unlike(pickle: &Pickle<'_>, id: NodeId) -> String {
    if is_tensor(pickle, id) {
        return "one tensor without a name; save a dictionary of tensors".to_string();
    }
    match pickle.refusal(id) {
        Some(refusal) => format!("{refusal}; if a whole network was saved, save its state_dict() instead"),
        None => format!("expected a dictionary of tensors, got {}", pickle.describe(id)),
    }
}

fn label(pickle: &Pickle<'_>, key: NodeId) -> String {
    pickle.text(key).map(str::to_string).or_else(|| pickle.int(key).map(|key| key.to_string())).unwrap_or_default()
}

fn shown(pickle: &Pickle<'_>, name: &str, value: NodeId) -> String {
    format!("`{name}` ({})", pickle.describe(value))
}

impl Table {
    // Recursion is as deep as MAX_DEPTH.
    fn gather(
        &mut self,
        pickle: &Pickle<'_>,
        at: NodeId,
        prefix: &str,
        depth: usize,
        visits: &mut usize,
    ) -> Result<(), String> {
        for (key, value) in pickle.items(at).unwrap_or_default() {
            *visits += 1;
            if *visits > MAX_VISITS {
                return Err(format!("tables within tables of more than {MAX_VISITS} values"));
            }
            let name = format!("{prefix}{}", label(pickle, key));
            if is_tensor(pickle, value) {
                self.tensors.push((name, value));
            } else if depth < MAX_DEPTH && pickle.items(value).is_some() {
                self.gather(pickle, value, &format!("{name}."), depth + 1, visits)?;
            } else {
                self.passed_over.push(shown(pickle, &name, value));
            }
        }
        Ok(())
    }

    // Of two equal keys the later one counts, in the place of the first.
    fn keep_last(&mut self) {
        let mut last: BTreeMap<String, NodeId> = self.tensors.iter().cloned().collect();
        self.tensors.retain_mut(|(name, id)| match last.remove(name) {
            Some(value) => {
                *id = value;
                true
            }
            None => false,
        });
    }
}
