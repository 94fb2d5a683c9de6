use std::path::Path;

use candle_wsss_baselines::data::{LabelTable, read_npy_labels};

use super::{fixture, spoilt};
use crate::cli::workbench::folder;

fn table() -> LabelTable {
    let labels = [("2007_000032", vec![0, 2]), ("2007_000039", vec![1]), ("2011_003276", vec![])];
    LabelTable {
        class_names: None,
        num_classes: 3,
        labels: labels.into_iter().map(|(name, classes)| (name.to_string(), classes)).collect(),
    }
}

#[test]
fn files_of_every_numpy_protocol_and_key() {
    for numpy in [1, 2] {
        for protocol in 2..=5 {
            for keys in ["str", "bytes", "int", "int32", "text"] {
                let name = format!("labels-{numpy}-{protocol}-{keys}.npy");
                let read = read_npy_labels(&fixture(&name)).unwrap_or_else(|err| panic!("{err}"));
                assert_eq!(read, table(), "{name}");
            }
        }
    }
}

/// A file of NumPy around a pickle of the dictionary itself, which is read as well.
fn around(pickle: &[u8]) -> Vec<u8> {
    let header = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }\n";
    [b"\x93NUMPY\x01\x00", &[header.len() as u8, 0][..], header, pickle].concat()
}

/// `numpy.array([..], numpy.uint8)` of Python 2.
fn bytes_of(values: &[u8]) -> Vec<u8> {
    let state =
        [b"(K\x01K", &[values.len() as u8][..], b"\x85h\x05\x89U", &[values.len() as u8], values, b"tb"].concat();
    [b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R", state.as_slice()].concat()
}

/// A dictionary of such arrays under keys as they are in the pickle.
fn python_2(items: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut pickle = b"\x80\x02cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbq\x050}(".to_vec();
    for (key, values) in items {
        pickle.extend_from_slice(key);
        pickle.extend(bytes_of(values));
    }
    pickle.extend(b"u.");
    around(&pickle)
}

fn read(bytes: &[u8]) -> Result<LabelTable, String> {
    let place = folder();
    let path = place.path().join("cls_labels.npy");
    std::fs::write(&path, bytes).unwrap();
    read_npy_labels(&path).map_err(|err| {
        let message = err.to_string();
        assert_eq!(err.exit_code(), 3, "{message}");
        assert!(!message.contains('\n'), "{message}");
        message.strip_prefix(&format!("{}: ", path.display())).unwrap().to_string()
    })
}

#[test]
fn names_as_they_are_written() {
    let bytes = python_2(&[
        (b"U\x0b2007_000032", &[1, 0]),
        (b"J\xe7c\xa0w", &[0, 1]),
        (b"K\x09", &[1, 1]),
        (b"I5000000000\n", &[0, 0]),
    ]);
    let read = read(&bytes).unwrap();
    assert_eq!(read.labels.keys().collect::<Vec<_>>(), ["2007_000032", "2007_000039", "5000000000", "9"]);
    assert_eq!((read.num_classes, &read.labels["9"]), (2, &vec![0, 1]));
}

#[test]
fn what_is_no_table_of_labels() {
    for (bytes, want) in [
        (python_2(&[(b"U\x01a", &[1, 0]), (b"U\x01b", &[1])]), "labels of `b`: expected 2 classes as `a` has, got 1"),
        (python_2(&[(b"U\x01a", &[0, 2])]), "labels of `a`: expected 0 or 1 for class 1, got 2"),
        (python_2(&[(b"N", &[0])]), "expected image names as keys, got None"),
        (python_2(&[]), "a dictionary without labels"),
        (around(b"\x80\x02]."), "expected a dictionary from image names, got a list of 0"),
        (around(b"\x80\x02}U\x01aK\x01s."), "labels of `a`: expected a vector of 0 and 1, got the number 1"),
        (
            around(b"\x80\x02}U\x01acmy.code\nrun\n)Rs."),
            "labels of `a`: `my.code.run` is no constructor of tensors or arrays; nothing was executed",
        ),
        (
            around(b"\x80\x02cmy.code\nrun\n)R."),
            "`my.code.run` is no constructor of tensors or arrays; nothing was executed",
        ),
        (
            around(b"\x80\x02cposix\nsystem\nU\x02ls\x85R."),
            "`posix.system` is no constructor of tensors or arrays; nothing was executed",
        ),
        (
            std::fs::read(fixture("numbers-2.npy")).unwrap(),
            "expected NumPy's file of one pickled dictionary, got an array of `<f4`",
        ),
        (b"{\"2007_000032\": [1]}".to_vec(), "no .npy file: it does not begin as NumPy's do"),
        (Vec::new(), "no .npy file: it does not begin as NumPy's do"),
        (b"\x93NUMPY\x04\x00\x00\x00".to_vec(), "a .npy file of version 4, of which 1 to 3 are read"),
    ] {
        assert_eq!(read(&bytes).unwrap_err(), want);
    }
    let err = read_npy_labels(Path::new("/nowhere/cls_labels.npy")).unwrap_err();
    assert_eq!(err.to_string(), "/nowhere/cls_labels.npy: expected image-level labels, there is no such file");
    let wide = python_2(&[(b"U\x01a", &[1, 0])]);
    let at = wide.windows(4).position(|bytes| bytes == b"K\x02\x85h").unwrap();
    let wide = [&wide[..at], b"J\xff\xff\xff\x7f", &wide[at + 2..]].concat();
    assert_eq!(read(&wide).unwrap_err(), "labels of `a`: an array of shape [2147483647], more than 254 values");
}

#[test]
fn no_bytes_make_it_panic() {
    let place = folder();
    let path = place.path().join("cls_labels.npy");
    for name in ["labels-1-2-str.npy", "labels-2-4-text.npy", "labels-2-5-int.npy"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        for bytes in spoilt(&whole) {
            std::fs::write(&path, &bytes).unwrap();
            let read = read_npy_labels(&path);
            assert!(bytes.len() == whole.len() || read.is_err(), "{} bytes of {name} pass for a whole", bytes.len());
        }
    }
}
