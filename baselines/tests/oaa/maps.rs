//! The arithmetic and the files of one map.

use candle_wsss_baselines::accumulate::{
    Acceptance, AccumulateConfig, AttentionInfo, AttentionInput, AttentionMap, SeedOrigin, attention_path,
    attention_scores, attention_seeds, read_attention, write_attention,
};

use crate::cli::workbench::{files, folder};

fn map(width: usize, data: &[u8]) -> AttentionMap {
    AttentionMap { width, height: data.len() / width, data: data.to_vec() }
}

#[test]
fn eight_bits() {
    let bits = |values: &[f32]| AttentionMap::from_activation(values, values.len(), 1).unwrap().data;
    // Halves go to the even neighbour: 0.5 / 255 of the largest value to 0, 1.5 / 255 to 2.
    assert_eq!(bits(&[255.0, 0.5, 1.5, 2.5, 254.5]), [255, 0, 2, 2, 254]);
    assert_eq!(bits(&[-3.0, -1.0]), [0, 0]);
    assert_eq!(bits(&[1e30, 1e30, -1e30]), [255, 255, 0]);
    // The constant in the divisor shows only where the map has all but vanished.
    assert_eq!(bits(&[1e-8, 0.0]), [128, 0]);
    assert_eq!(bits(&[]), Vec::<u8>::new());
    let message = |values: &[f32]| AttentionMap::from_activation(values, 2, 1).unwrap_err().to_string();
    assert_eq!(message(&[1.0]), "attention map: expected 2 x 1 values, got 1");
    assert_eq!(message(&[1.0, f32::INFINITY]), "attention map: must be finite, one value is inf");
}

#[test]
fn maximum() {
    let mut own = map(3, &[0, 10, 255, 7, 7, 7]);
    assert!(own.merge(&map(3, &[5, 9, 0, 7, 8, 6])).unwrap());
    assert_eq!(own, map(3, &[5, 10, 255, 7, 8, 7]));
    let before = own.clone();
    assert!(!own.merge(&before).unwrap());
    assert!(!own.merge(&map(3, &[0; 6])).unwrap());
    let message = own.merge(&map(2, &[9; 6])).unwrap_err().to_string();
    assert_eq!(message, "attention map: expected 2 x 3 (width x height), got 3 x 2");
    assert_eq!(own, before);
}

#[test]
fn which_maps_count() {
    let logits = [0.0, -2.0, 5.0, 0.0];
    let accepted = |acceptance: Acceptance, num_labels: usize| -> Vec<usize> {
        (0..5).filter(|class| acceptance.accepts(&logits, *class, num_labels)).collect()
    };
    assert_eq!(accepted(Acceptance::Probability(0.0), 1), [0, 1, 2, 3]);
    assert_eq!(accepted(Acceptance::Probability(0.5), 1), [0, 2, 3]);
    assert_eq!(accepted(Acceptance::Probability(1.0), 4), [0usize; 0]);
    assert_eq!(accepted(Acceptance::Ranked, 1), [2]);
    assert_eq!(accepted(Acceptance::Ranked, 2), [0, 2]);
    assert_eq!(accepted(Acceptance::Ranked, 9), [0, 1, 2, 3]);
    // ln(0.1 / 0.9) is where the released code's probability lies.
    let edge = (0.1f64 / 0.9).ln() as f32;
    assert!(Acceptance::default().accepts(&[edge + 1e-4], 0, 1));
    assert!(!Acceptance::default().accepts(&[edge - 1e-4], 0, 1));
    assert!(!Acceptance::default().accepts(&[f32::NAN], 0, 1));
}

#[test]
fn scores() {
    let score = |map: &AttentionMap, size| attention_scores(map, size).unwrap();
    assert_eq!(score(&map(2, &[10, 20, 30, 50]), (2, 2)), [0.0, 0.25, 0.5, 1.0]);
    assert_eq!(score(&map(1, &[200]), (2, 3)), [0.0; 6]);
    assert_eq!(score(&map(2, &[0; 4]), (2, 2)), [0.0; 4]);
    // Pixel centres: quarters and three quarters of the way between two cells, and the ends beyond them.
    assert_eq!(score(&map(2, &[0, 100]), (1, 4)), [0.0, 0.25, 0.75, 1.0]);
    let large = score(&map(3, &[0, 255, 3, 90, 17, 60]), (20, 31));
    assert_eq!(large.len(), 20 * 31);
    assert!(large.iter().all(|score| (0.0..=1.0).contains(score)));
}

#[test]
fn a_folder_of_maps() {
    let place = folder();
    let root = place.path();
    let path = |class| attention_path(root, "a", class);
    assert_eq!(path(3), root.join("a_3.png"));
    write_attention(&path(3), &map(2, &[1, 2, 3, 4])).unwrap();
    assert_eq!(read_attention(&path(3)).unwrap(), map(2, &[1, 2, 3, 4]));
    assert_eq!(files(root).len(), 1);

    let seeds = |filled, labels: &[usize]| {
        attention_seeds(root, &AttentionInfo { epochs: 1, filled }, "a", labels, (2, 2)).map_err(|err| err.to_string())
    };
    let three = seeds(true, &[3]).unwrap();
    assert_eq!(three.map(3).unwrap(), [0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0]);
    assert_eq!(seeds(false, &[3, 1]).unwrap(), three);
    assert_eq!(seeds(false, &[]).unwrap().classes(), [0usize; 0]);
    let missing = format!(
        "{}: expected the attention map of class 1 of image a, there is no such file",
        root.join("a_1.png").display()
    );
    assert_eq!(seeds(true, &[3, 1]).unwrap_err(), missing);

    let bytes = std::fs::read(path(3)).unwrap();
    std::fs::write(path(3), &bytes[..bytes.len() / 2]).unwrap();
    assert!(seeds(false, &[3]).unwrap_err().starts_with(&format!("{}: cannot be decoded", path(3).display())));
    let message = read_attention(root).unwrap_err().to_string();
    assert!(message.starts_with(&root.display().to_string()), "{message}");
}

#[test]
fn a_map_that_cannot_be_written() {
    let place = folder();
    let path = attention_path(place.path(), "a", 0);
    write_attention(&path, &map(2, &[1, 2])).unwrap();
    let before = files(place.path());
    let odd = AttentionMap { width: 2, height: 2, data: vec![0; 3] };
    assert!(write_attention(&path, &odd).unwrap_err().to_string().starts_with(&path.display().to_string()));
    assert!(files(place.path()) == before, "half a file");
    std::fs::create_dir(attention_path(place.path(), "b", 0)).unwrap();
    assert!(write_attention(&attention_path(place.path(), "b", 0), &map(1, &[1])).is_err());
    assert!(files(place.path()) == before, "a temporary file was left");
}

#[test]
fn how_far_a_folder_is() {
    let place = folder();
    let file = place.path().join("accumulated.json");
    assert_eq!(AttentionInfo::read(place.path()).unwrap(), None);
    let message = AttentionInfo::expect(place.path()).unwrap_err().to_string();
    let expected = "expected a folder of accumulated attention maps, there is no such file";
    assert_eq!(message, format!("{}: {expected}", file.display()));
    let info = AttentionInfo { epochs: 3, filled: true };
    info.write(place.path()).unwrap();
    assert_eq!(AttentionInfo::expect(place.path()).unwrap(), info);
    std::fs::write(&file, "{").unwrap();
    assert!(AttentionInfo::read(place.path()).unwrap_err().to_string().contains("accumulated.json: "));
}

#[test]
fn settings() {
    let message = |config: AccumulateConfig| config.validate().unwrap_err().to_string();
    let acceptance = Acceptance::Probability(1.5);
    let text = message(AccumulateConfig { acceptance, ..AccumulateConfig::default() });
    assert_eq!(text, "config field `acceptance.probability`: must be from 0 to 1, is 1.5");
    let input = AttentionInput::Squashed(0);
    let text = message(AccumulateConfig { input, ..AccumulateConfig::default() });
    assert_eq!(text, "config field `input.squashed`: must be at least 1, is 0");

    let config = AccumulateConfig {
        enabled: true,
        acceptance: Acceptance::Ranked,
        input: AttentionInput::Squashed(368),
        ..AccumulateConfig::default()
    };
    for config in [AccumulateConfig::default(), config.clone()] {
        assert_eq!(toml::from_str::<AccumulateConfig>(&toml::to_string(&config).unwrap()).unwrap(), config);
    }
    assert!(!AccumulateConfig::default().makes_seeds() && config.makes_seeds());
    assert!(!AccumulateConfig { seeds: SeedOrigin::Network, ..config }.makes_seeds());
}
