use candle_wsss_baselines::Error;
use serde_json::{Value, json};

use super::scratch::{JSON, Scratch, document};

/// Opens what is there and draws all of it: a value or an error, never a panic.
fn try_all(scratch: &Scratch) -> Result<usize, Error> {
    let coco = scratch.open()?;
    for index in 0..coco.images.len() {
        coco.mask(index)?;
    }
    Ok(coco.images.len())
}

#[test]
fn cut_at_every_length() {
    let scratch = Scratch::new(&document());
    let text = document().to_string();
    for len in 0..text.len() {
        scratch.file(JSON, &text.as_bytes()[..len]);
        assert_eq!(try_all(&scratch).unwrap_err().exit_code(), 3, "{len} bytes");
    }
}

#[test]
fn bytes_changed() {
    let scratch = Scratch::new(&document());
    let mut text = document();
    text["annotations"][1]["segmentation"]["counts"] = json!("327");
    let text = text.to_string();
    for at in 0..text.len() {
        for byte in [b'9', b'-', b'o', b'"', 0xFF] {
            let mut changed = text.clone().into_bytes();
            changed[at] = byte;
            scratch.file(JSON, &changed);
            if let Err(error) = try_all(&scratch) {
                assert_eq!(error.exit_code(), 3, "byte {at} is {byte}: {error}");
            }
        }
    }
}

#[test]
fn deep_nesting_is_refused() {
    let scratch = Scratch::new(&document());
    scratch.file(JSON, format!("{{\"info\": {}", "[".repeat(1_000_000)).as_bytes());
    assert!(scratch.open().unwrap_err().to_string().contains("recursion limit exceeded"));
}

#[test]
fn random_run_lengths() {
    let mut document = document();
    let scratch = Scratch::new(&document);
    let mut state = 1u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    for _ in 0..400 {
        let text: String = (0..next() % 12).map(|_| char::from(b'/' + (next() % 66) as u8)).collect();
        let numbers: Vec<Value> = (0..next() % 9).map(|_| json!(next() % 6)).collect();
        for counts in [json!(text), json!(numbers)] {
            document["annotations"][1]["segmentation"]["counts"] = counts;
            scratch.set(&document);
            if let Err(error) = try_all(&scratch) {
                assert!(error.to_string().contains(": annotation 11: "), "{error}");
            }
        }
    }
}
