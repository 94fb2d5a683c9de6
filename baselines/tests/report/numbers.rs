//! Tables of single evaluations, held-out columns, and CSV: which number stands where.

use candle_wsss_baselines::eval::{AbsentClass, Confusion, Interval, Measures};
use candle_wsss_baselines::report::{Method, Number, Protocol, Repeat, Report, ReportClass, ScoreRule};

use super::example;

fn class(name: &str) -> ReportClass {
    ReportClass { name: name.to_string(), color: [0, 0, 0] }
}

fn measures(absent: AbsentClass) -> Measures {
    let mut confusion = Confusion::new(3);
    // Background 3 of 4, cat 2 of 2 with one too many, no dog.
    confusion.add(&[0, 0, 0, 0, 1, 1], &[0, 0, 0, 1, 1, 1]).unwrap();
    Measures::of(&confusion, absent)
}

fn evaluation(absent: AbsentClass) -> Report {
    let measures = measures(absent);
    let value = measures.mean_iou.unwrap();
    let interval = Interval { value, lower: 0.1, upper: 0.9, level: 0.95, resamples: 200, images: 7 };
    let number = |rule, scores: &[f64]| Number {
        rule,
        scores: scores.to_vec(),
        interval: Some(interval),
        measures: measures.clone(),
    };
    let repeat = Repeat {
        curve: vec![Some(value), Some(0.2)],
        class_iou_at_best: vec![Some(0.75), Some(0.5), None],
        class_iou_at_fixed: vec![None; 3],
        numbers: vec![
            number(ScoreRule::Best, &[0.1]),
            number(ScoreRule::Fixed, &[0.2]),
            number(ScoreRule::HeldOut, &[0.1, 0.2]),
        ],
        ..Repeat::default()
    };
    Report {
        title: "Seeds".to_string(),
        thresholds: vec![0.1, 0.2],
        protocol: Protocol { fixed_score: 0.2, absent_class: absent, ..Protocol::default() },
        classes: vec![class("background"), class("cat"), class("dog, small")],
        methods: vec![Method { name: "seeds".to_string(), repeats: vec![repeat], ..Method::default() }],
        ..Report::default()
    }
}

#[test]
fn an_evaluation_is_a_line_per_number() {
    let report = evaluation(AbsentClass::Skipped);
    // A backslash would take the blanks with it.
    let want = "\x20           score   mIoU   95 % interval  foreground  precision  recall  pixel accuracy
--------  -------  -----  --------------  ----------  ---------  ------  --------------
best          0.1  70.83  [10.00, 90.00]       66.67      83.33   87.50           83.33
fixed         0.2  70.83  [10.00, 90.00]       66.67      83.33   87.50           83.33
held out  0.1–0.2  70.83  [10.00, 90.00]       66.67      83.33   87.50           83.33
";
    assert_eq!(report.numbers_table().unwrap().to_text(), want);
    let text = report.to_text(true).unwrap();
    let classes = "\
class       IoU best  IoU fixed  IoU held out  precision  recall  over  under
----------  --------  ---------  ------------  ---------  ------  ----  -----
background     75.00      75.00         75.00     100.00   75.00  0.00   0.33
cat            66.67      66.67         66.67      66.67  100.00  0.50   0.00
dog, small
mean           70.83      70.83         70.83      83.33   87.50  0.50   0.00
";
    assert!(text.contains(want) && text.contains(classes), "{text}");
    assert!(text.contains("7 images drawn anew 200 times"), "{text}");
    assert!(!text.contains("trained once only"), "{text}");
    let note = text.lines().find(|line| line.contains("dog, small.")).unwrap();
    assert_eq!(
        note,
        "Note: In neither ground truth nor prediction, left out of the mean: dog, small. With such classes counted as 0, \
         mIoU is best 47.22, fixed 47.22, held out 47.22."
    );
    let text = evaluation(AbsentClass::AsZero).to_text(false).unwrap();
    assert!(text.contains("counted as 0: dog, small. With such classes left out of the mean, mIoU is best 70.83"));
    assert!(example::report().numbers_table().is_none(), "a comparison is no evaluation");
}

#[test]
fn label_maps_have_no_score() {
    let mut report = evaluation(AbsentClass::Skipped);
    report.thresholds.clear();
    let repeat = &mut report.methods[0].repeats[0];
    repeat.curve.clear();
    repeat.numbers.truncate(1);
    repeat.numbers[0].rule = ScoreRule::LabelMaps;
    repeat.numbers[0].scores.clear();
    let text = report.to_text(true).unwrap();
    assert!(text.contains("\nlabel maps  70.83") && text.contains("counted as 0, mIoU is 47.22."), "{text}");
    assert!(!text.contains("fixed") && !text.contains("best"), "{text}");
    let summary = &report.summaries().unwrap()[0];
    assert_eq!((summary.best.unwrap().mean, summary.fixed), (repeat_value(&report), None));
    // The page and the other forms hold as well.
    assert!(report.to_html().unwrap().contains("70.83"));
    assert!(report.to_markdown().unwrap().contains("70.83"));
    assert_eq!(report.numbers_csv().unwrap().lines().count(), 1 + 4);
    assert_eq!(report.curve_csv().unwrap().lines().count(), 1);
    assert_eq!(report.methods_table().unwrap().columns().len(), 4);
}

fn repeat_value(report: &Report) -> f64 {
    report.methods[0].repeats[0].numbers[0].measures.mean_iou.unwrap()
}

#[test]
fn tables_are_read_back_as_they_were_written() {
    let report = evaluation(AbsentClass::Skipped);
    let csv = report.numbers_csv().unwrap();
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    assert_eq!(reader.headers().unwrap().len(), 13);
    let lines: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
    assert_eq!(lines.len(), 3 * 4);
    let line = &lines[2];
    // A comma in a name, and a class of which nothing is known.
    assert_eq!((&line[2], &line[3], &line[6], &line[10]), ("dog, small", "", "", "0"));
    let mean = &lines[3];
    assert_eq!((&mean[0], &mean[1], &mean[2], &mean[4], &mean[5]), ("best", "0.1", "mean", "0.1", "0.9"));
    assert_eq!(mean[3].parse::<f64>().unwrap(), repeat_value(&report));
    assert_eq!(&lines[11][1], "0.1 0.2");
    assert!(example::report().numbers_csv().is_err());
}

#[test]
fn held_out_scores_have_columns_and_differences() {
    let mut report = example::report();
    for method in &mut report.methods {
        method.baseline = "seam".to_string();
    }
    let text = report.to_text(false).unwrap();
    let split = text.find("\nDifference to SEAM, mean").unwrap();
    let (values, differences) = text.split_at(split);
    let header = values.lines().find(|line| line.starts_with("method")).unwrap();
    let names = ["repeats", "mIoU at best", "best score", "mIoU at 0.26", "mIoU held out", "pixel accuracy"];
    let mut rest = header;
    for name in names {
        rest = &rest[rest.find(name).unwrap_or_else(|| panic!("{name} is not in {header}")) + name.len()..];
    }
    let header = differences.lines().find(|line| line.starts_with("method")).unwrap();
    for name in ["at best", "over images", "at 0.26", "held out"] {
        assert!(header.contains(name), "{header}");
    }
    // The reference differs from nothing, and has no line.
    let rows = differences.lines().skip(1).take_while(|line| !line.is_empty());
    assert_eq!(rows.filter(|line| line.starts_with("SEAM")).count(), 2);
    let summaries = report.summaries().unwrap();
    assert_eq!(summaries[0].cross_fitted_difference, None);
    let difference = summaries[1].cross_fitted_difference.unwrap();
    let mean = |index: usize| summaries[index].cross_fitted.unwrap().mean;
    assert!((difference.mean - (mean(1) - mean(0))).abs() < 1e-12 && difference.count == 3);

    let csv = report.results_csv().unwrap();
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let lines: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
    let line = lines.iter().find(|line| &line[2] == "SEAM + HSC" && &line[3] == "1" && &line[4] == "held out").unwrap();
    let value = |method: usize| report.methods[method].repeats[1].cross_fitted.unwrap();
    assert_eq!((&line[6], line[7].parse::<f64>().unwrap()), ("mean", value(1)));
    assert_eq!((&line[8], line[9].parse::<f64>().unwrap()), ("SEAM", value(1) - value(0)));
    let curve = report.curve_csv().unwrap();
    assert_eq!(curve.lines().count(), 1 + 3 * 3 * 60);
}

#[test]
fn confusions_are_kept_whole() {
    let report = example::report();
    let repeat = &report.methods[0].repeats[0];
    assert_eq!(repeat.confusion_at_best.len(), report.classes.len());
    for (class, row) in repeat.confusion_at_best.iter().enumerate() {
        let found = row[class] as f64;
        let all: u64 = row.iter().sum::<u64>() + repeat.confusion_at_best.iter().map(|row| row[class]).sum::<u64>();
        let iou = found / (all as f64 - found);
        assert!((repeat.class_iou_at_best[class].unwrap() - iou).abs() < 1e-9, "class {class}");
    }
    let json = report.to_json().unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let back: Report = serde_json::from_value(json["report"].clone()).unwrap();
    assert_eq!(back.methods, report.methods);
}

#[test]
fn protocols_say_where_labels_are_from() {
    let protocol = Protocol {
        labels: "masks".to_string(),
        uses_saliency: true,
        checkpoint: "seam.safetensors".to_string(),
        held_out_rule: "on the other half".to_string(),
        ..example::protocol()
    };
    let line = protocol.line();
    for part in ["image-level labels masks, ", ", uses saliency", ", checkpoint seam.safetensors"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    let rules = "largest mIoU on this split, 0.00 to 0.59 in steps of 0.01; fixed: 0.26; held out: on the other half; \
                 absent classes: count as IoU 0";
    assert_eq!(protocol.rules(), rules);
    for (other, part) in [
        (Protocol { labels: "annotations".to_string(), ..protocol.clone() }, "image-level labels"),
        (Protocol { uses_saliency: false, ..protocol.clone() }, "saliency"),
        (Protocol { held_out_rule: String::new(), ..protocol.clone() }, "held out"),
    ] {
        assert!(protocol.expect_same(&other).unwrap_err().to_string().contains(part));
    }
    // Another training of the same kind may be compared.
    protocol.expect_same(&Protocol { checkpoint: "other".to_string(), ..protocol.clone() }).unwrap();
}
