//! Memory is a value: named, detached, checked, and the same after a file.

use candle_core::{DType, Device, Tensor, Var};
use candle_wsss::{MemoryState, PrototypeBank, Result, SeededSampler};

#[test]
fn entries_are_scoped_and_checked() -> Result<()> {
    let tensor = Tensor::zeros((2, 3), DType::F32, &Device::Cpu)?;
    let mut inner = MemoryState::default();
    inner.insert("bank", &tensor)?;
    assert!(inner.insert("bank", &tensor).is_err(), "a key is used once");
    let mut outer = MemoryState::default();
    outer.absorb("hsc", inner.clone())?;
    outer.absorb("hsc2", inner)?;
    let mut own = outer.split_off("hsc");
    assert_eq!(outer.iter().map(|(key, _)| key).collect::<Vec<_>>(), ["hsc2.bank"], "hsc is no prefix of hsc2");
    let error = own.clone().take("bank", &[3, 2]).unwrap_err().to_string();
    assert_eq!(error, "tensor `bank`: expected shape [3, 2], got [2, 3]");
    own.take("bank", &[2, 3])?;
    assert!(own.take("bank", &[2, 3]).is_err());
    assert_eq!(outer.expect_empty().unwrap_err().to_string(), "tensor `hsc2.bank`: unexpected");
    Ok(())
}

#[test]
fn bytes_bring_back_the_same_values() -> Result<()> {
    let mut state = MemoryState::default();
    let bank = PrototypeBank::normal(4, 3, DType::F32, &Device::Cpu, &mut SeededSampler::new(9))?;
    state.insert("bank", bank.rows())?;
    let bytes = state.to_safetensors(None)?;
    assert_eq!(bytes, state.to_safetensors(None)?, "same state, same bytes");
    let back = MemoryState::from_safetensors(&bytes, &Device::Cpu)?.take("bank", &[4, 3])?;
    assert_eq!(back.to_vec2::<f32>()?, bank.rows().to_vec2::<f32>()?);
    assert!(MemoryState::from_safetensors(&bytes[..bytes.len() / 2], &Device::Cpu).is_err());
    Ok(())
}

#[test]
fn banks_move_without_a_graph() -> Result<()> {
    let old = PrototypeBank::from_rows(&Tensor::new(&[[1f64, 2.0], [3.0, 4.0]], &Device::Cpu)?);
    let fresh = Var::new(&[[5f64, 6.0], [7.0, 8.0]], &Device::Cpu)?;
    let moved = old.moved(fresh.as_tensor(), 0.75)?;
    assert_eq!(moved.rows().to_vec2::<f64>()?, [[2.0, 3.0], [4.0, 5.0]]);
    let row = old.moved_row(1, &fresh.get(1)?, 0.5)?;
    assert_eq!(row.rows().to_vec2::<f64>()?, [[1.0, 2.0], [5.0, 6.0]]);
    let grads = (moved.rows().sum_all()? + row.rows().sum_all()?)?.backward()?;
    assert!(grads.get(&fresh).is_none(), "a bank carries no gradient");
    Ok(())
}
