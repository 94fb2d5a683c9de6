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

const BYTES: [u8; 5] = [b'9', b'-', b'o', b'"', 0xFF];

#[test]
fn bytes_changed() {
    let scratch = Scratch::new(&document());
    let mut text = document();
    text["annotations"][1]["segmentation"]["counts"] = json!("327");
    let text = text.to_string();
    for at in 0..text.len() {
        for byte in [BYTES[at % BYTES.len()], BYTES[(at + 2) % BYTES.len()]] {
            let mut changed = text.clone().into_bytes();
            changed[at] = byte;
            scratch.file(JSON, &changed);
            if let Err(error) = try_all(&scratch) {
                assert_eq!(error.exit_code(), 3, "byte {at} is {byte}: {error}");
            }
        }
    }
}

/// A polygon of so many points that goes to and fro over all of its image's width.
fn zigzag(points: usize, width: u64, height: u64) -> Value {
    let numbers = (0..points).flat_map(|i| [if i % 2 == 0 { 0 } else { width }, i as u64 * height / points as u64]);
    json!([numbers.collect::<Vec<u64>>()])
}

fn with_zigzag(points: usize, width: u64, height: u64) -> Value {
    let mut document = document();
    (document["images"][1]["width"], document["images"][1]["height"]) = (json!(width), json!(height));
    document["annotations"][1]["segmentation"] = zigzag(points, width, height);
    document
}

#[test]
fn polygons_to_and_fro_are_refused_before_they_take_memory() {
    let scratch = Scratch::new(&document());
    // 64 million pixels need a file of that size, too; this one is below what is compared.
    for (points, width, height, crossings, most) in
        [(400, 32768, 64, 13_107_200_u64, 2_097_152), (20_000, 65536, 64, 1_310_720_000, 4_194_304)]
    {
        scratch.set(&with_zigzag(points, width, height));
        let error = scratch.open().unwrap_err().to_string();
        let expected = format!(
            "annotation 11: polygons that cross columns of pixels {crossings} times, expected at most {most} for \
             {height} x {width}"
        );
        assert!(error.ends_with(&expected), "{error}");
    }
    // As many points are drawn where the image is small or the shape is no wider than an outline.
    for (points, width, height) in [(2000, 200, 150), (64, 32768, 64)] {
        scratch.set(&with_zigzag(points, width, height));
        assert_eq!(try_all(&scratch).unwrap(), 3);
    }
}

#[test]
fn sizes_far_from_the_images_own_are_refused() {
    let scratch = Scratch::new(&with_zigzag(3, 4000, 3000));
    image::RgbImage::new(4, 3).save_with_format(scratch.path("train2014/b.jpg"), image::ImageFormat::Jpeg).unwrap();
    let error = scratch.open().unwrap_err().to_string();
    let file = scratch.path("train2014/b.jpg");
    let expected = format!("image 2: is 4000 x 3000 (width x height), its file {} 4 x 3", file.display());
    assert!(error.ends_with(&expected), "{error}");
    image::GrayImage::new(4000, 3000)
        .save_with_format(scratch.path("train2014/b.jpg"), image::ImageFormat::Png)
        .unwrap();
    assert_eq!(try_all(&scratch).unwrap(), 3);
}

#[test]
fn deep_nesting_ends() {
    let scratch = Scratch::new(&document());
    for before in
        ["{\"info\": ", "{\"annotations\": [{\"segmentation\": ", "{\"annotations\": [{\"segmentation\": {\"counts\": "]
    {
        scratch.file(JSON, format!("{before}{}", "[".repeat(100_000)).as_bytes());
        assert_eq!(try_all(&scratch).unwrap_err().exit_code(), 3);
    }
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
