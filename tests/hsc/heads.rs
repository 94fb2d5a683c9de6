//! The projections.

use candle_core::{DType, Device, Tensor};
use candle_wsss::regularizer::hsc::{HeadGroup, HscConfig, HscHeads};
use candle_wsss::testing::{assert_close, gradient_error, randn};
use candle_wsss::{ParameterGroup, ParameterStore};

use super::inputs::numbers;

fn small() -> HscConfig {
    HscConfig { pixel_dim: 3, region_dim: 4, ..HscConfig::default() }
}

fn heads(config: &HscConfig) -> (ParameterStore, HscHeads) {
    let store = ParameterStore::new();
    let heads = HscHeads::new(5, config, &store.var_builder(7, DType::F64, &Device::Cpu)).unwrap();
    // Values other than the identity for the batch norm.
    for (name, var) in store.named_vars() {
        if name.starts_with("extra_F.1") {
            let noise = (randn(8, var.dims()).unwrap() * 0.2).unwrap();
            var.set(&(var.as_tensor() + noise).unwrap().abs().unwrap()).unwrap();
        }
    }
    (store, heads)
}

#[test]
fn parameters_have_the_released_names_and_shapes() {
    let (store, _) = heads(&small());
    let found: Vec<(String, Vec<usize>)> =
        store.named_vars().into_iter().map(|(name, var)| (name, var.dims().to_vec())).collect();
    let want = [
        ("extra_F.0.bias", vec![4]),
        ("extra_F.0.weight", vec![4, 5, 3, 3]),
        ("extra_F.1.bias", vec![4]),
        ("extra_F.1.running_mean", vec![4]),
        ("extra_F.1.running_var", vec![4]),
        ("extra_F.1.weight", vec![4]),
        ("extra_F.3.bias", vec![4]),
        ("extra_F.3.weight", vec![4, 4, 1, 1]),
        ("proj_fc.weight", vec![3, 5, 1, 1]),
    ];
    assert_eq!(found, want.map(|(name, dims)| (name.to_string(), dims)));
}

#[test]
fn groups_are_the_released_ones_or_those_intended() {
    let of = |group: HeadGroup, name: &str| heads(&HscConfig { head_group: group, ..small() }).1.parameter_group(name);
    for group in [HeadGroup::Pretrained, HeadGroup::FromScratch] {
        assert_eq!(of(group, "extra_F.1.weight"), ParameterGroup::Frozen);
        assert_eq!(of(group, "extra_F.1.running_var"), ParameterGroup::Frozen);
        assert_eq!(of(group, "proj_fc.weight"), ParameterGroup::FromScratch);
    }
    for name in ["extra_F.0.weight", "extra_F.0.bias", "extra_F.3.weight"] {
        assert_eq!(of(HeadGroup::Pretrained, name), ParameterGroup::Pretrained);
        assert_eq!(of(HeadGroup::FromScratch, name), ParameterGroup::FromScratch);
    }
}

// One output pixel at a time.
#[test]
fn maps_are_the_definition_written_out() {
    let (store, heads) = heads(&small());
    let x = randn(9, &[2, 5, 3, 4]).unwrap();
    let maps = heads.forward(&x).unwrap();
    let p = |name: &str| numbers(store.get(name).unwrap().as_tensor());
    let at = {
        let x = numbers(&x);
        move |n: usize, c: usize, y: isize, column: isize| {
            let inside = (0..3).contains(&y) && (0..4).contains(&column);
            if inside { x[((n * 5 + c) * 3 + y as usize) * 4 + column as usize] } else { 0.0 }
        }
    };
    let (weight, bias) = (p("extra_F.0.weight"), p("extra_F.0.bias"));
    let norm = ["weight", "bias", "running_mean", "running_var"].map(|name| p(&format!("extra_F.1.{name}")));
    let hidden = |n: usize, k: usize, y: isize, column: isize| {
        let mut sum = bias[k];
        for (i, w) in weight[k * 45..][..45].iter().enumerate() {
            sum += w * at(n, i / 9, y + (i % 9 / 3) as isize - 1, column + (i % 3) as isize - 1);
        }
        let [gamma, beta, mean, var] = &norm;
        (gamma[k] * (sum - mean[k]) / (var[k] + 1e-5).sqrt() + beta[k]).max(0.0)
    };
    let (pixel_weight, region_weight, region_bias) = (p("proj_fc.weight"), p("extra_F.3.weight"), p("extra_F.3.bias"));
    let (mut pixel, mut region) = (Vec::new(), Vec::new());
    for i in 0..2 * 3 * 3 * 4 {
        let (n, k, y, column) = (i / 36, i / 12 % 3, (i / 4 % 3) as isize, (i % 4) as isize);
        let sum: f64 = (0..5).map(|c| pixel_weight[k * 5 + c] * at(n, c, y, column)).sum();
        pixel.push(sum.max(0.0));
    }
    for i in 0..2 * 4 * 3 * 4 {
        let (n, k, y, column) = (i / 48, i / 12 % 4, (i / 4 % 3) as isize, (i % 4) as isize);
        region.push(region_bias[k] + (0..4).map(|c| region_weight[k * 4 + c] * hidden(n, c, y, column)).sum::<f64>());
    }
    let want = Tensor::from_vec(pixel, (2, 3, 3, 4), &Device::Cpu).unwrap();
    assert_close("pixel map", &maps.pixel, &want, 1e-12).unwrap();
    let want = Tensor::from_vec(region, (2, 4, 3, 4), &Device::Cpu).unwrap();
    assert_close("region map", &maps.region, &want, 1e-12).unwrap();
}

#[test]
fn gradients_reach_features_and_convolutions_but_not_the_batch_norm() {
    let (store, heads) = heads(&small());
    let x = randn(10, &[2, 5, 3, 4]).unwrap();
    let weigh = |x: &Tensor| {
        let maps = heads.forward(x)?;
        let weights = [randn(11, maps.pixel.dims())?, randn(12, maps.region.dims())?];
        Ok(((maps.pixel * &weights[0])?.sum_all()? + (maps.region * &weights[1])?.sum_all()?)?)
    };
    assert!(gradient_error(std::slice::from_ref(&x), 60, |x| weigh(&x[0])).unwrap() < 1e-6);
    let loss: candle_wsss::Result<Tensor> = weigh(&x);
    let gradients = loss.unwrap().backward().unwrap();
    for (name, var) in store.named_vars() {
        let trained = heads.parameter_group(&name) != ParameterGroup::Frozen;
        assert_eq!(gradients.get(&var).is_some(), trained, "{name}");
    }
}

#[test]
fn weights_loaded_later_are_used() {
    let (store, heads) = heads(&small());
    let x = randn(13, &[1, 5, 3, 3]).unwrap();
    let before = heads.forward(&x).unwrap();
    let var = store.get("extra_F.1.bias").unwrap();
    var.set(&(var.as_tensor() + 1.0).unwrap()).unwrap();
    let after = heads.forward(&x).unwrap();
    assert_ne!(numbers(&before.region), numbers(&after.region));
    assert_eq!(numbers(&before.pixel), numbers(&after.pixel));
}
