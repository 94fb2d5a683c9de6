//! `wsss weights`.

use candle_wsss_baselines::weights::read_weights;

use super::{fixture, json};
use crate::cli::workbench::{fails, fails_without, folder, program, succeeds, text};

#[test]
fn inspect_lists_every_tensor() {
    let path = fixture("checkpoint.pth");
    let said = succeeds(&mut program(&["weights", "inspect", text(&path)]));
    assert!(said.starts_with(&format!("{}: PyTorch (zip archive), 16 tensors, ", path.display())), "{said}");
    for part in
        ["conv.weight ", "  float32   [2, 3, 4]\n", "  bfloat16  [2]\n", "\nnot tensors: `epoch` (the number 3), "]
    {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
    let said = succeeds(&mut program(&["weights", "inspect", text(&path), "--json"]));
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said["num_tensors"], &said["format"]), (&16.into(), &"PyTorch (zip archive)".into()));
    assert_eq!(
        said["tensors"][0],
        serde_json::json!({"name": "conv.weight", "stored_as": "float32", "shape": [2, 3, 4]})
    );
    let page = fixture("make.py");
    fails(&mut program(&["weights", "inspect", text(&page)]), 3, &[text(&page), "no file of weights"]);
}

#[test]
fn convert_renames_and_refuses() {
    let place = folder();
    let out = place.path().join("new/resnet38.safetensors");
    let file = fixture("resnet38.params");
    let convert = |backbone: &str, settings: &[&str]| {
        let mut command = program(&["weights", "convert", text(&file), "--backbone", backbone, "--out", text(&out)]);
        for setting in settings {
            command.args(["--set", setting]);
        }
        command
    };
    fails_without(
        &out,
        &mut convert("resnet38d", &[]),
        3,
        &[text(&file), "resnet38d trunk", "expected shape [64, 3, 3, 3]"],
    );
    fails_without(&out, &mut convert("vgg16", &[]), 3, &[text(&file), "none of its tensors", "`features.0.bias`"]);
    fails_without(&out, &mut convert("vgg19", &[]), 2, &["--backbone", "vgg19", "squeezenet1_0"]);
    fails_without(&out, &mut convert("resnet38d", &["width=3"]), 2, &["--set width=3", "unknown field `width`"]);
    fails_without(&out, &mut convert("resnet38d", &["width_divisor=0"]), 2, &["`backbone.width_divisor`", "is 0"]);
    let said = succeeds(&mut convert("resnet38d", &["width_divisor=64"]));
    let count = json("resnet38.json").as_object().unwrap().len();
    for part in [
        "resnet38d trunk, names of MXNet's ResNet-38\n".to_string(),
        "  arg:res2b1_branch2a_weight  ".to_string(),
        format!("\n{count} mapped, 0 missing, 2 surplus\n"),
        "arg:linear1000_weight, arg:linear1000_bias".to_string(),
    ] {
        assert!(said.contains(&part), "`{part}` is not in: {said}");
    }
    let names: Vec<String> = read_weights(&out).unwrap().tensors.into_iter().map(|named| named.name).collect();
    assert_eq!(names.len(), count);
    assert!(names.contains(&"b7.conv_branch2b2.weight".to_string()));
    fails(&mut convert("resnet38d", &["width_divisor=64"]), 2, &[text(&out), "exists already"]);
}

#[test]
fn convert_without_a_trunk_keeps_the_names() {
    let place = folder();
    let out = place.path().join("all.safetensors");
    let file = fixture("legacy2.pth");
    let said = succeeds(&mut program(&["weights", "convert", text(&file), "--out", text(&out)]));
    assert!(said.starts_with("16 tensors under their own names"), "{said}");
    assert_eq!(read_weights(&out).unwrap().tensors[0].name, "conv.weight");
}
