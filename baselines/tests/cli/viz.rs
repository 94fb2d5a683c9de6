//! Seeds looked at.

use std::path::{Path, PathBuf};

use candle_wsss_baselines::data::{Mask, read_mask, write_mask};
use candle_wsss_baselines::infer::{Precision, SeedMaps, read_seeds, write_seeds};

use crate::cli::workbench::{
    copy_all, data, data_copy, fails, fails_without, files, folder, program, succeeds, text, trained,
};

fn page(out: &Path) -> String {
    std::fs::read_to_string(out.join("report.html")).unwrap()
}

fn viz(out: &Path, more: &[&str]) -> String {
    let args = [&["viz", "--data", text(data()), "--out", text(out)], more].concat();
    succeeds(&mut program(&args))
}

fn seeds() -> &'static str {
    text(&trained().seeds)
}

#[test]
fn a_page_that_needs_nothing_else() {
    let place = folder();
    let out = place.path().join("out");
    let said = viz(&out, &["--seeds", seeds()]);
    assert!(said.contains("mIoU at best") && said.contains("report.html"), "{said}");
    assert_eq!(files(&out).into_keys().collect::<Vec<_>>(), ["report.html"]);
    let page = page(&out);
    for section in ["Background score", "Classes", "What is taken for what", "Worst images", "Best images", "Protocol"]
    {
        assert!(page.contains(&format!("<h2>{section}</h2>")), "{section}");
    }
    for outside in ["http://", "https://", "<link", "<script", "@import", "url(", "src=\"/"] {
        let beyond = page.match_indices(outside).all(|(at, _)| page[at..].starts_with("http://www.w3.org/2000/svg"));
        assert!(beyond, "{outside}");
    }
    assert!(page.matches("data:image/jpeg;base64,").count() >= 4 * 16);
    // What `wsss eval` says stands on the page.
    let evaluated = succeeds(&mut program(&["eval", "--seeds", seeds(), "--data", text(data()), "--json"]));
    let evaluated: serde_json::Value = serde_json::from_str(&evaluated).unwrap();
    let best = evaluated["summary"][0]["best"]["mean"].as_f64().unwrap();
    assert!(page.contains(&format!("{:.2}", 100.0 * best)) && said.contains(&format!("{:.2}", 100.0 * best)));
}

#[test]
fn the_same_page_on_one_thread() {
    let place = folder();
    let read = |name: &str, threads: &str| {
        let out = place.path().join(name);
        let args = ["viz", "--seeds", seeds(), "--data", text(data()), "--out", text(&out), "--all"];
        succeeds(program(&args).env("RAYON_NUM_THREADS", threads));
        let page = page(&out).replace(text(&out), "OUT");
        let mut all = files(&out);
        all.insert("report.html".to_string(), page.into_bytes());
        all
    };
    assert!(read("one", "1") == read("three", "3"));
}

#[test]
fn several_side_by_side_and_overlays_as_files() {
    let place = folder();
    let out = place.path().join("out");
    let (own, masks) = (format!("own={}", seeds()), format!("masks={}", text(&trained().seeds.join("png"))));
    let more = ["--seeds", &own, "--seeds", seeds(), "--predictions", &masks, "--rows", "2", "--pictures"];
    let said = viz(&out, &more);
    assert!(said.contains("own ") && said.contains("seeds ") && said.contains("masks "), "{said}");
    let page = page(&out);
    for title in ["Worst images of own", "Where masks gains most over own", "Where masks loses most over own"] {
        assert!(page.contains(title), "{title}");
    }
    let names: Vec<String> = files(&out).into_keys().collect();
    let shown = names.iter().filter(|name| name.starts_with("overlays/own/")).count();
    assert!((2..=10).contains(&shown), "{names:?}");
    assert_eq!(names.iter().filter(|name| name.starts_with("overlays/masks/")).count(), shown);
    let all = place.path().join("all");
    viz(&all, &["--predictions", text(&trained().seeds), "--all"]);
    assert_eq!(files(&all).len(), 16 + 1, "a folder with png/ in it is as good");
    let drawn = image::open(all.join("overlays/train_000000.png")).unwrap().to_rgb8();
    let whole = image::open(data().join("JPEGImages/train_000000.jpg"))
        .map_or((64, 48), |image| (image.to_rgb8().width(), image.to_rgb8().height()));
    assert_eq!(drawn.dimensions(), whole);
}

#[test]
fn refined_masks_are_found_where_the_program_puts_them() {
    let place = folder();
    let (crf, out) = (place.path().join("crf"), place.path().join("out"));
    succeeds(&mut program(&["crf", "--seeds", seeds(), "--data", text(data()), "--out", text(&crf)]));
    viz(&out, &["--predictions", text(&crf)]);
    let found = page(&out);
    assert!(found.contains("CRF: background (power (alpha") && found.contains(text(&crf.join("masks"))));
    // The same from inside.
    let inside = place.path().join("inside");
    let args = ["viz", "--predictions", ".", "--data", text(data()), "--out", text(&inside)];
    succeeds(program(&args).current_dir(crf.join("masks")));
    assert!(page(&inside).contains("CRF: background (power (alpha"));
    copy_all(&trained().seeds.join("png"), &crf.join("png"));
    let no = place.path().join("no");
    let args = ["viz", "--predictions", text(&crf), "--data", text(data()), "--out", text(&no)];
    fails_without(&no, &mut program(&args), 3, &["label maps in png and in masks; name one of them"]);
}

#[test]
fn the_first_bad_file_is_named_on_any_number_of_threads() {
    let place = folder();
    let own = place.path().join("own");
    copy_all(&trained().seeds, &own);
    for index in [2, 5, 9, 14] {
        std::fs::write(own.join(format!("arrays/train_{index:06}.safetensors")), "no seeds").unwrap();
        std::fs::write(own.join(format!("png/train_{index:06}.png")), "no mask").unwrap();
    }
    for (flag, file) in [("--seeds", "train_000002.safetensors"), ("--predictions", "train_000002.png")] {
        for threads in ["1", "3", "8"] {
            let out = place.path().join("out");
            let args = ["viz", flag, text(&own), "--data", text(data()), "--out", text(&out)];
            fails_without(&out, program(&args).env("RAYON_NUM_THREADS", threads), 3, &[file]);
        }
    }
}

#[test]
fn without_masks_there_are_pictures_still() {
    let place = folder();
    let root = data_copy(place.path());
    std::fs::remove_dir_all(root.join("SegmentationClass")).unwrap();
    let out = place.path().join("out");
    let args = ["viz", "--seeds", seeds(), "--data", text(&root), "--out", text(&out), "--background-score", "0.345"];
    let said = succeeds(&mut program(&args));
    assert!(said.contains("0.345") && said.contains("foreground") && !said.contains("mIoU"), "{said}");
    let page = page(&out);
    for title in ["Least foreground", "Most foreground", "A look across"] {
        assert!(page.contains(&format!("<h2>{title}</h2>")), "{title}");
    }
    assert!(!page.contains("ground truth</th>"));
    let no = place.path().join("no");
    let args = ["viz", "--seeds", seeds(), "--data", text(&root), "--out", text(&no)];
    fails(program(&args).args(["--background-score=-1"]), 2, &["--background-score: must be 0 or more, is -1"]);
}

/// One image, of a data set of its own.
fn single(place: &Path) -> (PathBuf, PathBuf) {
    let root = data_copy(place);
    std::fs::write(root.join("ImageSets/Segmentation/train.txt"), "train_000003\n").unwrap();
    let own = place.join("seeds");
    copy_all(&trained().seeds, &own);
    (root, own)
}

#[test]
fn one_image_and_no_class() {
    let place = folder();
    let (root, own) = single(place.path());
    let array = own.join("arrays/train_000003.safetensors");
    let maps = read_seeds(&array).unwrap();
    let run = |name: &str| {
        let out = place.path().join(name);
        let args = ["viz", "--seeds", text(&own), "--data", text(&root), "--out", text(&out)];
        succeeds(&mut program(&args));
        page(&out)
    };
    let whole = run("whole");
    assert!(whole.contains("Worst images") && !whole.contains("<h2>Best images"), "one image is not both");
    let none = SeedMaps::new(vec![], maps.height(), maps.width(), vec![]).unwrap();
    write_seeds(&array, &none, Precision::Half).unwrap();
    let page = run("none");
    assert!(page.contains("no class") && !page.contains("NaN"));
}

#[test]
fn bad_folders_are_named() {
    let place = folder();
    let (root, own) = single(place.path());
    let out = place.path().join("out");
    let run = |folder: &Path, flag: &str, parts: &[&str]| {
        let args = ["viz", flag, text(folder), "--data", text(&root), "--out", text(&out)];
        fails_without(&out, &mut program(&args), 3, parts);
    };
    let empty = place.path().join("empty");
    run(&empty, "--seeds", &[text(&empty), "expected the folder of --seeds"]);
    std::fs::create_dir(&empty).unwrap();
    run(&empty, "--seeds", &["train_000003.safetensors", "expected the seeds of image train_000003"]);
    run(&empty, "--predictions", &["train_000003.png", "expected the label maps of image train_000003"]);

    let array = own.join("arrays/train_000003.safetensors");
    let maps = read_seeds(&array).unwrap();
    let small = SeedMaps::new(vec![0], 2, 3, vec![0.5; 6]).unwrap();
    write_seeds(&array, &small, Precision::Half).unwrap();
    run(&own, "--seeds", &["train_000003.safetensors", "expected the image's size, ", "got 3 x 2"]);
    let pixels = maps.height() * maps.width();
    let strange = SeedMaps::new(vec![9], maps.height(), maps.width(), vec![0.5; pixels]).unwrap();
    write_seeds(&array, &strange, Precision::Half).unwrap();
    run(&own, "--seeds", &["train_000003.safetensors", "expected the 4 classes of the data set, one is 9"]);
    std::fs::write(&array, "no seeds").unwrap();
    run(&own, "--seeds", &["train_000003.safetensors", "no readable seed file"]);

    let png = own.join("png/train_000003.png");
    let mask = read_mask(&png).unwrap();
    write_mask(&png, &Mask { data: vec![5; mask.data.len()], ..mask.clone() }).unwrap();
    run(&own, "--predictions", &["train_000003.png", "expected the 4 classes of the data set, one is 4"]);
    // The same without masks, when nothing but drawing asks for the size.
    std::fs::remove_dir_all(root.join("SegmentationClass")).unwrap();
    write_mask(&png, &Mask { width: 2, height: 2, data: vec![0; 4] }).unwrap();
    run(&own, "--predictions", &["train_000003.png", "expected the image's size", "got 2 x 2"]);
}

#[test]
fn void_in_masks_is_drawn_and_counted_as_background() {
    let place = folder();
    let (root, own) = single(place.path());
    let png = own.join("png/train_000003.png");
    let mask = read_mask(&png).unwrap();
    write_mask(&png, &Mask { data: vec![255; mask.data.len()], ..mask.clone() }).unwrap();
    let out = place.path().join("out");
    succeeds(&mut program(&["viz", "--predictions", text(&own), "--data", text(&root), "--out", text(&out)]));
    let note = format!("{} pixels without a label in its masks count as background", mask.data.len());
    assert!(page(&out).contains(&note) && page(&out).contains("eval.open_pixels"));
}

#[test]
fn what_is_asked_wrongly() {
    let place = folder();
    let out = place.path().join("out");
    let run = |more: &[&str], parts: &[&str]| {
        let args = [&["viz", "--data", text(data()), "--out", text(&out)], more].concat();
        let stderr = String::from_utf8(program(&args).output().unwrap().stderr).unwrap();
        assert!(parts.iter().all(|part| stderr.contains(part)), "{stderr}");
        assert!(!out.exists());
    };
    run(&[], &["--seeds"]);
    run(&["--seeds", seeds(), "--rows", "0"], &["rows: must be at least 1, is 0"]);
    run(&["--seeds", seeds(), "--seeds", seeds()], &["two are called seeds", "name them"]);
    run(&["--seeds", &format!("a/b={}", seeds())], &["expected a name without `/`"]);
    run(&["--seeds", seeds(), "--background-score", "0.123456"], &["background_score", "is 0.123456"]);
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("thesis.tex"), "years of work").unwrap();
    let args = ["viz", "--seeds", seeds(), "--data", text(data()), "--out", text(&out)];
    fails(&mut program(&args), 2, &["exists already"]);
}
