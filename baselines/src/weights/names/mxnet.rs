//! Names of MXNet's ResNet-38, the ImageNet weights under SEAM and its kin, in those of the released PyTorch networks.
//!
//! A name is `<layer>_<part>_<value>`, behind `arg:` or `aux:` for trained and for counted values. Layers are `conv1a`;
//! `res2a`, `res2b1`, `res2b2`, `res3a` and so on, each with its convolutions as parts (`branch1`, `branch2a`,
//! `branch2b1`, ..); `bn2a`, .., their normalisations, with the part of the convolution behind them; `bn7`, the last
//! normalisation, without parts; and `linear1000`, the classifier.

/// The name in the PyTorch network; none for what has none there.
pub(super) fn resnet38(name: &str) -> Option<String> {
    let name = name.strip_prefix("arg:").or_else(|| name.strip_prefix("aux:")).unwrap_or(name);
    let (layer, rest) = name.split_once('_')?;
    if layer == "conv1a" {
        return (rest == "weight").then(|| "conv1a.weight".to_string());
    }
    if let Some(block) = layer.strip_prefix("res") {
        let part = rest.strip_suffix("_weight")?;
        return Some(format!("{}.conv_{part}.weight", self::block(block)?));
    }
    let block = layer.strip_prefix("bn")?;
    match rest.split_once('_') {
        Some((part, value)) if part.starts_with("branch") => {
            Some(format!("{}.bn_{part}.{}", self::block(block)?, of_batch_norm(value)?))
        }
        _ => Some(format!("{layer}.{}", of_batch_norm(rest)?)),
    }
}

// `2a` is b2, `2b1` is b2_1, `2b2` is b2_2.
fn block(name: &str) -> Option<String> {
    let stage = name.get(..1)?;
    match name.get(1..)? {
        "a" => Some(format!("b{stage}")),
        further => further.strip_prefix('b').filter(|index| !index.is_empty()).map(|index| format!("b{stage}_{index}")),
    }
}

fn of_batch_norm(value: &str) -> Option<&'static str> {
    Some(match value {
        "gamma" => "weight",
        "beta" => "bias",
        "moving_mean" => "running_mean",
        "moving_var" => "running_var",
        _ => return None,
    })
}
