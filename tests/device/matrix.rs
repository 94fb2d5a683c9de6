//! All public operations on all types: nobody adds one that runs on the CPU only, or in one precision only, without saying
//! why.

use std::path::Path;
use std::{fs, io};

use candle_core::{DType, Tensor};
use candle_wsss::Result;
use candle_wsss::ops::{
    Conv2dSpec, Corners, DepthwiseSpec, MaxPool2dSpec, Order, abs, affine, affine_relu, clamp, conv2d,
    depthwise_conv2d, max_keepdim, max_pool2d, min_keepdim, relu, resize_bilinear, resize_nearest, soft_margin, top_k,
    unit, unit_added,
};
use candle_wsss::testing::assert_close;

use super::support::{normal, tolerance};

/// Public functions of the module that are not run on devices, and why not.
const NOT_ON_DEVICES: [(&str, &str); 5] = [
    ("convolution_precision", "a setting"),
    ("set_convolution_precision", "a setting"),
    ("cuda_device", "gives the device"),
    ("poison_buffers", "a tool for tests"),
    ("refine_label_pair", "images of bytes are refined on the CPU, by the lattice"),
];

/// What an operation does to tensors of some shapes.
struct Case {
    name: &'static str,
    shapes: &'static [&'static [usize]],
    run: fn(&[Tensor]) -> Result<Tensor>,
}

const MAP: &[usize] = &[2, 3, 6, 5];

const CASES: [Case; 16] = [
    Case { name: "relu", shapes: &[MAP], run: |x| relu(&x[0]) },
    Case { name: "abs", shapes: &[MAP], run: |x| abs(&x[0]) },
    Case { name: "clamp", shapes: &[MAP], run: |x| clamp(&x[0], -0.5, 0.5) },
    Case { name: "affine", shapes: &[MAP, &[3], &[3]], run: |x| affine(&x[0], &x[1], &x[2]) },
    Case { name: "affine_relu", shapes: &[MAP, &[3], &[3]], run: |x| affine_relu(&x[0], &x[1], &x[2]) },
    Case { name: "unit", shapes: &[MAP], run: |x| unit(&x[0], 1, 1e-3) },
    Case { name: "unit_added", shapes: &[MAP], run: |x| unit_added(&x[0], 1, 1e-3) },
    Case { name: "max_keepdim", shapes: &[MAP], run: |x| max_keepdim(&x[0], 1) },
    Case { name: "min_keepdim", shapes: &[MAP], run: |x| min_keepdim(&x[0], 3) },
    Case { name: "top_k", shapes: &[MAP], run: |x| Ok(top_k(&x[0], 2, Order::Largest)?.values) },
    Case { name: "soft_margin", shapes: &[&[4, 5]], run: |x| soft_margin(&x[0], &x[0].zeros_like()?) },
    Case { name: "resize_bilinear", shapes: &[MAP], run: |x| resize_bilinear(&x[0], (9, 4), Corners::Aligned) },
    Case { name: "resize_nearest", shapes: &[MAP], run: |x| resize_nearest(&x[0], (9, 4)) },
    Case {
        name: "max_pool2d",
        shapes: &[MAP],
        run: |x| max_pool2d(&x[0], MaxPool2dSpec { kernel: 3, stride: 2, padding: 1 }),
    },
    Case {
        name: "conv2d",
        shapes: &[MAP, &[4, 3, 3, 3]],
        run: |x| conv2d(&x[0], &x[1], Conv2dSpec { padding: 1, ..Conv2dSpec::default() }),
    },
    Case {
        name: "depthwise_conv2d",
        shapes: &[MAP, &[3, 1, 3, 3]],
        run: |x| depthwise_conv2d(&x[0], &x[1], DepthwiseSpec { padding: 1, ..DepthwiseSpec::default() }),
    },
];

/// Names that the module makes public; those of functions are lower case.
fn public_functions() -> io::Result<Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("src/ops/mod.rs"))?;
    let uses = text.split("pub use ").skip(1).filter_map(|rest| rest.split(';').next());
    // What follows the module's name, with or without braces.
    let names = uses.filter_map(|one| one.split_once("::")).flat_map(|(_, names)| names.split(','));
    let names = names.map(|name| name.trim_matches(|c: char| c.is_whitespace() || c == '{' || c == '}').to_string());
    let is_operation =
        |name: &String| name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.ends_with("emulated");
    Ok(names.filter(is_operation).collect())
}

/// The code of the device tests.
fn device_tests() -> io::Result<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/device");
    let files = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?.into_iter().map(|file| file.path());
    files.filter(|path| path.extension().is_some()).map(fs::read_to_string).collect()
}

fn missing(functions: &[String], tests: &str) -> Vec<String> {
    let is_tested = |name: &str| {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let is_word = |at: usize| !tests[..at].ends_with(is_part) && !tests[at + name.len()..].starts_with(is_part);
        tests.match_indices(name).any(|(at, _)| is_word(at)) || NOT_ON_DEVICES.iter().any(|(other, _)| *other == name)
    };
    // The forms out of candle's operations run wherever those do.
    functions.iter().filter(|name| !name.ends_with("composed") && !is_tested(name)).cloned().collect()
}

#[test]
fn every_operation_is_tested_on_devices() {
    let functions = public_functions().unwrap();
    assert!(CASES.iter().all(|case| functions.iter().any(|name| name == case.name)), "{functions:?}");
    let missing = missing(&functions, &device_tests().unwrap());
    assert!(missing.is_empty(), "no test in tests/device names these operations: {missing:?}");
}

#[test]
fn operations_without_a_test_are_found() {
    let names = ["relu", "no_such", "set_convolution_precision", "other_composed"].map(str::to_string);
    assert_eq!(missing(&names, "relu(x) and not_no_such(x)"), ["no_such"]);
}

/// On the CPU, float16 and bfloat16 give what float32 gives for the same numbers, within the rounding of what is stored.
#[test]
fn halves_agree_with_float32() -> Result<()> {
    for Case { name, shapes, run } in &CASES {
        for dtype in [DType::F16, DType::BF16] {
            let inputs = shapes.iter().enumerate().map(|(i, dims)| normal(&i.to_string(), dims, dtype));
            let inputs = inputs.collect::<Result<Vec<Tensor>>>()?;
            let wide = inputs.iter().map(|x| Ok(x.to_dtype(DType::F32)?)).collect::<Result<Vec<Tensor>>>()?;
            let got = run(&inputs)?;
            assert_eq!(got.dtype(), dtype, "{name}");
            assert_close(&format!("{name} {dtype:?}"), &got, &run(&wide)?, tolerance(dtype))?;
        }
    }
    Ok(())
}
