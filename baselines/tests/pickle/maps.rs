use candle_wsss_baselines::data::write_npy_maps;
use candle_wsss_baselines::pickle::{ArrayData, Number, Pickle};

use super::fixture;
use crate::cli::workbench::folder;

#[test]
fn maps_are_what_numpy_would_read() {
    let place = folder();
    let path = place.path().join("2007_000032.npy");
    let values: Vec<f32> = (0..6_u8).map(|value| f32::from(value) / 4.0).collect();
    write_npy_maps(&path, &[(0, 2, 3, &values), (300, 1, 1, &[-1.5])]).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    // What `fixtures/check_maps.py` loads with NumPy.
    assert_eq!(bytes, std::fs::read(fixture("maps.npy")).unwrap());
    let start = usize::from(u16::from_le_bytes([bytes[8], bytes[9]])) + 10;
    assert_eq!((start % 64, bytes[start - 1]), (0, b'\n'));
    let pickle = Pickle::read(&bytes[start..]).unwrap();
    assert_eq!(start + pickle.encoded_len(), bytes.len());
    let Some(ArrayData::Objects(&[dictionary])) = pickle.array(pickle.root(), 1).unwrap().map(|array| array.data)
    else {
        panic!("no array of one object");
    };
    let items = pickle.items(dictionary).unwrap();
    assert_eq!(items.iter().map(|(key, _)| pickle.int(*key).unwrap()).collect::<Vec<_>>(), [0, 300]);
    let array = pickle.array(items[0].1, 6).unwrap().unwrap();
    let ArrayData::Numbers(numbers) = array.data else { panic!("no numbers") };
    assert_eq!((array.shape, array.is_fortran), (vec![2, 3], false));
    assert_eq!(numbers, values.iter().map(|value| Number::Float(f64::from(*value))).collect::<Vec<_>>());
}

#[test]
fn an_image_without_classes_has_an_empty_dictionary() {
    let place = folder();
    let path = place.path().join("none.npy");
    write_npy_maps(&path, &[]).unwrap();
    assert!(std::fs::read(&path).unwrap().ends_with(b"}(uatb."));
}

#[test]
fn maps_that_are_no_maps() {
    let place = folder();
    let path = place.path().join("bad.npy");
    let err = write_npy_maps(&path, &[(4, 2, 2, &[0.0; 3])]).unwrap_err().to_string();
    assert!(err.ends_with("bad.npy: map of class 4: 3 values for 2x2 pixels"), "{err}");
    assert!(write_npy_maps(&path, &[(1 << 40, 1, 1, &[0.0])]).is_err());
    assert!(!path.exists());
}
