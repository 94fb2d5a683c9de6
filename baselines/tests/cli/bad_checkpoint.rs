//! Checkpoints that do not fit: exit code 3, file and tensor named, nothing made.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_wsss_baselines::train::checkpoint::{self, Checkpoint};

use crate::cli::workbench::{copy_all, data, fails, fails_without, files, folder, program, text, tiny, trained};

type Tensors = BTreeMap<String, Tensor>;

/// All tensors of the shared checkpoint under the keys of the file, changed, in a new file.
fn changed(path: &Path, change: impl FnOnce(&mut Tensors)) {
    let saved = Checkpoint::read(&trained().checkpoint(), &Device::Cpu).unwrap();
    let mut tensors: Tensors = saved.parameters;
    tensors.extend(saved.memory.into_iter().map(|(key, tensor)| (format!("memory.{key}"), tensor)));
    tensors.extend(saved.velocity.into_iter().map(|(key, tensor)| (format!("optim.{key}"), tensor)));
    change(&mut tensors);
    checkpoint::write(path, tensors.into_iter().collect(), &saved.info).unwrap();
}

fn reshaped(tensors: &mut Tensors, key: &str) {
    let tensor = tensors[key].flatten_all().unwrap().unsqueeze(0).unwrap();
    tensors.insert(key.to_string(), tensor);
}

/// Inferring from it and going on with it are refused, with the same reason.
fn is_refused(write: impl FnOnce(&Path), parts: &[&str]) {
    let place = folder();
    let run = place.path().join("run");
    copy_all(&trained().run, &run);
    let path = run.join("checkpoint.safetensors");
    write(&path);
    let before = files(&run);
    let parts: Vec<&str> = [text(&path)].iter().chain(parts).copied().collect();
    let out = place.path().join("seeds");
    let args = ["seeds", "--checkpoint", text(&path), "--data", text(data()), "--out", text(&out)];
    fails_without(&out, &mut program(&args), 3, &parts);
    let args = ["train", "--data", text(data()), "--out", text(&run), "--regularizers", "hsc", "--resume"];
    fails(&mut tiny(&args, &[]), 3, &parts);
    assert!(files(&run) == before, "a refused run was changed");
}

#[test]
fn missing_tensor() {
    for key in ["model.b3.conv_branch1.weight", "model.fc8.weight", "hsc.extra_F.0.bias"] {
        is_refused(
            |path| changed(path, |tensors| drop(tensors.remove(key).unwrap())),
            &[&format!("`{key}`"), "missing"],
        );
    }
    for key in ["hsc.roi.target", "hsc.pixel.source"] {
        let remove = |tensors: &mut Tensors| drop(tensors.remove(&format!("memory.{key}")).unwrap());
        is_refused(|path| changed(path, remove), &[&format!("`{key}`"), "missing"]);
    }
    let key = "optim.model.fc8.weight";
    is_refused(|path| changed(path, |tensors| drop(tensors.remove(key).unwrap())), &[&format!("`{key}`"), "missing"]);
}

#[test]
fn surplus_tensor() {
    let extra = Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap();
    for (key, named) in [
        ("model.b9.weight", "`model.b9.weight`"),
        ("other.weight", "`other.weight`"),
        ("hsc.extra_F.2.weight", "`hsc.extra_F.2.weight`"),
        ("memory.hsc.roi.middle", "`hsc.roi.middle`"),
        ("memory.ppc.bank", "`ppc.bank`"),
        ("optim.model.bn7.weight", "`optim.model.bn7.weight`"),
    ] {
        is_refused(|path| changed(path, |tensors| drop(tensors.insert(key.to_string(), extra.clone()))), &[named]);
    }
}

#[test]
fn misshapen_tensor() {
    for (key, named) in [
        ("model.fc8.weight", "`model.fc8.weight`"),
        ("hsc.proj_fc.weight", "`hsc.proj_fc.weight`"),
        ("memory.hsc.class.source", "`hsc.class.source`"),
        ("optim.model.f9.weight", "`optim.model.f9.weight`"),
    ] {
        is_refused(|path| changed(path, |tensors| reshaped(tensors, key)), &[named, "expected shape [", "got [1, "]);
    }
}

#[test]
fn no_checkpoint_at_all() {
    let unreadable = "no readable safetensors file";
    let whole = std::fs::read(trained().checkpoint()).unwrap();
    for length in [whole.len() - 1, whole.len() / 2, 100, 4, 0] {
        is_refused(|path| std::fs::write(path, &whole[..length]).unwrap(), &[unreadable]);
    }
    is_refused(|path| std::fs::write(path, "PK\u{3}\u{4} a zip file, as PyTorch writes it").unwrap(), &[unreadable]);
    let place = folder();
    let (path, out) = (place.path().join("none.safetensors"), place.path().join("seeds"));
    let args = ["seeds", "--checkpoint", text(&path), "--data", text(data()), "--out", text(&out)];
    fails_without(&out, &mut program(&args), 3, &[text(&path), "expected a checkpoint, there is no such file"]);
}

fn with_metadata(path: &Path, metadata: Option<&str>) {
    let tensor = Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap();
    let metadata = metadata.map(|json| HashMap::from([("candle-wsss".to_string(), json.to_string())]));
    std::fs::write(path, safetensors::serialize([("model.fc8.weight", tensor)], metadata).unwrap()).unwrap();
}

#[test]
fn another_format() {
    is_refused(|path| with_metadata(path, None), &["no checkpoint of this program", "`candle-wsss`"]);
    let newer = "{\"format\":\"candle-wsss/2\",\"steps_taken\":3}";
    is_refused(|path| with_metadata(path, Some(newer)), &["expected format candle-wsss/1, got candle-wsss/2"]);
    is_refused(|path| with_metadata(path, Some("{\"format\":\"candle-wsss/1\"}")), &["metadata", "`step`"]);
    is_refused(|path| with_metadata(path, Some("3 steps")), &["metadata `candle-wsss`"]);
}

/// Start weights are checked as far as the run has a use for them.
#[test]
fn start_weights_that_do_not_fit() {
    let place = folder();
    let (start, out) = (place.path().join("start.safetensors"), place.path().join("out"));
    let weights = format!("weights={}", text(&start));
    let refuses = |parts: &[&str]| {
        let parts: Vec<&str> = [text(&start)].iter().chain(parts).copied().collect();
        for verb in ["train", "compare"] {
            let args = [verb, "--data", text(data()), "--out", text(&out)];
            fails_without(&out, &mut tiny(&args, &[&weights]), 3, &parts);
        }
    };
    refuses(&["expected start weights, there is no such file"]);
    let key = "model.b4.conv_branch2a.weight";
    changed(&start, |tensors| drop(tensors.remove(key).unwrap()));
    refuses(&[&format!("`{key}`")]);
    changed(&start, |tensors| reshaped(tensors, key));
    refuses(&[&format!("`{key}`"), "expected shape [", "got [1, "]);
    changed(&start, |tensors| drop(tensors.insert("model.b9.weight".to_string(), tensors[key].clone())));
    refuses(&["`model.b9.weight`"]);
}
