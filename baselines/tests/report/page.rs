//! The page as a whole, and the same numbers in the other forms.

use candle_wsss_baselines::report::Report;

use super::example::{CLASSES, report};

#[test]
fn the_same_data_gives_the_same_bytes() {
    let page = report().to_html().unwrap();
    assert_eq!(page, report().to_html().unwrap());
    // Left where it can be looked at.
    std::fs::write(concat!(env!("CARGO_TARGET_TMPDIR"), "/report.html"), &page).unwrap();
    assert_eq!(report().to_text(true).unwrap(), report().to_text(true).unwrap());
    assert_eq!(report().to_json().unwrap(), report().to_json().unwrap());
}

#[test]
fn the_page_needs_nothing_else() {
    let page = report().to_html().unwrap();
    for outside in ["http://", "https://", "src=\"/", "<link", "<script", "@import", "url("] {
        let found: Vec<&str> =
            page.match_indices(outside).map(|(at, _)| &page[at..(at + 40).min(page.len())]).collect();
        let namespace = found.iter().all(|text| text.starts_with("http://www.w3.org/2000/svg"));
        assert!(namespace, "{outside}: {found:?}");
    }
    assert!(page.matches("data:image/png;base64,").count() >= 40);
}

#[test]
fn the_page_says_what_the_data_says() {
    let report = report();
    let page = report.to_html().unwrap();
    let sections = ["Methods", "Background score", "Classes", "Losses", "Terms left out", "Largest gains", "Protocol"];
    let places: Vec<usize> = sections
        .iter()
        .map(|title| page.find(&format!("<h2>{title}</h2>")).unwrap_or_else(|| panic!("{title}")))
        .collect();
    assert!(places.is_sorted(), "{places:?}");
    for text in CLASSES.iter().chain(&["SEAM + HSC, no memory", "hsc/pixel/memory", "wsss compare runs/seam"]) {
        assert!(page.contains(text), "{text}");
    }
    for row in report.methods_table().unwrap().rows() {
        for cell in row {
            assert!(page.contains(cell.as_str()), "{cell}");
        }
    }
    // Three repeats of 3, 4 and 5 steps.
    assert!(page.contains("<td class=\"right\">12</td>"));
    assert!(page.contains(&report.protocol.line()));
    let times = "Mean time of a training: SEAM 30 min; SEAM + HSC 42 min; SEAM + HSC, no memory 54 min.";
    assert!(page.contains(times));
    assert!(!report.to_text(true).unwrap().contains(times), "two runs must print the same text");
}

#[test]
fn text_is_escaped() {
    let mut report = report();
    report.title = "<script>alert(1)</script>".to_string();
    report.methods[0].name = "a & b <i>".to_string();
    report.config = "</pre><b>".to_string();
    let page = report.to_html().unwrap();
    assert!(!page.contains("<script>") && !page.contains("<i>") && !page.contains("</pre><b>"));
    assert!(page.contains("a &amp; b &lt;i&gt;"));
}

#[test]
fn json_reads_back() {
    let report = report();
    let json: serde_json::Value = serde_json::from_str(&report.to_json().unwrap()).unwrap();
    assert_eq!(json["summary"].as_array().unwrap().len(), 3);
    assert!(json["summary"][1]["best_difference"]["standard_error"].is_f64());
    assert!(json["summary"][0]["best_difference"].is_null());
    let back: Report = serde_json::from_value(json["report"].clone()).unwrap();
    let pictureless = Report { galleries: vec![], ..report };
    assert_eq!(back.methods.len(), 3);
    assert_eq!(back.to_text(true).unwrap(), pictureless.to_text(true).unwrap());
    assert_eq!(back.to_html().unwrap(), pictureless.to_html().unwrap());
}

#[test]
fn a_report_without_extras_is_a_page_too() {
    let mut report = report();
    report.methods.truncate(1);
    report.methods[0].repeats.truncate(1);
    report.methods[0].repeats[0].losses.clear();
    report.galleries.clear();
    report.config.clear();
    report.environment.clear();
    report.reproduce.clear();
    let page = report.to_html().unwrap();
    for absent in ["<h2>Losses", "<h2>Terms left out", "<h2>Configuration", "<h2>Environment", "<h2>How to"] {
        assert!(!page.contains(absent), "{absent}");
    }
    assert!(page.contains("trained once only"));
    report.methods[0].repeats.clear();
    assert!(report.to_html().unwrap().contains("<h2>Methods"), "a method without repeats has empty cells");
}

#[test]
fn files_are_written_whole() {
    let folder = tempfile::tempdir().unwrap();
    let report = report();
    report.write_html(&folder.path().join("report.html")).unwrap();
    report.write_json(&folder.path().join("report.json")).unwrap();
    assert_eq!(std::fs::read_to_string(folder.path().join("report.html")).unwrap(), report.to_html().unwrap());
    assert_eq!(std::fs::read_to_string(folder.path().join("report.json")).unwrap(), report.to_json().unwrap());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    let missing = report.write_html(&folder.path().join("no/report.html")).unwrap_err().to_string();
    assert!(missing.contains("no/report.html"), "{missing}");
}

#[test]
fn parts_that_do_not_fit_are_named() {
    let refuse = |change: &dyn Fn(&mut Report), word: &str| {
        let mut report = report();
        change(&mut report);
        let wrong = report.to_html().unwrap_err().to_string();
        assert!(wrong.contains(word), "{wrong}");
    };
    refuse(&|report| report.methods.clear(), "no methods");
    refuse(&|report| report.protocol.fixed_score = 0.265, "0.265 is not one of the thresholds");
    refuse(&|report| report.methods[1].repeats[2].curve.push(None), "curve of method SEAM + HSC, seed 2");
    refuse(&|report| drop(report.classes.pop()), "class IoU at best");
    refuse(&|report| drop(report.galleries[0].rows[1].panels.pop()), "gallery Largest gains");
    refuse(&|report| report.galleries[0].rows[1].classes.push(7), "must be below 7");
}
