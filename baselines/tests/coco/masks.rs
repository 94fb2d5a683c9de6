use std::path::Path;

use candle_wsss_baselines::data::{CocoConfig, Crowd, Overlap};
use serde_json::{Value, json};

use super::scratch::{Scratch, document, rows};

/// What `make_masks.py` wrote. `CANDLE_WSSS_COCO_MASKS` names another of its files, for a longer check.
fn fixture() -> Value {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/coco/fixtures/masks.json");
    let path = std::env::var_os("CANDLE_WSSS_COCO_MASKS").map_or(own, Into::into);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn masks_are_those_of_the_coco_api() {
    let fixture = fixture();
    let scratch = Scratch::new(&fixture["document"]);
    for (way, masks) in fixture["masks"].as_object().unwrap() {
        let (overlap, crowd) = way.split_once(' ').unwrap();
        let config: CocoConfig = serde_json::from_value(json!({"overlap": overlap, "crowd": crowd})).unwrap();
        let coco = scratch.open_with(&config).unwrap();
        let masks = masks.as_array().unwrap();
        let step = coco.images.len().div_ceil(masks.len());
        for (index, runs) in (0..coco.images.len()).step_by(step).zip(masks) {
            let runs: Vec<u64> = runs.as_array().unwrap().iter().map(|number| number.as_u64().unwrap()).collect();
            let expected = runs.chunks(2).flat_map(|run| vec![run[0] as u8; run[1] as usize]).collect::<Vec<_>>();
            let mask = coco.mask(index).unwrap();
            assert_eq!((mask.width, mask.height), (coco.images[index].width, coco.images[index].height));
            assert_eq!(mask.data, expected, "{way}, image {index}: {:?}", rows(&mask));
        }
    }
}

#[test]
fn overlaps_and_crowds_as_told() {
    let scratch = Scratch::new(&document());
    let draw = |overlap, crowd, index| {
        let config = CocoConfig { overlap, crowd, ..CocoConfig::default() };
        rows(&scratch.open_with(&config).unwrap().mask(index).unwrap())
    };
    let usual = draw(Overlap::FileOrder, Crowd::Class, 1);
    assert_eq!(usual, ["100000", "012220", "012220", "002220", "000000"]);
    let smaller = draw(Overlap::SmallerOnTop, Crowd::Void, 1);
    assert_eq!(smaller, ["#00000", "011220", "011220", "002220", "000000"]);
    let void = draw(Overlap::Void, Crowd::Skip, 1);
    assert_eq!(void, ["000000", "01#220", "01#220", "002220", "000000"]);
    // Runs go down the columns.
    assert_eq!(draw(Overlap::FileOrder, Crowd::Class, 0), ["0200", "0200", "0000"]);
    assert_eq!(draw(Overlap::FileOrder, Crowd::Class, 2), ["00", "00"]);
}

#[test]
fn polygons_of_one_annotation_are_one_region() {
    let mut document = document();
    // Twice the same: a union, not an exclusive or, and no overlap.
    let square = json!([1, 1, 3, 1, 3, 3, 1, 3]);
    document["annotations"][0]["segmentation"] = json!([square, square]);
    document["annotations"].as_array_mut().unwrap().truncate(2);
    let config = CocoConfig { overlap: Overlap::Void, ..CocoConfig::default() };
    let coco = Scratch::new(&document).open_with(&config).unwrap();
    assert_eq!(rows(&coco.mask(1).unwrap()), ["000000", "011000", "011000", "000000", "000000"]);
}

#[test]
fn a_huge_polygon_is_cut_off_at_the_rim() {
    let mut document = document();
    let far = 1e6;
    document["annotations"][0]["segmentation"] = json!([[-far, -far, far, -far, far, far, -far, far]]);
    document["annotations"].as_array_mut().unwrap().truncate(1);
    let coco = Scratch::new(&document).open().unwrap();
    assert_eq!(coco.mask(1).unwrap().data, [1; 30]);
}

#[test]
fn characters_and_numbers_say_the_same() {
    let mut document = document();
    let mut draw = |counts: Value| {
        document["annotations"][1]["segmentation"]["counts"] = counts;
        rows(&Scratch::new(&document).open().unwrap().mask(0).unwrap())
    };
    let numbers = draw(json!([1, 2, 3, 4, 2]));
    // The fourth number on are differences to the last but one: 1, 2, 3, 4 - 2, 2 - 3.
    assert_eq!(draw(json!("1232O")), numbers);
    assert_eq!(numbers, ["0022", "2020", "2020"]);
}
