//! Event files, read back by a reader of their own.

use std::collections::BTreeMap;

use candle_wsss_baselines::report::{EventFile, Picture, PictureFormat};
use image::{Rgb, RgbImage};

/// CRC-32C as its polynomial says it, bit by bit.
fn crc32c(data: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in data {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 };
        }
    }
    !crc
}

fn masked(data: &[u8]) -> u32 {
    let crc = crc32c(data);
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// A field of a protocol buffer.
#[derive(Clone, Debug, PartialEq)]
enum Field {
    Number(u64),
    Bytes(Vec<u8>),
    Double(f64),
    Float(f32),
}

fn varint(data: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let (byte, rest) = data.split_first().unwrap();
        *data = rest;
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return value;
        }
    }
}

fn take<'a>(data: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (taken, rest) = data.split_at(len);
    *data = rest;
    taken
}

fn fields(mut data: &[u8]) -> Vec<(u64, Field)> {
    let mut found = Vec::new();
    while !data.is_empty() {
        let key = varint(&mut data);
        let field = match key & 7 {
            0 => Field::Number(varint(&mut data)),
            1 => Field::Double(f64::from_le_bytes(take(&mut data, 8).try_into().unwrap())),
            2 => {
                let len = varint(&mut data) as usize;
                Field::Bytes(take(&mut data, len).to_vec())
            }
            5 => Field::Float(f32::from_le_bytes(take(&mut data, 4).try_into().unwrap())),
            other => panic!("wire type {other}"),
        };
        found.push((key >> 3, field));
    }
    found
}

fn bytes_of(fields: &[(u64, Field)], number: u64) -> Vec<Vec<u8>> {
    let own = fields.iter().filter(|(own, _)| *own == number);
    own.filter_map(|(_, field)| if let Field::Bytes(bytes) = field { Some(bytes.clone()) } else { None }).collect()
}

/// Records of a file, both checksums right.
fn records(mut data: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while !data.is_empty() {
        let length = take(&mut data, 8);
        let sum = u32::from_le_bytes(take(&mut data, 4).try_into().unwrap());
        assert_eq!(sum, masked(length), "checksum of a length");
        let record = take(&mut data, u64::from_le_bytes(length.try_into().unwrap()) as usize);
        let sum = u32::from_le_bytes(take(&mut data, 4).try_into().unwrap());
        assert_eq!(sum, masked(record), "checksum of a record");
        found.push(record.to_vec());
    }
    found
}

/// `(step, value)` of every tag, in order; the first record must be the version.
pub(crate) fn scalars_of(data: &[u8]) -> BTreeMap<String, Vec<(u64, f32)>> {
    let mut found: BTreeMap<String, Vec<(u64, f32)>> = BTreeMap::new();
    let records = records(data);
    assert_eq!(bytes_of(&fields(&records[0]), 3), [b"brain.Event:2".to_vec()]);
    for record in &records[1..] {
        let event = fields(record);
        let Some((_, Field::Number(step))) = event.iter().find(|(number, _)| *number == 2) else { panic!("no step") };
        assert_eq!(event[0], (1, Field::Double(*step as f64)), "time is the step");
        for value in bytes_of(&fields(&bytes_of(&event, 5)[0]), 1) {
            let value = fields(&value);
            let tag = String::from_utf8(bytes_of(&value, 1)[0].clone()).unwrap();
            if let Some((_, Field::Float(scalar))) = value.iter().find(|(number, _)| *number == 2) {
                found.entry(tag).or_default().push((*step, *scalar));
            }
        }
    }
    found
}

#[test]
fn the_reader_knows_the_checksum() {
    // The vectors of RFC 3720, B.4.
    assert_eq!(crc32c(b"123456789"), 0xE306_9283);
    assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
    assert_eq!(crc32c(&[0xFF; 32]), 0x62A8_AB43);
    let ascending: Vec<u8> = (0..32).collect();
    assert_eq!(crc32c(&ascending), 0x46DD_794E);
}

#[test]
fn scalars_are_read_back() {
    let mut file = EventFile::new();
    let long = "terms/".to_string() + &"a".repeat(300);
    file.scalars(0, [("total", 1.5), (long.as_str(), -0.25)]);
    file.scalars(1, [("total", f64::NAN), ("learning_rate", f64::INFINITY)]);
    file.scalars(300_000, [("total", 0.0), ("gone", f64::NEG_INFINITY)]);
    let scalars = scalars_of(file.bytes());
    assert_eq!(scalars["total"], [(0, 1.5), (300_000, 0.0)]);
    assert_eq!(scalars[&long], [(0, -0.25)]);
    assert_eq!(scalars.len(), 2, "what is no number is left out");
    assert_eq!(records(file.bytes()).len(), 3, "a step without a number is no event");
    assert_eq!(records(EventFile::new().bytes()).len(), 1);
}

#[test]
fn pictures_are_read_back() {
    let picture = Picture::encode(&RgbImage::from_pixel(5, 3, Rgb([9, 8, 7])), 100, PictureFormat::Png).unwrap();
    let mut file = EventFile::new();
    file.picture(7, "crops/0", &picture);
    let event = fields(&records(file.bytes())[1]);
    let value = fields(&bytes_of(&fields(&bytes_of(&event, 5)[0]), 1)[0]);
    assert_eq!(bytes_of(&value, 1), [b"crops/0".to_vec()]);
    let image = fields(&bytes_of(&value, 4)[0]);
    assert_eq!(image[..3], [(1, Field::Number(3)), (2, Field::Number(5)), (3, Field::Number(3))]);
    assert_eq!(bytes_of(&image, 4), [picture.bytes().to_vec()]);
}

#[test]
fn the_file_begins_as_others_do() {
    // The first record of any event file but for its time: 24 bytes, here with a step of 0 written out.
    let file = EventFile::new();
    let record = &records(file.bytes())[0];
    assert_eq!(record[..11], [9, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0]);
    assert_eq!(&record[11..], b"\x1a\x0dbrain.Event:2");
    assert_eq!(file, EventFile::default());
}
