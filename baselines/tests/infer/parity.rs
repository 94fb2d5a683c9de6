//! Sums, scores and labels of the released code.

use candle_core::{DType, Tensor};
use candle_wsss_baselines::infer::{MapSource, NetworkMap, SeedMaps, normalize_maps, sum_maps};

use crate::fixture::Fixture;

const TOLERANCE: f64 = 2e-7;

fn labelled(fixture: &Fixture) -> Vec<usize> {
    let label = fixture.tensor("label").to_vec1::<f64>().unwrap();
    label.iter().enumerate().filter(|(_, value)| **value > 0.0).map(|(class, _)| class).collect()
}

/// All inputs of a family, odd ones mirrored; `first_is_background` is the order the file has them in.
fn network_maps(fixture: &Fixture, family: &str, first_is_background: bool) -> Vec<NetworkMap> {
    let mut maps = Vec::new();
    while fixture.has(&format!("{family}_cam_{}", maps.len())) {
        let map = fixture.tensor(&format!("{family}_cam_{}", maps.len()));
        let map = if first_is_background {
            let foreground = map.narrow(1, 1, map.dim(1).unwrap() - 1).unwrap();
            Tensor::cat(&[&foreground, &map.narrow(1, 0, 1).unwrap()], 1).unwrap()
        } else {
            map
        };
        maps.push(NetworkMap { map, flipped: maps.len() % 2 == 1 });
    }
    assert!(!maps.is_empty(), "{}: no {family}_cam_0", fixture.name);
    maps
}

fn check(fixture: &Fixture, family: &str, source: MapSource) {
    let (_, height, width) = fixture.raw(&format!("{family}_sum")).dims3().unwrap();
    let classes = labelled(fixture);
    let maps = network_maps(fixture, family, source == MapSource::Refined);
    let sum = sum_maps(&maps, &classes, (height, width), source).unwrap();
    fixture.check(&format!("{family}_sum"), &sum, TOLERANCE);
    let scores = normalize_maps(&sum, source).unwrap();
    fixture.check(&format!("{family}_norm"), &scores, TOLERANCE);

    let scores = scores.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let seeds = SeedMaps::new(classes, height, width, scores).unwrap();
    let threshold = fixture.constant(&format!("background_threshold_{family}"));
    let want = fixture.raw(&format!("{family}_pred")).flatten_all().unwrap().to_vec1::<u8>().unwrap();
    assert_eq!(seeds.labels(threshold as f32), want, "{}: {family} labels", fixture.name);
}

#[test]
fn refined_maps_match_the_released_code() {
    for fixture in Fixture::with_prefix("infer_norm") {
        check(&fixture, "seam", MapSource::Refined);
        // A class without a label is not computed here; it would come out as in the released code.
        let absent = fixture.tensor("seam_norm_absent");
        let zeros = absent.zeros_like().unwrap().unsqueeze(0).unwrap();
        let scores = normalize_maps(&zeros, MapSource::Refined).unwrap().squeeze(0).unwrap();
        fixture.check("seam_norm_absent", &scores, TOLERANCE);
    }
}

#[test]
fn softmax_maps_match_the_released_code() {
    for fixture in Fixture::with_prefix("infer_norm") {
        check(&fixture, "eps", MapSource::Softmax);
    }
}
