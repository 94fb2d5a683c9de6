//! Numbers, tables, overlays and pictures on their own.

use candle_wsss_baselines::report::{
    Align, LossCurve, Method, Picture, PictureFormat, Protocol, Repeat, Report, ReportClass, Table, draw_heat,
    draw_labels, extremes,
};
use image::{Rgb, RgbImage};

use super::example;

fn small(curves: &[&[(u64, [f64; 2])]]) -> Report {
    let repeat = |(seed, curve): &(u64, [f64; 2])| Repeat {
        seed: *seed,
        curve: curve.map(Some).to_vec(),
        class_iou_at_best: vec![Some(0.5), None],
        class_iou_at_fixed: vec![None, None],
        ..Repeat::default()
    };
    let method = |(index, curves): (usize, &&[(u64, [f64; 2])])| Method {
        name: format!("method {index}"),
        repeats: curves.iter().map(repeat).collect(),
        ..Method::default()
    };
    let class = |name: &str| ReportClass { name: name.to_string(), color: [0, 0, 0] };
    Report {
        thresholds: vec![0.1, 0.2],
        protocol: Protocol { fixed_score: 0.2, ..Protocol::default() },
        classes: vec![class("background"), class("cat")],
        methods: curves.iter().enumerate().map(method).collect(),
        ..Report::default()
    }
}

#[test]
fn numbers_are_paired_by_seed() {
    let report = small(&[
        &[(1, [0.40, 0.30]), (2, [0.50, 0.40]), (3, [0.10, 0.10])],
        &[(2, [0.51, 0.45]), (1, [0.43, 0.41]), (9, [0.90, 0.90])],
    ]);
    let summary = &report.summaries().unwrap()[1];
    let best = summary.best_difference.unwrap();
    assert_eq!(best.count, 2);
    // 0.03 and 0.01, whatever the order: mean 0.02, error 0.01.
    assert!((best.mean - 0.02).abs() < 1e-12 && (best.standard_error.unwrap() - 0.01).abs() < 1e-12, "{best:?}");
    let fixed = summary.fixed_difference.unwrap();
    assert!((fixed.mean - 0.08).abs() < 1e-12, "{fixed:?}");
    let cautions = report.cautions().unwrap().join("\n");
    assert!(cautions.contains("method 1: 2 repeats share a seed"), "{cautions}");
    assert!(cautions.contains("lies at the end of the curve"), "{cautions}");
    let strangers = small(&[&[(1, [0.4, 0.3])], &[(2, [0.4, 0.3])]]);
    assert_eq!(strangers.summaries().unwrap()[1].best_difference, None);
}

#[test]
fn the_text_is_aligned() {
    let report = small(&[&[(1, [0.4, 0.3]), (2, [0.42, 0.3])], &[(1, [0.5, 0.3]), (2, [0.5, 0.2])]]);
    let text = report.methods_table().unwrap().to_text();
    let want = "\
method    repeats  mIoU at best  best score    difference   mIoU at 0.2    difference  pixel accuracy
--------  -------  ------------  ----------  ------------  ------------  ------------  --------------
method 0        2  41.00 ± 1.41         0.1                30.00 ± 0.00
method 1        2  50.00 ± 0.00         0.1  +9.00 ± 1.00  25.00 ± 7.07  -5.00 ± 5.00
";
    assert_eq!(text, want);
    let classes = report.classes_table().unwrap().to_text();
    let want = "\
class       method 0  method 1  difference
----------  --------  --------  ----------
background     50.00     50.00        0.00
cat
";
    assert_eq!(classes, want);
    assert!(report.to_text(true).unwrap().contains(want));
}

#[test]
fn markdown_survives_bars_and_line_feeds() {
    let mut table = Table::new([("a|b", Align::Left), ("n", Align::Right)]);
    table.push(["x\ny", "1", "surplus"]);
    table.push(["c|d"]);
    assert_eq!(table.to_markdown(), "| a\\|b | n |\n| :-- | --: |\n| x y | 1 |\n| c\\|d |  |\n");
    assert_eq!(table.rows()[1], ["c|d", ""]);
    let markdown = example::report().to_markdown().unwrap();
    let rows = markdown.lines().filter(|line| line.starts_with('|'));
    assert_eq!(rows.count(), 2 + 3 + 2 + 7);
}

#[test]
fn unlike_protocols_are_not_compared() {
    let protocol = example::protocol();
    protocol.expect_same(&protocol.clone()).unwrap();
    let other = Protocol { split: "train_aug".to_string(), ..protocol.clone() };
    let wrong = protocol.expect_same(&other).unwrap_err().to_string();
    assert_eq!(wrong, "protocol, split: expected train, got train_aug");
    let other = Protocol { crf: "10 rounds".to_string(), ..protocol.clone() };
    assert!(protocol.expect_same(&other).unwrap_err().to_string().contains("CRF"));
    assert_eq!(
        protocol.line(),
        "seeds on drawn scenes train, 24 images, ground truth SegmentationClass, void (255) ignored, CRF: none, \
         scales 0.5/1/1.5/2 and mirrored"
    );
}

#[test]
fn labels_are_drawn_over_the_image() {
    let image = RgbImage::from_pixel(5, 3, Rgb([100, 100, 100]));
    let palette = [[0, 0, 0], [200, 0, 100]];
    let labels = [1, 1, 1, 0, 255, 1, 1, 1, 0, 0, 1, 1, 1, 0, 0];
    let drawn = draw_labels(&image, &labels, &palette).unwrap();
    // Inside a region the image shines through; the image's edge is no border.
    assert_eq!(drawn.get_pixel(0, 0).0, [155, 45, 100]);
    assert_eq!(drawn.get_pixel(2, 1).0, [214, 64, 139], "border, a quarter white");
    assert_eq!(drawn.get_pixel(3, 1).0, [100, 100, 100], "background");
    let void = drawn.get_pixel(4, 0).0;
    assert!(void[0] == void[1] && void[1] == void[2], "void is gray: {void:?}");
    let open = draw_labels(&image, &[255; 15], &palette).unwrap();
    assert_ne!(open.get_pixel(0, 0), open.get_pixel(4, 0), "and striped");
    let wrong = draw_labels(&image, &labels[1..], &palette).unwrap_err().to_string();
    assert_eq!(wrong, "labels: expected 15 for an image of 5 x 3, got 14");
    assert!(draw_labels(&image, &[2; 15], &palette).unwrap_err().to_string().contains("no colour for label 2"));
}

#[test]
fn heat_rises_with_the_score() {
    let image = RgbImage::from_pixel(5, 1, Rgb([100, 100, 100]));
    let drawn = draw_heat(&image, &[-3.0, 0.0, 1.0, 7.0, f32::NAN]).unwrap();
    let pixel = |x: u32| drawn.get_pixel(x, 0).0;
    assert_eq!((pixel(0), pixel(2), pixel(4)), (pixel(1), pixel(3), pixel(1)));
    assert!(pixel(2)[0] > 180 && pixel(2)[2] < 80 && pixel(1)[2] > pixel(1)[0], "{:?} {:?}", pixel(2), pixel(1));
    assert!(draw_heat(&image, &[0.0]).is_err());
}

#[test]
fn pictures_are_made_smaller_and_decode() {
    let image = example::scene(1).image;
    for format in [PictureFormat::Png, PictureFormat::Jpeg] {
        let picture = Picture::encode(&image, 48, format).unwrap();
        assert_eq!((picture.width(), picture.height()), (36, 48));
        let back = image::load_from_memory(picture.bytes()).unwrap().to_rgb8();
        assert_eq!(back.dimensions(), (36, 48));
        assert_eq!(picture, Picture::encode(&image, 48, format).unwrap());
    }
    let whole = Picture::encode(&image, 1000, PictureFormat::Png).unwrap();
    assert_eq!(image::load_from_memory(whole.bytes()).unwrap().to_rgb8(), image);
    assert!(whole.data_url().starts_with("data:image/png;base64,iVBOR"));
    assert!(Picture::encode(&RgbImage::new(0, 0), 10, PictureFormat::Png).is_err());
}

#[test]
fn extremes_of_a_list() {
    let values = [Some(0.5), None, Some(-1.0), Some(0.5), Some(f64::NAN), Some(2.0)];
    assert_eq!(extremes(&values, 2), (vec![2, 0], vec![5, 3]));
    assert_eq!(extremes(&values, 3), (vec![2, 0, 3], vec![5]));
    assert_eq!(extremes(&[], 3), (vec![], vec![]));
}

#[test]
fn odd_losses_do_not_stop_a_report() {
    let mut report = example::report();
    report.galleries.clear();
    let points = |values: &[f64]| values.iter().copied().enumerate().collect::<Vec<_>>();
    for (index, values) in
        [&[][..], &[1.0], &[2.0, 2.0], &[f64::NAN], &[1.0, f64::INFINITY, -3.0], &[0.0]].iter().enumerate()
    {
        let curve = LossCurve { term: format!("odd {index}"), weight: 1.0, points: points(values) };
        report.methods[0].repeats[0].losses.push(curve);
    }
    let page = report.to_html().unwrap();
    assert!(page.contains("odd 4") && !page.contains("NaN") && !page.contains(">inf"));
}
