//! Parameters start from their names, and loading is all or nothing.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::Init;
use candle_wsss::init::CONV_DEFAULT;
use candle_wsss::{ParameterStore, Result};

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().and_then(|flat| flat.to_vec1()).expect("a float32 tensor on the CPU")
}

#[test]
fn start_depends_on_seed_and_name_only() -> Result<()> {
    let (first, second) = (ParameterStore::new(), ParameterStore::new());
    let one = first.var_builder(5, DType::F32, &Device::Cpu);
    let two = second.var_builder(5, DType::F32, &Device::Cpu);
    let a = one.pp("a").get_with_hints((4, 3), "weight", CONV_DEFAULT)?;
    let b = one.pp("b").get_with_hints((4, 3), "weight", CONV_DEFAULT)?;
    // The other way round.
    let b2 = two.pp("b").get_with_hints((4, 3), "weight", CONV_DEFAULT)?;
    let a2 = two.pp("a").get_with_hints((4, 3), "weight", CONV_DEFAULT)?;
    assert_eq!(values(&a), values(&a2));
    assert_eq!(values(&b), values(&b2));
    assert_ne!(values(&a), values(&b));
    let other = ParameterStore::new().var_builder(6, DType::F32, &Device::Cpu);
    assert_ne!(values(&a), values(&other.pp("a").get_with_hints((4, 3), "weight", CONV_DEFAULT)?));
    Ok(())
}

#[test]
fn convolutions_start_within_their_bound() -> Result<()> {
    let store = ParameterStore::new();
    let vb = store.var_builder(1, DType::F64, &Device::Cpu);
    let weight = vb.get_with_hints((8, 6, 3, 3), "weight", CONV_DEFAULT)?;
    let bound = 1.0 / f64::from(6 * 9).sqrt();
    let all = weight.flatten_all()?.to_vec1::<f64>()?;
    assert!(all.iter().all(|w| w.abs() <= bound));
    assert!(all.iter().any(|w| w.abs() > 0.9 * bound), "the range is used");
    Ok(())
}

#[test]
fn names_are_sorted_and_shapes_checked() -> Result<()> {
    let store = ParameterStore::new();
    let vb = store.var_builder(1, DType::F32, &Device::Cpu);
    for name in ["z", "a", "m"] {
        vb.get_with_hints(2, name, Init::Const(1.0))?;
    }
    let names: Vec<String> = store.named_vars().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "m", "z"]);
    let error = vb.get_with_hints(3, "a", Init::Const(1.0)).unwrap_err().to_string();
    assert!(error.contains("tensor `a`") && error.contains("[3]"), "{error}");
    Ok(())
}

#[test]
fn loading_names_what_is_wrong_and_changes_nothing() -> Result<()> {
    let store = ParameterStore::new();
    let vb = store.var_builder(1, DType::F32, &Device::Cpu);
    vb.get_with_hints(2, "a", Init::Const(1.0))?;
    vb.get_with_hints(2, "b", Init::Const(1.0))?;
    let two = Tensor::new(&[2f32, 2.0], &Device::Cpu)?;
    let three = Tensor::new(&[3f32, 3.0, 3.0], &Device::Cpu)?;
    let file = |entries: &[(&str, &Tensor)]| -> BTreeMap<String, Tensor> {
        entries.iter().map(|(name, tensor)| ((*name).to_string(), (*tensor).clone())).collect()
    };
    for (tensors, named) in [
        (file(&[("a", &two)]), "`b`: missing"),
        (file(&[("a", &two), ("b", &two), ("c", &two)]), "`c`: not a parameter"),
        (file(&[("a", &two), ("b", &three)]), "`b`: expected shape [2], got [3]"),
    ] {
        let error = store.load_exact(&tensors).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
        assert_eq!(values(&store.snapshot()?["a"]), [1.0, 1.0], "nothing was set");
    }
    let report = store.load_partial(&file(&[("a", &two), ("c", &two)]))?;
    assert_eq!((report.loaded, report.missing, report.surplus), (vec!["a".into()], vec!["b".into()], vec!["c".into()]));
    assert_eq!(values(&store.snapshot()?["a"]), [2.0, 2.0]);
    Ok(())
}
