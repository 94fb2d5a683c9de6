//! A plain folder: images and a CSV.

use candle_wsss_baselines::data::{DataSource, Dataset, ImageSet, LabelSource};

use super::scratch::{CLASSES, Scratch};

fn names(scratch: &Scratch, split: &str) -> Vec<String> {
    let set = ImageSet::open(scratch.root(), split).unwrap();
    (0..set.len()).map(|i| set.name(i).to_string()).collect()
}

#[test]
fn is_as_good_as_vocs_folders() {
    let (voc, folder) = (Scratch::new(4), Scratch::folder(4));
    let (voc, set) = (Dataset::open(voc.root(), "train").unwrap(), Dataset::open(folder.root(), "train").unwrap());
    assert_eq!((set.len(), set.has_masks(), set.class_names()), (4, true, voc.class_names()));
    assert_eq!((set.images().label_source(), set.mask_source().as_str()), ("labels.csv", "masks"));
    for i in 0..4 {
        assert_eq!((set.name(i), set.labels(i)), (voc.name(i), voc.labels(i)));
        assert_eq!(set.image(i).unwrap(), voc.image(i).unwrap());
        assert_eq!(set.mask(i).unwrap(), voc.mask(i).unwrap());
        assert_eq!(set.saliency(i).unwrap(), voc.saliency(i).unwrap());
    }
}

#[test]
fn images_are_in_one_of_three_places() {
    let scratch = Scratch::folder(2);
    let path = || ImageSet::open(scratch.root(), "train").unwrap().image_path(0).to_path_buf();
    assert_eq!(path(), scratch.path("images/a0.png"));
    scratch.rename("images", "JPEGImages");
    assert_eq!(path(), scratch.path("JPEGImages/a0.png"));
    for i in 0..2 {
        scratch.rename(&format!("JPEGImages/a{i}.png"), &format!("a{i}.png"));
    }
    scratch.remove_all("JPEGImages");
    assert_eq!(path(), scratch.path("a0.png"));
    scratch.rename("masks", "SegmentationClass");
    assert!(Dataset::open(scratch.root(), "train").unwrap().has_masks());
    // A table of another name will do when it is the only one.
    scratch.rename("labels.csv", "my table.csv");
    assert_eq!(ImageSet::open(scratch.root(), "train").unwrap().label_source(), "my table.csv");
    scratch.text("second.csv", "");
    let error = ImageSet::open(scratch.root(), "train").unwrap_err().to_string();
    assert!(error.ends_with("; there are my table.csv, second.csv: say which with --labels"), "{error}");
    let source = DataSource { labels: LabelSource::File("my table.csv".into()), ..scratch.source("train") };
    assert_eq!(ImageSet::open_from(&source).unwrap().len(), 2);
}

#[test]
fn names_of_classes_stand_apart_in_every_way() {
    let scratch = Scratch::folder(4);
    let expected = [&[0][..], &[1, 2], &[], &[0, 1, 2]];
    for csv in [
        "image,labels\na0,ant\na1,cat bee\na2,\na3,bee ant cat ant\n",
        "image,labels\na0.png,ant\na1.png,cat;bee\na2.png,\na3.png,bee;ant;cat\n",
        "file,Label\na0,ant\na1,cat | bee\na2, \na3,bee|ant|cat\n",
        "image;labels\na0;ant\na1;cat|bee\na2;\na3;bee|ant|cat\n",
        "image\tclasses\na0\tant\na1\tcat,bee\na2\t\na3\tbee,ant,cat\n",
        "image,labels\n\"a0\",\"ant\"\n\n\"a1\",\"cat,bee\"\na2,\"\"\na3,\"bee, ant, cat\"\n",
        "id,ant,bee,cat\na0,1,0,0\na1,0, 1,1\na2,0,0,0\na3,1,1,1\n",
        "id;ant;bee;cat\r\na0.JPG;1;0;0\r\na1;0;1;1\r\na2;0;0;0\r\na3;1;1;1\r\n",
    ] {
        for has_list in [true, false] {
            scratch.text("labels.csv", csv);
            if has_list {
                scratch.text("classes.txt", &CLASSES.join("\n"));
            } else {
                scratch.remove("classes.txt");
            }
            let set = ImageSet::open(scratch.root(), "train").unwrap();
            assert_eq!(set.class_names(), CLASSES, "{csv}");
            assert_eq!((0..4).map(|i| set.labels(i)).collect::<Vec<_>>(), expected, "{csv}");
        }
    }
}

#[test]
fn names_of_classes_may_have_spaces() {
    let scratch = Scratch::folder(2);
    scratch.remove("classes.txt");
    scratch.text("labels.csv", "image,labels\na0,traffic light\na1,traffic light; red wine\n");
    let set = ImageSet::open(scratch.root(), "train").unwrap();
    assert_eq!(set.class_names(), ["red wine", "traffic light"]);
    assert_eq!((set.labels(0), set.labels(1)), (&[1][..], &[0, 1][..]));
    // A list says which words belong together.
    scratch.text("classes.txt", "traffic light\nlight\n");
    scratch.text("labels.csv", "image,labels\na0,traffic light\na1,light\n");
    let set = ImageSet::open(scratch.root(), "train").unwrap();
    assert_eq!((set.labels(0), set.labels(1)), (&[0][..], &[1][..]));
}

#[test]
fn splits_come_from_a_list_a_column_or_are_all() {
    let scratch = Scratch::folder(4);
    assert_eq!(names(&scratch, "train"), ["a0", "a1", "a2", "a3"]);
    assert_eq!(names(&scratch, "all"), ["a0", "a1", "a2", "a3"]);
    let error = ImageSet::open(scratch.root(), "val").unwrap_err().to_string();
    assert!(error.ends_with("there is no such file; `--split all` takes every image"), "{error}");
    scratch.text("labels.csv", "image,split,labels\na3,val,ant\na1,train,cat\na0,train,bee\na2,train_aug,ant\n");
    assert_eq!(names(&scratch, "train"), ["a1", "a0"]);
    assert_eq!(names(&scratch, "val"), ["a3"]);
    assert_eq!(names(&scratch, "trainaug"), ["a2"]);
    assert_eq!(names(&scratch, "all"), ["a3", "a1", "a0", "a2"]);
    let error = ImageSet::open(scratch.root(), "test").unwrap_err().to_string();
    assert!(error.ends_with("expected rows of split `test`; the column `split` has train, train_aug, val"), "{error}");
    scratch.text("train.txt", "a2.png\n");
    assert_eq!(names(&scratch, "train"), ["a2"]);
    assert_eq!(names(&scratch, "val"), ["a3"]);
    scratch.remove("train.txt");
    scratch.text("labels.csv", "image,ant,split,bee,cat\na3,0,val,1,0\na1,1,train,0,0\n");
    assert_eq!((names(&scratch, "val"), names(&scratch, "train")), (vec!["a3".to_string()], vec!["a1".to_string()]));
    scratch.text("val.txt", "a1\n");
    scratch.text("labels.csv", "image,labels\na3,ant\na1,cat\n");
    let error = ImageSet::open(scratch.root(), "train").unwrap_err().to_string();
    assert!(
        error.contains("train.txt: expected the list of split `train`"),
        "all is not train where a list is: {error}"
    );
}

#[test]
fn lists_may_be_beside_a_table_elsewhere() {
    let scratch = Scratch::folder(3);
    scratch.text("meta/own.csv", "image,labels\na0,ant\na1,bee\na2,cat\n");
    scratch.text("meta/test.txt", "a1\n");
    let source = DataSource { labels: LabelSource::File("meta/own.csv".into()), ..scratch.source("test") };
    assert_eq!(ImageSet::open_from(&source).unwrap().labels(0), [1]);
}

#[test]
fn images_and_masks_alone_will_do() {
    let scratch = Scratch::folder(3);
    scratch.remove("labels.csv");
    let source = DataSource { labels: LabelSource::Masks, ..scratch.source("train") };
    let set = ImageSet::open_from(&source).unwrap();
    assert_eq!((set.len(), set.labels(1), set.label_source()), (3, &[1, 2][..], "masks"));
    scratch.remove("classes.txt");
    let error = ImageSet::open_from(&source).unwrap_err().to_string();
    assert!(error.ends_with("classes.txt: expected the names of the classes, one a line, there is no such file"));
}
