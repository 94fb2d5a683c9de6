use std::io::Write as _;
use std::path::Path;

use candle_wsss_baselines::weights::read_weights;

use super::{fixture, read};
use crate::cli::workbench::folder;

fn refused(bytes: &[u8], parts: &[&str]) {
    let err = read(bytes).map(|weights| weights.tensors.len()).unwrap_err();
    assert_eq!(err.exit_code(), 3, "{err}");
    let message = err.to_string();
    assert!(!message.contains('\n'), "{message}");
    for part in ["weights.bin: "].iter().chain(parts) {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

#[test]
fn what_is_no_file_of_weights() {
    let mut tar = vec![0; 512];
    tar[257..262].copy_from_slice(b"ustar");
    for (bytes, part) in [
        (&b""[..], "an empty file"),
        (b"<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title>", "a web page, not weights"),
        (b"\n  <html lang=\"en\">", "a web page, not weights"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 123\n", "git lfs pull"),
        (b"\x1f\x8b\x08\x00", "unpack it first"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (&tar, "a tar archive"),
        (b"hello", "no file of weights that is known here"),
        (b"{\"metadata\": {}}", "no file of weights that is known here"),
        (b"\x93NUMPY\x01\x00v\x00", "no file of weights that is known here"),
        (b"\x80\x02]K\x01a.", "a pickle that torch.save did not write: a list of 1"),
        (
            b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02ls\x85R.",
            "`posix.system` is no constructor of tensors or arrays",
        ),
        (b"\x80\x02cmy.code\nNet\n)\x81.", "`my.code.Net` is no constructor of tensors or arrays"),
        (b"PK\x03\x04 cut off", "cut off or damaged"),
    ] {
        refused(bytes, &[part]);
    }
    let err = read_weights(Path::new("/nowhere/vgg16.pth")).unwrap_err();
    assert_eq!(err.to_string(), "/nowhere/vgg16.pth: expected weights, there is no such file");
    let place = folder();
    let err = read_weights(place.path()).unwrap_err();
    assert!(err.to_string().ends_with("expected a file of weights, this is a folder"), "{err}");
}

#[test]
fn what_torch_saves_beside_tables() {
    for (name, part) in [
        (
            "network.pth",
            "`torch.nn.modules.linear.Linear` is no constructor of tensors or arrays; nothing was executed; \
                         if a whole network was saved, save its state_dict() instead",
        ),
        ("script.pth", "a TorchScript archive; save the state_dict() of the network instead"),
        ("sparse.pth", "tensor `a`: made by `torch._utils._rebuild_sparse_tensor`, which is not read"),
    ] {
        refused(&std::fs::read(fixture(name)).unwrap(), &[part]);
    }
}

/// An archive as torch.save makes it, with a pickle and a storage of one's own.
fn archive(pickle: &[u8], storages: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(&mut bytes));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    zip.start_file("a/data.pkl", options).unwrap();
    zip.write_all(pickle).unwrap();
    for (name, values) in storages {
        zip.start_file(format!("a/{name}"), options).unwrap();
        zip.write_all(values).unwrap();
    }
    zip.finish().unwrap();
    bytes
}

/// A dictionary with the tensor `w`, a view of the storage `0` of so many floats.
fn tensor(storage: &str, offset: &[u8], shape: &[u8], stride: &[u8]) -> Vec<u8> {
    let mut pickle = b"\x80\x02}".to_vec();
    pickle.extend(b"U\x01w");
    pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n(");
    pickle.extend(format!("(U\u{7}storagectorch\n{storage}\nU\u{1}0U\u{3}cpu").into_bytes());
    pickle.extend(b"K\x04tQ");
    pickle.extend([offset, shape, stride].concat());
    pickle.extend(b"\x89NtRs.");
    pickle
}

const FOUR: (&str, &[u8]) = ("data/0", &[0; 16]);

#[test]
fn tensors_that_lie_outside_of_their_storage() {
    let float = "FloatStorage";
    let whole = archive(&tensor(float, b"K\x00", b"K\x02K\x02\x86", b"K\x02K\x01\x86"), &[FOUR]);
    assert_eq!(read(&whole).unwrap().num_values(), 4);
    let huge = b"\x8a\x07\xff\xff\xff\xff\xff\xff\x7f";
    let huge_shape = [&huge[..], b"\x85"].concat();
    for (pickle, part) in [
        (tensor(float, b"K\x01", b"K\x02K\x02\x86", b"K\x02K\x01\x86"), "tensor `w`: it reaches beyond its storage"),
        (tensor(float, b"K\x00", b"K\x02K\x02\x86", b"K\x03K\x01\x86"), "tensor `w`: it reaches beyond its storage"),
        (tensor(float, b"J\xff\xff\xff\xff", b"K\x01\x85", b"K\x01\x85"), "tensor `w`: an offset that is no size"),
        (tensor(float, huge, b"K\x01\x85", b"K\x01\x85"), "tensor `w`: it reaches beyond its storage"),
        (tensor(float, b"K\x00", b"J\xff\xff\xff\xff\x85", b"K\x01\x85"), "tensor `w`: a shape that is no tuple"),
        (tensor(float, b"K\x00", b"K\x02\x85", b")"), "tensor `w`: strides that do not fit the shape"),
        (tensor(float, b"K\x00", &huge_shape, b"K\x00\x85"), "many times the values that are in the file"),
        (tensor("QInt8Storage", b"K\x00", b"K\x01\x85", b"K\x01\x85"), "a storage of type `torch.QInt8Storage`"),
        (tensor("DoubleStorage", b"K\x00", b"K\x01\x85", b"K\x01\x85"), "storage a/data/0 has 16 bytes instead of 32"),
        (b"\x80\x02}U\x01wctorch._utils\n_rebuild_tensor_v2\n)Rs.".to_vec(), "tensor `w`: a tensor without its shape"),
        (b"\x80\x02cos\nsystem\nU\x02ls\x85R.".to_vec(), "data.pkl: `os.system` is no constructor"),
        (b"\x80\x02}U\x01wK\x01s.".to_vec(), "no tensor in it, but `w` (the number 1)"),
        (b"\x80\x02].".to_vec(), "expected a dictionary of tensors, got a list of 0"),
        (b"\x80\x02}.".to_vec(), "no tensor in it, but a dictionary of 0"),
    ] {
        refused(&archive(&pickle, &[FOUR]), &[part]);
    }
    refused(&archive(&tensor(float, b"K\x00", b"K\x01\x85", b"K\x01\x85"), &[]), &["a/data/0 cannot be read"]);
    let big = archive(&tensor(float, b"K\x00", b"K\x01\x85", b"K\x01\x85"), &[FOUR, ("byteorder", b"big")]);
    refused(&big, &["big-endian"]);
}

#[test]
fn strides_and_sides_beyond_all_numbers() {
    let float = "FloatStorage";
    // A stride that is never walked may be anything, and a side of none leaves nothing of the others.
    let endless: &[u8] = b"\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x00";
    let strides = [b"K\x02", endless, b"\x86"].concat();
    let weights = read(&archive(&tensor(float, b"K\x00", b"K\x02K\x01\x86", &strides), &[FOUR])).unwrap();
    assert_eq!((weights.tensors[0].tensor.dims(), weights.num_values()), (&[2, 1][..], 2));
    let half: &[u8] = b"\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x80\x00";
    for sides in [[b"K\x00", half, half], [half, half, b"K\x00"]] {
        let shape = [&sides.concat()[..], b"\x87"].concat();
        let pickle = tensor(float, b"K\x00", &shape, b"K\x01K\x01K\x01\x87");
        refused(&archive(&pickle, &[FOUR]), &["tensor `w`: shape [", "9223372036854775808", "is larger than memory"]);
    }
    let empty = tensor(float, b"K\x00", b"K\x03K\x00\x86", b"K\x01K\x01\x86");
    assert_eq!(read(&archive(&empty, &[FOUR])).unwrap().tensors[0].tensor.dims(), [3, 0]);
}

#[test]
fn tables_within_tables_without_end() {
    // A dictionary that is its own `model`, and one of ten dictionaries of ten, sixty deep.
    refused(&archive(b"\x80\x02}q\x00U\x05modelh\x00s.", &[]), &["no tensor in it"]);
    let mut laughs = b"\x80\x02}q\x00".to_vec();
    for level in 0..60_u8 {
        laughs.extend(b"}(");
        for index in 0..100_u8 {
            laughs.extend([b'K', index, b'h', level]);
        }
        laughs.extend([b'u', b'q', level + 1]);
    }
    laughs.push(b'.');
    refused(&archive(&laughs, &[]), &["tables within tables"]);
}

#[test]
fn damaged_files_of_mxnet() {
    let whole = std::fs::read(fixture("small-V1.params")).unwrap();
    let changed = |at: usize, bytes: &[u8]| {
        let mut changed = whole.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };
    refused(&changed(16, &u64::MAX.to_le_bytes()), &["damaged: 18446744073709551615 arrays are announced"]);
    refused(&changed(28, &40_u32.to_le_bytes()), &["array 0 has 40 sides"]);
    refused(&changed(32, &u64::MAX.to_le_bytes()), &["damaged: array 0 has shape"]);
    refused(&changed(32, &(1_u64 << 40).to_le_bytes()), &["bytes are announced at byte"]);
    refused(&changed(56, &11_i32.to_le_bytes()), &["array 0 has elements of the unknown type 11"]);
    let sparse = std::fs::read(fixture("small-V2.params")).unwrap();
    let mut sparse = sparse.clone();
    sparse[28] = 1;
    refused(&sparse, &["array 0 is sparse"]);
    refused(&whole[..whole.len() - 1], &["cut off or damaged: 10 bytes are announced"]);
}

#[test]
fn damaged_files_of_safetensors() {
    let whole = std::fs::read(fixture("content.safetensors")).unwrap();
    let announced = format!("cut off or damaged: {} bytes are announced, it has {}", whole.len(), whole.len() - 1);
    refused(&whole[..whole.len() - 1], &[&announced]);
    refused(&whole[..50], &["bytes are announced at byte 8, 42 are left"]);
    let with = |header: &str, values: usize| {
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; values]].concat()
    };
    refused(&with("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4), &["damaged"]);
    refused(
        &with("{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2),
        &["tensor `a` is of type F8_E4M3"],
    );
    refused(&with("{\"a\":3}", 0), &["damaged header"]);
    refused(&with("{}", 0), &["without a tensor"]);
    refused(&[&u64::MAX.to_le_bytes()[..], b"{"].concat(), &["a header of 18446744073709551615 bytes"]);
}
