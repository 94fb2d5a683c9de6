//! What a forward pass keeps for the way back.

use std::collections::BTreeMap;

use candle_core::{CpuStorage, DType, Device, Storage, Tensor};
use candle_wsss::testing::randn;
use candle_wsss::{ParameterStore, SeededSampler};
use candle_wsss_baselines::backbone::{Backbone, BackboneConfig, ResNet38dConfig};

const MIB: usize = 1 << 20;
const WIDTH_DIVISOR: usize = 64;

/// Bytes of the graph behind some tensors, parameters left out.
fn kept(outputs: &[&Tensor]) -> usize {
    let mut blocks = BTreeMap::new();
    for node in outputs.iter().flat_map(|output| output.sorted_nodes()).filter(|node| !node.is_variable()) {
        let (storage, _) = node.storage_and_layout();
        let Storage::Cpu(CpuStorage::F32(values)) = &*storage else { panic!("expected float32 on the CPU") };
        blocks.insert(values.as_ptr(), size_of_val(values.as_slice()));
    }
    blocks.into_values().sum()
}

/// At the paper's width this is 44 MiB for a crop of 128 and 539 for one of 448. Beside it stays the input of the first
/// trained block, rectified: 2 and 24.5 MiB.
#[test]
fn resnet38d_keeps_what_the_documentation_says() {
    let config = ResNet38dConfig { width_divisor: WIDTH_DIVISOR, ..Default::default() };
    let store = ParameterStore::new();
    let trunk: std::sync::Arc<dyn Backbone> =
        BackboneConfig::ResNet38d(config).build(store.var_builder(1, DType::F32, &Device::Cpu)).unwrap();
    for images in [1, 2] {
        let image = randn(3, &[images, 3, 128, 128]).unwrap().to_dtype(DType::F32).unwrap();
        let taps = trunk.forward(&image, Some(&SeededSampler::new(0))).unwrap();
        let bytes = kept(&[&taps.low, &taps.high, &taps.last]);
        assert_eq!(bytes * WIDTH_DIVISOR, images * 44 * MIB);
    }
}
