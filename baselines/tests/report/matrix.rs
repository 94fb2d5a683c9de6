//! Methods times baselines: which number stands where, as text, JSON and page.

use candle_wsss_baselines::report::{BaselineProtocol, LeftOut, Method, Protocol, Repeat, Report, ReportClass};

/// mIoU at the scores 0.1 and 0.2 of two repeats.
type Curves = [[f64; 2]; 2];

fn method(baseline: &str, method: &str, reference: usize, curves: Curves) -> Method {
    let repeat = |(seed, curve): (usize, &[f64; 2])| Repeat {
        seed: seed as u64,
        curve: curve.map(Some).to_vec(),
        class_iou_at_best: vec![Some(curve[0]), None],
        class_iou_at_fixed: vec![None, None],
        ..Repeat::default()
    };
    Method {
        name: if method == "none" { baseline.to_string() } else { format!("{baseline}+{method}") },
        baseline: baseline.to_string(),
        method: method.to_string(),
        reference,
        repeats: curves.iter().enumerate().map(repeat).collect(),
        image_bootstrap: None,
    }
}

fn report() -> Report {
    let class = |name: &str| ReportClass { name: name.to_string(), color: [0, 0, 0] };
    let fixed = |name: &str, fixed_score| BaselineProtocol {
        name: name.to_string(),
        fixed_score,
        scales: vec![1.0],
        flip: false,
    };
    let left_out = |baseline: &str, method: &str| LeftOut {
        baseline: baseline.to_string(),
        method: method.to_string(),
        reason: "has no final maps".to_string(),
    };
    Report {
        title: "Seeds of seam, eps with none, ppc, rca".to_string(),
        thresholds: vec![0.1, 0.2],
        protocol: Protocol {
            fixed_score: 0.2,
            scales: vec![1.0],
            baselines: vec![fixed("seam", 0.2), fixed("eps", 0.1)],
            ..Protocol::default()
        },
        classes: vec![class("background"), class("cat")],
        methods: vec![
            method("seam", "none", 0, [[0.40, 0.30], [0.42, 0.32]]),
            method("seam", "ppc", 0, [[0.45, 0.30], [0.45, 0.28]]),
            method("eps", "none", 2, [[0.50, 0.30], [0.54, 0.32]]),
            method("eps", "rca", 2, [[0.53, 0.40], [0.55, 0.28]]),
            method("eps", "ppc", 2, [[0.52, 0.40], [0.53, 0.28]]),
        ],
        left_out: vec![left_out("seam", "rca")],
        ..Report::default()
    }
}

#[test]
fn rows_are_methods_and_columns_baselines() {
    let text = report().to_text(false).unwrap();
    let want = "\
mIoU at best
method          seam    difference           eps    difference
------  ------------  ------------  ------------  ------------
none    41.00 ± 1.41                52.00 ± 2.83
rca                -                54.00 ± 1.41  +2.00 ± 1.00
ppc     45.00 ± 0.00  +4.00 ± 1.00  52.50 ± 0.71  +0.50 ± 1.50

mIoU at fixed: seam 0.2, eps 0.1
method          seam    difference           eps    difference
------  ------------  ------------  ------------  ------------
none    31.00 ± 1.41                52.00 ± 2.83
rca                -                54.00 ± 1.41  +2.00 ± 1.00
ppc     29.00 ± 1.41  -2.00 ± 2.00  52.50 ± 0.71  +0.50 ± 1.50

Percent, mean ± standard deviation over repeats.
Difference to none on the same baseline, mean ± standard error over seeds.

baseline  method  left out because
--------  ------  -----------------
seam      rca     has no final maps

method    repeats  mIoU at best  best score  mIoU at fixed  pixel accuracy
";
    let at = text.find("mIoU at best").unwrap();
    assert!(text[at..].starts_with(want), "{text}");
    let rows: Vec<&str> = text[at + want.len()..].lines().skip(1).take(5).collect();
    let names: Vec<&str> = rows.iter().map(|row| row.split_whitespace().next().unwrap()).collect();
    assert_eq!(names, ["seam", "seam+ppc", "eps", "eps+rca", "eps+ppc"]);
}

#[test]
fn wide_matrices_are_split() {
    let mut report = report();
    for name in ["eps-wide", "eps-wider"] {
        let reference = report.methods.len();
        report.methods.push(method(name, "none", reference, [[0.5, 0.3], [0.5, 0.3]]));
        report.methods.push(method(name, "ppc", reference, [[0.6, 0.3], [0.6, 0.3]]));
    }
    let text = report.to_text(false).unwrap();
    let matrices = &text[..text.find("Percent, mean").unwrap()];
    let widest = matrices.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(widest <= 100, "{matrices}");
    assert!(matrices.contains("mIoU at best, difference\nmethod"), "{matrices}");
    assert_eq!(matrices.lines().filter(|line| line.starts_with("method ")).count(), 4);
    assert_eq!(report.matrices(None).unwrap().len(), 2);
}

#[test]
fn classes_stand_baseline_by_baseline() {
    let text = report().to_text(true).unwrap();
    assert!(text.contains("\nclass        seam  seam+ppc  difference\n"), "{text}");
    assert!(text.contains("\nclass         eps  eps+rca  difference  eps+ppc  difference\n"), "{text}");
    let row = text.lines().filter(|line| line.starts_with("background")).nth(1).unwrap();
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["background", "52.00", "54.00", "+2.00", "52.50", "+0.50"]);
}

#[test]
fn one_baseline_has_no_matrix() {
    let mut report = report();
    report.protocol.baselines.clear();
    report.methods.truncate(2);
    assert!(report.matrices(None).unwrap().is_empty());
    let text = report.to_text(false).unwrap();
    assert!(text.contains("mIoU at 0.2") && !text.contains("same baseline"), "{text}");
    // What is left out is told all the same.
    assert!(text.contains("\nseam      rca     has no final maps\n"), "{text}");
    let page = report.to_html().unwrap();
    assert!(!page.contains("<h2>Matrix") && page.contains("has no final maps") && page.contains("difference to seam"));
}

#[test]
fn the_page_shows_the_same_matrix() {
    let report = report();
    let page = report.to_html().unwrap();
    assert!(page.find("<h2>Matrix</h2>").unwrap() < page.find("<h2>Methods</h2>").unwrap());
    for (title, table) in report.matrices(None).unwrap() {
        assert!(page.contains(&format!("<h3>{title}</h3>")), "{title}");
        for cell in table.rows().iter().flatten() {
            assert!(page.contains(&format!("{cell}</td>")), "{cell}");
        }
    }
    // A chart of scores for each baseline, and a method has one colour in both.
    assert_eq!(page.matches("<figure class=\"chart\">").count(), 2);
    let colors: Vec<&str> = page
        .match_indices("</span>seam+ppc")
        .chain(page.match_indices("</span>eps+ppc"))
        .map(|(at, _)| &page[at - 9..at - 2])
        .collect();
    assert!(colors.len() >= 4 && colors.iter().all(|color| *color == colors[0]), "{colors:?}");
    assert!(page.contains("seam 0.2, eps 0.1"));
}

#[test]
fn json_reads_back() {
    let report = report();
    let json: serde_json::Value = serde_json::from_str(&report.to_json().unwrap()).unwrap();
    assert_eq!(json["summary"][3]["baseline"], "eps");
    assert_eq!(json["summary"][3]["method"], "rca");
    assert_eq!(json["summary"][3]["reference"], 2);
    assert_eq!(json["report"]["protocol"]["baselines"][1]["fixed_score"], 0.1);
    let back: Report = serde_json::from_value(json["report"].clone()).unwrap();
    assert_eq!(back, report);
}

#[test]
fn reports_of_before_are_read() {
    let mut json = serde_json::to_value(Report { left_out: vec![], ..report() }).unwrap();
    for method in json["methods"].as_array_mut().unwrap() {
        let method = method.as_object_mut().unwrap();
        for field in ["baseline", "method", "reference"] {
            method.remove(field);
        }
    }
    json["protocol"].as_object_mut().unwrap().remove("baselines");
    let back: Report = serde_json::from_value(json).unwrap();
    let summaries = back.summaries().unwrap();
    assert!(summaries[0].best_difference.is_none() && summaries[1..].iter().all(|of| of.best_difference.is_some()));
    assert!(back.matrices(None).unwrap().is_empty());
}

#[test]
fn inference_that_differs_is_told_by_baseline() {
    let mut report = report();
    report.protocol.baselines[1].scales = vec![0.5, 1.0];
    report.protocol.baselines[1].flip = true;
    let line = report.protocol.line();
    assert!(line.ends_with("scales seam 1, eps 0.5/1 and mirrored"), "{line}");
    let other = Protocol { baselines: Vec::new(), ..report.protocol.clone() };
    assert!(report.protocol.expect_same(&other).is_err());
}

#[test]
fn references_are_checked() {
    let mut report = report();
    report.methods[1].reference = 5;
    let wrong = report.summaries().unwrap_err().to_string();
    assert!(wrong.contains("reference of method seam+ppc") && wrong.contains("below 5"), "{wrong}");
}

#[test]
fn references_that_differ_are_not_named() {
    let mut report = report();
    report.methods.remove(0);
    report.methods[0].reference = 0;
    report.methods[1..].iter_mut().for_each(|method| method.reference = 1);
    let text = report.to_text(false).unwrap();
    assert!(text.contains("Difference to the first method on the same baseline"), "{text}");
}
