//! The page of seeds and the page of a training.

use candle_wsss_baselines::data::color_map;
use candle_wsss_baselines::eval::{AbsentClass, Confusion};
use candle_wsss_baselines::report::{
    GalleryRow, Layer, LossCurve, OmittedCount, Pen, PictureFormat, ReportClass, SeedsPage, SeedsSource, TrainingPage,
    spaced,
};

use super::example;

fn classes(names: &[&str]) -> Vec<ReportClass> {
    let named = names.iter().zip(color_map());
    named.map(|(name, color)| ReportClass { name: (*name).to_string(), color }).collect()
}

/// 8 of 10 background pixels right, 3 of 4 of the cat's, no dog anywhere.
fn confusion() -> Confusion {
    let mut confusion = Confusion::new(3);
    let truth = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1];
    let labels = [0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 1, 1, 1, 2];
    confusion.add(&truth, &labels).unwrap();
    confusion
}

fn source(name: &str, is_seeds: bool) -> SeedsSource {
    SeedsSource {
        name: name.to_string(),
        curve: if is_seeds { vec![(0.1, 0.2), (0.2, 0.4), (0.3, 0.3)] } else { Vec::new() },
        best: is_seeds.then_some((0.2, 0.4)),
        at_fixed: is_seeds.then_some(0.3),
        shown_score: is_seeds.then_some(0.2),
        confusion: Some(confusion()),
        shares: vec![0.5, 0.3, 0.2],
    }
}

fn page(sources: Vec<SeedsSource>) -> SeedsPage {
    SeedsPage {
        title: "a page".to_string(),
        protocol: "seeds on drawings".to_string(),
        classes: classes(&["background", "cat & dog", "dog"]),
        labelled: vec![9, 5, 4],
        absent_class: AbsentClass::Skipped,
        fixed_score: 0.3,
        sources,
        ..SeedsPage::default()
    }
}

#[test]
fn a_page_of_one_source() {
    let page = page(vec![source("seam", true)]);
    let html = page.to_html().unwrap();
    assert_eq!(html, page.to_html().unwrap());
    for text in ["<svg", "<title>cat &amp; dog as dog: 25.00 %, 1 pixels</title>", "precision", "Dot: best score"] {
        assert!(html.contains(text), "{text}");
    }
    // The cat's precision is 3 of 4, its IoU 3 of 5.
    assert!(html.contains("75.00") && html.contains("60.00"));
    assert!(html.contains("Between foreground classes") && !html.contains("<script"));
    let table = page.sources_table().to_text();
    assert!(table.contains("seam          40.00         0.2        30.00           78.57"), "{table}");
}

#[test]
fn masks_have_one_number_and_no_curve() {
    let page = page(vec![source("masks", false)]);
    let html = page.to_html().unwrap();
    assert!(!html.contains("Background score"), "no curve without scores");
    // (8/10 + 3/5 + 0) / 3.
    assert!(page.sources_table().to_text().contains("46.67"), "{}", page.sources_table().to_text());
    assert!(page.sources_table().to_text().contains("masks"));
}

#[test]
fn several_are_compared_with_the_first() {
    let html = page(vec![source("one", true), source("other", true), source("masks", false)]).to_html().unwrap();
    assert!(html.contains("difference to one") && !html.contains("precision"));
    assert_eq!(html.matches("<h3>").count(), 3, "a matrix each");
}

#[test]
fn without_ground_truth_nothing_is_scored() {
    let bare = SeedsSource { curve: vec![], best: None, at_fixed: None, confusion: None, ..source("bare", true) };
    let page = page(vec![bare]);
    let html = page.to_html().unwrap();
    assert!(html.contains("There are no masks") && !html.contains("mIoU") && !html.contains("What is taken"));
    assert_eq!(page.sources_table().rows()[0], ["bare", "0.2", "50.00"]);
}

#[test]
fn many_classes_and_odd_sizes_are_drawn() {
    for len in [1, 2, 8, 9, 22, 23, 46, 81, 255] {
        let names: Vec<String> = (0..len).map(|class| format!("class number {class}")).collect();
        let named: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut all = Confusion::new(len);
        let labels: Vec<u8> = (0..len).map(|class| class as u8).collect();
        all.add(&labels, &labels).unwrap();
        // Of fewer classes than the page: as if the rest had no pixel.
        for confusion in [all, Confusion::new(len), Confusion::new(1)] {
            let mut page = page(vec![SeedsSource { confusion: Some(confusion), ..source("many", true) }]);
            page.classes = classes(&named);
            let html = page.to_html().unwrap();
            assert!(!html.contains("NaN") && html.len() < 400_000, "{len}: {} bytes", html.len());
        }
    }
}

fn training() -> TrainingPage {
    let pen = Pen { palette: &[], max_side: 48, format: PictureFormat::Jpeg };
    let crop = GalleryRow::draw("crop & co", &[1], &example::scene(1).image, &[Layer::Image], pen).unwrap();
    let curve = |term: &str, weight| LossCurve { term: term.to_string(), weight, points: vec![(0, 2.0), (5, 1.0)] };
    TrainingPage {
        title: "Training of seam".to_string(),
        losses: vec![curve("total", 1.0), curve("hsc/roi", 0.1)],
        learning_rate: vec![(0, 0.1), (5, 0.05)],
        omitted: vec![OmittedCount { term: "hsc/class".to_string(), reason: "nothing there".to_string(), steps: 4 }],
        step_times: vec![("forward".to_string(), 30.0), ("backward".to_string(), 90.0)],
        classes: classes(&["cat", "dog"]).into_iter().zip([3, 1]).collect(),
        images: 4,
        crops: vec![crop],
        config: "seed = 1\n".to_string(),
        ..TrainingPage::default()
    }
}

#[test]
fn a_training_is_shown() {
    let page = training();
    let html = page.to_html().unwrap();
    assert_eq!(html, page.to_html().unwrap());
    let sections = [
        "Losses",
        "Terms left out",
        "Time of a step",
        "Image-level labels",
        "What the network is given",
        "Configuration",
    ];
    let places: Vec<usize> = sections
        .iter()
        .map(|title| html.find(&format!("<h2>{title}</h2>")).unwrap_or_else(|| panic!("{title}")))
        .collect();
    assert!(places.is_sorted());
    for text in ["hsc/roi × 0.1", "learning rate", "75.0 %", "120.0 ms", "crop &amp; co", "data:image/jpeg;base64,"] {
        assert!(html.contains(text), "{text}");
    }
    assert!(!html.contains("mIoU"), "training has no such number");
}

#[test]
fn a_training_that_has_nothing_to_show_is_a_page_too() {
    let html = TrainingPage { title: "empty".to_string(), ..TrainingPage::default() }.to_html().unwrap();
    assert!(!html.contains("<h2>") && html.contains("<h1>empty</h1>"));
    let odd = LossCurve { points: vec![(0, f64::NAN), (1, f64::INFINITY)], ..LossCurve::default() };
    let html = TrainingPage { losses: vec![odd], ..training() }.to_html().unwrap();
    assert!(!html.contains("NaN") && !html.contains(">inf"));
}

#[test]
fn images_are_spaced_evenly() {
    assert_eq!(spaced(10, 5), [0, 2, 4, 6, 8]);
    assert_eq!(spaced(3, 5), [0, 1, 2]);
    assert_eq!(spaced(1, 5), [0]);
    assert!(spaced(0, 5).is_empty());
}
