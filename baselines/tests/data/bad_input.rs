//! Every bad file gives one error that names it, what was expected and what came.

use std::fs;
use std::path::Path;

use candle_wsss_baselines::Result;
use candle_wsss_baselines::data::{Dataset, Mask, write_mask};
use image::codecs::jpeg::JpegEncoder;
use image::{GrayImage, ImageBuffer, Luma, RgbImage};

use super::scratch::{Scratch, assert_data_error};

fn open(scratch: &Scratch) -> Result<Dataset> {
    Dataset::open(scratch.root(), "train")
}

#[test]
fn no_folder() {
    let error = Dataset::open(Path::new("/nowhere/at/all"), "train").unwrap_err().to_string();
    assert_eq!(error, "/nowhere/at/all: expected the folder of a data set, there is no such folder");
}

#[test]
fn no_such_split() {
    let scratch = Scratch::new(1);
    let file = "ImageSets/Segmentation/test.txt";
    let message = "expected the list of split `test`, there is no such file; there are: train";
    assert_data_error(&scratch, Dataset::open(scratch.root(), "test"), file, message);
    let error = Dataset::open(scratch.root(), "../train").unwrap_err();
    assert_eq!(
        error.to_string(),
        "split: expected the name of a list, such as `train`, or the path of one ending in .txt, got `../train`"
    );
    assert_eq!(error.exit_code(), 2);
}

#[test]
fn bad_lists() {
    let scratch = Scratch::new(2);
    let list = "ImageSets/Segmentation/train.txt";
    for (text, message) in [
        ("\n \n", "expected the names of images, one a line; the list is empty"),
        ("a0\na1\n\na0\n", "line 4: `a0` is there already, on line 1"),
        ("a0\n../a1\n", "line 2: expected the name of an image without its folder, got `../a1`"),
        ("..\n", "line 1: expected the name of an image without its folder, got `..`"),
        ("a\\b\n", "line 1: expected the name of an image without its folder, got `a\\b`"),
        (
            "a1\n/JPEGImages/../a0.jpg /SegmentationClass/a0.png\n",
            "line 2: expected the name of an image without its folder, got \
             `/JPEGImages/../a0.jpg /SegmentationClass/a0.png`",
        ),
        ("a1\n/JPEGImages/\n", "line 2: expected the name of an image without its folder, got `/JPEGImages/`"),
        ("a1\n/JPEGImages/a1.jpg x.png\n", "line 2: `a1` is there already, on line 1"),
    ] {
        scratch.text(list, text);
        assert_data_error(&scratch, open(&scratch), list, message);
    }
}

#[test]
fn bad_class_lists() {
    let scratch = Scratch::new(1);
    let many: String = (0..255).map(|i| format!("c{i}\n")).collect();
    for (text, message) in [
        ("background\n", "expected 1 to 254 class names, one a line; got 0"),
        (many.as_str(), "expected 1 to 254 class names, one a line; got 255"),
        ("ant\nbee\nant\n", "line 3: `ant` is there already, on line 1"),
    ] {
        scratch.text("classes.txt", text);
        assert_data_error(&scratch, open(&scratch), "classes.txt", message);
    }
}

#[test]
fn missing_image() {
    let scratch = Scratch::new(3);
    scratch.remove("JPEGImages/a1.png");
    let message = "expected an image (or .jpeg, .png), there is no such file";
    assert_data_error(&scratch, open(&scratch), "JPEGImages/a1.jpg", message);
}

#[test]
fn bad_annotations() {
    let scratch = Scratch::new(1);
    let file = "Annotations/a0.xml";
    scratch.remove(file);
    let message = "expected an annotation with the image's labels, there is no such file";
    assert_data_error(&scratch, open(&scratch), file, message);
    for (xml, message) in [
        (
            "<annotation>\n<object><name>zebra</name></object></annotation>",
            "line 2: unknown class `zebra`; known: ant, bee, cat",
        ),
        ("<annotation>\n<object><pose/></object></annotation>", "line 2: the object has no `name`"),
        ("<html/>", "expected the XML element `annotation`, got `html`"),
        ("<annotation><object></annotation>", "malformed XML: expected 'object' tag, not 'annotation' at 1:21"),
        ("", "malformed XML: the document does not have a root node"),
    ] {
        scratch.text(file, xml);
        assert_data_error(&scratch, open(&scratch), file, message);
    }
    fs::write(scratch.path(file), b"<annotation>\xff</annotation>").unwrap();
    let error = open(&scratch).unwrap_err().to_string();
    assert!(error.contains("a0.xml: malformed XML: invalid utf-8"), "{error}");
}

#[test]
fn cut_jpeg() {
    let scratch = Scratch::new(1);
    scratch.remove("JPEGImages/a0.png");
    let mut jpeg = Vec::new();
    let image = RgbImage::from_fn(24, 20, |x, y| image::Rgb([(x * 10) as u8, (y * 9) as u8, 77]));
    JpegEncoder::new_with_quality(&mut jpeg, 90).encode_image(&image).unwrap();
    let file = "JPEGImages/a0.jpg";
    // Bytes after the image are no defect; cameras and editors put some there.
    scratch.write(file, |path| fs::write(path, [&jpeg[..], b"trailer"].concat()).unwrap());
    let set = open(&scratch).unwrap();
    assert_eq!(set.image(0).unwrap().dimensions(), (24, 20));
    for len in [jpeg.len() - 1, jpeg.len() - 2, jpeg.len() - 40] {
        scratch.write(file, |path| fs::write(path, &jpeg[..len]).unwrap());
        let message = format!("the JPEG is cut short: no end-of-image marker in its {len} bytes");
        assert_data_error(&scratch, set.image(0), file, &message);
    }
    // The end of an embedded preview is not the end of the image.
    let preview = [0xFF, 0xE1, 0x00, 0x06, 0xFF, 0xD8, 0xFF, 0xD9];
    let with_preview = [&jpeg[..2], &preview, &jpeg[2..]].concat();
    scratch.write(file, |path| fs::write(path, &with_preview).unwrap());
    assert!(set.image(0).is_ok());
    scratch.write(file, |path| fs::write(path, &with_preview[..with_preview.len() - 40]).unwrap());
    assert!(set.image(0).unwrap_err().to_string().contains("cut short"));
}

#[test]
fn images_that_are_none() {
    let scratch = Scratch::new(1);
    let set = open(&scratch).unwrap();
    let file = "JPEGImages/a0.png";
    let png = fs::read(scratch.path(file)).unwrap();
    scratch.text(file, "hello");
    let message = "expected a JPEG or PNG image, its 5 bytes are neither";
    assert_data_error(&scratch, set.image(0), file, message);
    scratch.text(file, "GIF89a");
    assert_data_error(&scratch, set.image(0), file, "expected a JPEG or PNG image, is Gif");
    scratch.write(file, |path| fs::write(path, &png[..png.len() / 2]).unwrap());
    let error = set.image(0).unwrap_err();
    assert!(error.to_string().contains("a0.png: cannot be decoded: "), "{error}");
    assert_eq!(error.exit_code(), 3);
}

#[test]
fn masks_of_another_size_or_value() {
    let scratch = Scratch::new(1);
    let set = open(&scratch).unwrap();
    let (file, image) = ("SegmentationClass/a0.png", scratch.path("JPEGImages/a0.png"));
    let mask = |width: usize, value: u8| {
        let mut mask = Mask { width, height: 20, data: vec![255; width * 20] };
        mask.data[width + 3] = value;
        scratch.write(file, |path| write_mask(path, &mask).unwrap());
    };
    mask(23, 0);
    let message = format!("expected the size of {}, 24 x 20 (width x height), is 23 x 20", image.display());
    assert_data_error(&scratch, set.mask(0), file, &message);
    mask(24, 3);
    assert!(set.mask(0).is_ok());
    mask(24, 4);
    let message = "pixel (3, 1) has value 4; expected 0 (background), 1 to 3 (classes) or 255 (void)";
    assert_data_error(&scratch, set.mask(0), file, message);
}

#[test]
fn masks_of_another_kind() {
    let scratch = Scratch::new(1);
    let set = open(&scratch).unwrap();
    let file = "SegmentationClass/a0.png";
    let mut colours = RgbImage::new(24, 20);
    colours.put_pixel(3, 2, image::Rgb([128, 1, 0]));
    scratch.write(file, |path| colours.save(path).unwrap());
    let message = "pixel (3, 2) has the colour (128, 1, 0), which stands for no value in VOC's palette; expected a \
                   palette or gray PNG of values, or one in VOC's colours";
    assert_data_error(&scratch, set.mask(0), file, message);
    scratch.write(file, |path| ImageBuffer::<image::Rgb<u16>, _>::new(24, 20).save(path).unwrap());
    let message = "expected an 8 bit palette or gray PNG, or one in VOC's colours; is 16 bit RGB";
    assert_data_error(&scratch, set.mask(0), file, message);
    scratch.write(file, |path| image::RgbaImage::new(24, 20).save(path).unwrap());
    let message = "pixel (0, 0) is transparent; expected a palette or gray PNG of values, or one in VOC's colours";
    assert_data_error(&scratch, set.mask(0), file, message);
    scratch.write(file, |path| ImageBuffer::<Luma<u16>, _>::new(24, 20).save(path).unwrap());
    assert_data_error(
        &scratch,
        set.mask(0),
        file,
        "expected an 8 bit palette or gray PNG, or one in VOC's colours; is 16 bit gray",
    );
    let jpeg = scratch.path("mask.jpg");
    GrayImage::new(24, 20).save(&jpeg).unwrap();
    fs::rename(jpeg, scratch.path(file)).unwrap();
    let error = set.mask(0).unwrap_err().to_string();
    assert!(error.contains("a0.png: expected a palette PNG: "), "{error}");
}

#[test]
fn cut_masks() {
    let scratch = Scratch::new(1);
    let set = open(&scratch).unwrap();
    let file = "SegmentationClass/a0.png";
    let png = fs::read(scratch.path(file)).unwrap();
    for len in [png.len() - 1, png.len() - 20, png.len() / 2, 30] {
        scratch.write(file, |path| fs::write(path, &png[..len]).unwrap());
        let error = set.mask(0).unwrap_err().to_string();
        assert!(error.contains("a0.png: expected a palette PNG: "), "{error}");
    }
}

#[test]
fn saliency_of_another_size() {
    let scratch = Scratch::new(1);
    let set = open(&scratch).unwrap();
    let (file, image) = ("saliency/a0.png", scratch.path("JPEGImages/a0.png"));
    scratch.write(file, |path| GrayImage::new(24, 21).save(path).unwrap());
    let message = format!("expected the size of {}, 24 x 20 (width x height), is 24 x 21", image.display());
    assert_data_error(&scratch, set.saliency(0), file, &message);
}
