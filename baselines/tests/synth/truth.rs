use std::fs;

use candle_wsss_baselines::data::{Dataset, VOID};
use candle_wsss_baselines::synth::SynthConfig;
use roxmltree::Document;

use super::{Generated, small};

fn crowded() -> SynthConfig {
    SynthConfig { train: 40, occlusion: 1.0, ..small() }
}

#[test]
fn reads_back_as_a_data_set() {
    let set = Generated::new(&small());
    for (split, images) in [("train", 10), ("val", 4), ("trainval", 14)] {
        let data = Dataset::open(&set.root(), split).unwrap();
        assert_eq!((data.len(), data.has_masks()), (images, true));
        assert_eq!(data.class_names(), set.summary.class_names);
        for i in 0..images {
            let (image, mask) = (data.image(i).unwrap(), data.mask(i).unwrap());
            assert_eq!((image.width() as usize, image.height() as usize), (mask.width, mask.height));
            assert!((56..=72).contains(&mask.width) && (56..=72).contains(&mask.height));
            assert!(data.saliency(i).unwrap().is_some());
        }
    }
}

#[test]
fn labels_are_the_classes_in_view() {
    let set = Generated::new(&crowded());
    let data = Dataset::open(&set.root(), "train").unwrap();
    let mut images = vec![0; data.layout().num_foreground()];
    for i in 0..data.len() {
        let labels = data.labels(i);
        assert!(!labels.is_empty());
        assert_eq!(data.mask(i).unwrap().classes(), labels, "{}", data.name(i));
        labels.iter().for_each(|class| images[*class] += 1);
    }
    assert_eq!(set.summary.train.images_per_class, images);
    assert!(images.iter().all(|count| *count >= 4), "{images:?}");
}

#[test]
fn void_parts_whatever_differs_and_is_thin() {
    let set = Generated::new(&crowded());
    let data = Dataset::open(&set.root(), "train").unwrap();
    for i in 0..data.len() {
        let mask = data.mask(i).unwrap();
        let at = |x: usize, y: usize| mask.data[y * mask.width + x];
        for y in 0..mask.height {
            for x in 0..mask.width {
                let here = at(x, y);
                let beside = (x + 1 < mask.width).then(|| at(x + 1, y));
                let below = (y + 1 < mask.height).then(|| at(x, y + 1));
                for other in [beside, below].into_iter().flatten() {
                    assert!(here == other || here == VOID || other == VOID, "{} ({x}, {y})", data.name(i));
                }
            }
        }
    }
    // About one pixel wide: objects of 30 pixels across have a rim of about a fifth of their area.
    let (void, foreground) = (set.summary.train.void, set.summary.train.foreground);
    assert!(void > 0.05 * foreground && void < 0.5 * foreground, "void {void}, foreground {foreground}");
}

#[test]
fn boxes_hold_their_objects() {
    let set = Generated::new(&crowded());
    let data = Dataset::open(&set.root(), "train").unwrap();
    for i in 0..data.len() {
        let (mask, name) = (data.mask(i).unwrap(), data.name(i));
        let xml = fs::read_to_string(set.root().join("Annotations").join(format!("{name}.xml"))).unwrap();
        let document = Document::parse(&xml).unwrap();
        let text = |node: roxmltree::Node<'_, '_>, tag: &str| {
            node.descendants().find(|n| n.has_tag_name(tag)).unwrap().text().unwrap().to_string()
        };
        let number = |node, tag| text(node, tag).parse::<usize>().unwrap();
        let root = document.root_element();
        assert_eq!(text(root, "filename"), format!("{name}.jpg"));
        assert_eq!((number(root, "width"), number(root, "height")), (mask.width, mask.height));
        let boxes: Vec<(u8, [usize; 4])> = root
            .children()
            .filter(|node| node.has_tag_name("object"))
            .map(|object| {
                let class = data.class_names().iter().position(|c| *c == text(object, "name")).unwrap();
                (class as u8 + 1, ["xmin", "ymin", "xmax", "ymax"].map(|tag| number(object, tag)))
            })
            .collect();
        let holds = |[x_min, y_min, x_max, y_max]: [usize; 4], at: usize| {
            let (x, y) = (at % mask.width + 1, at / mask.width + 1);
            (x_min..=x_max).contains(&x) && (y_min..=y_max).contains(&y)
        };
        for (at, value) in mask.data.iter().enumerate().filter(|(_, value)| !matches!(**value, 0 | VOID)) {
            assert!(boxes.iter().any(|(class, bounds)| class == value && holds(*bounds, at)), "{name} pixel {at}");
        }
        for (class, bounds) in &boxes {
            assert!(bounds[0] >= 1 && bounds[1] >= 1 && bounds[2] <= mask.width && bounds[3] <= mask.height);
            assert!((0..mask.data.len()).any(|at| mask.data[at] == *class && holds(*bounds, at)), "{name} {bounds:?}");
        }
    }
}

#[test]
fn the_readme_states_design_settings_and_figures() {
    let set = Generated::new(&SynthConfig { hue_noise: 0.125, ..small() });
    let readme = fs::read_to_string(set.root().join("README.md")).unwrap();
    assert!(readme.contains("A small part tells the class") && readme.contains("hue_noise = 0.125"));
    let settings = readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(toml::from_str::<SynthConfig>(settings).unwrap(), SynthConfig { hue_noise: 0.125, ..small() });
    for name in &set.summary.class_names {
        assert!(readme.contains(&format!("| {name} |")));
        assert!(name.len() >= 4 && name.bytes().all(|byte| byte.is_ascii_lowercase()), "{name}");
    }
}

#[test]
fn any_number_of_classes_has_its_own_names() {
    for classes in [1, 3, 60] {
        let set = Generated::new(&SynthConfig { classes, train: 2, val: 1, ..small() });
        let mut names = set.summary.class_names.clone();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), classes);
    }
}
