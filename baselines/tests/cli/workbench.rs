//! One small data set for all tests, and the program run on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;

use assert_cmd::Command;
use tempfile::TempDir;

/// A network and a run so small that a step takes milliseconds, and two regularizers to stack.
pub(crate) const TINY: [&str; 16] = [
    "weights=none",
    "baseline.backbone.width_divisor=32",
    "loader.batch_size=4",
    "loader.long_side=[40, 56]",
    "loader.crop=32",
    "loader.target_view.size=24",
    "train.steps=3",
    "infer.scales=[0.5, 1.0]",
    "regularizers.hsc.type=hsc",
    "regularizers.hsc.grid=[4, 4]",
    "regularizers.hsc.pixel_dim=8",
    "regularizers.hsc.region_dim=8",
    "regularizers.hsc-channel.type=hsc",
    "regularizers.hsc-channel.grid=[4, 4]",
    "regularizers.hsc-channel.roi.normalize_axis=channel",
    "regularizers.hsc-channel.region_dim=8",
];

/// A folder that goes with the test.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// What tests share. Nobody drops a static, so folders of earlier processes are removed here.
fn shared() -> &'static Path {
    static SHARED: OnceLock<PathBuf> = OnceLock::new();
    SHARED.get_or_init(|| {
        let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
        for old in std::fs::read_dir(all).unwrap().flatten() {
            let age = old.metadata().and_then(|data| data.modified()).ok().and_then(|time| time.elapsed().ok());
            if age.is_some_and(|age| age.as_secs() > 3600) {
                drop(std::fs::remove_dir_all(old.path()));
            }
        }
        let root = all.join(format!("cli-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&root));
        std::fs::create_dir(&root).unwrap();
        root
    })
}

/// 16 images of 4 classes in `train`, 4 in `val`. To be read only; [`data_copy`] is for writing.
pub(crate) fn data() -> &'static Path {
    static DATA: OnceLock<PathBuf> = OnceLock::new();
    DATA.get_or_init(|| {
        let root = shared().join("data");
        let mut command = program(&["synth", text(&root)]);
        for setting in ["train=16", "val=4", "classes=4", "size=[48, 64]", "seed=7"] {
            command.args(["--set", setting]);
        }
        succeeds(&mut command);
        root
    })
}

/// A copy of [`data`] below `folder`, to be spoilt.
pub(crate) fn data_copy(folder: &Path) -> PathBuf {
    let copy = folder.join("spoilt");
    copy_all(data(), &copy);
    copy
}

pub(crate) fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (source, target) = (entry.as_ref().unwrap().path(), to.join(entry.as_ref().unwrap().file_name()));
        if source.is_dir() {
            copy_all(&source, &target);
        } else {
            std::fs::copy(&source, &target).unwrap();
        }
    }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The program, told to be quiet. A backtrace is asked for throughout: none may show.
pub(crate) fn program(args: &[&str]) -> Command {
    let mut command = talkative();
    command.arg("--quiet").args(args);
    command
}

/// The program without an argument.
pub(crate) fn talkative() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wsss"));
    command.env("RUST_BACKTRACE", "1");
    command
}

/// The program with [`TINY`] and further settings on top.
pub(crate) fn tiny(args: &[&str], settings: &[&str]) -> Command {
    let mut command = program(args);
    for setting in TINY.iter().chain(settings) {
        command.args(["--set", setting]);
    }
    command
}

/// Runs it; it must succeed and write nothing to stderr. Returns stdout.
pub(crate) fn succeeds(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert!(status.success(), "{command:?}: {status}\n{stderr}");
    assert_eq!(stderr, "", "{command:?}");
    assert!(!stdout.is_empty(), "{command:?} says nothing");
    stdout
}

/// Runs it; it must end with this code, nothing on stdout, and one line on stderr that names all of `parts`.
pub(crate) fn fails(command: &mut Command, code: i32, parts: &[&str]) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(code), "{command:?}\n{stderr}");
    assert!(stdout.is_empty(), "{command:?}: {}", String::from_utf8_lossy(&stdout));
    assert!(stderr.starts_with("error: ") && stderr.ends_with('\n'), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "more than one line: {stderr}");
    for part in parts {
        assert!(stderr.contains(part), "`{part}` is not in: {stderr}");
    }
    stderr
}

/// As [`fails`], and what it was to make is not there.
pub(crate) fn fails_without(out: &Path, command: &mut Command, code: i32, parts: &[&str]) {
    fails(command, code, parts);
    assert!(!out.exists(), "{} is there: {:?}", out.display(), files(out).keys());
}

/// Every file below a folder by its path in it; temporary ones are a failure.
pub(crate) fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    collect(root, "", &mut found);
    let left = found.keys().find(|path| path.contains(".writing-") || path.contains(".synth-"));
    assert_eq!(left, None, "a temporary file was left");
    found
}

fn collect(folder: &Path, prefix: &str, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            collect(&path, &format!("{name}/"), found);
        } else {
            found.insert(name, std::fs::read(&path).unwrap());
        }
    }
}

/// Fails unless two folders have the same files with the same bytes, those of `parts` only.
pub(crate) fn assert_same_files(one: &Path, other: &Path, is_compared: impl Fn(&str) -> bool) {
    let (one, other) = (files(one), files(other));
    let names = |files: &BTreeMap<String, Vec<u8>>| -> Vec<String> {
        files.keys().filter(|name| is_compared(name)).cloned().collect()
    };
    assert_eq!(names(&one), names(&other));
    assert!(!names(&one).is_empty(), "nothing to compare");
    for name in names(&one) {
        assert!(one[&name] == other[&name], "{name} differs");
    }
}

/// Whether a file of a seed folder is of an image. A comparison says what its seeds were made with in its own folder, so
/// it has no `seeds.json`.
pub(crate) fn is_of_an_image(name: &str) -> bool {
    name != "seeds.json"
}

/// A run of `hsc` over 3 steps, and its seeds; to be read only.
pub(crate) struct Trained {
    pub(crate) run: PathBuf,
    pub(crate) seeds: PathBuf,
}

impl Trained {
    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.run.join("checkpoint.safetensors")
    }
}

pub(crate) fn trained() -> &'static Trained {
    static TRAINED: OnceLock<Trained> = OnceLock::new();
    TRAINED.get_or_init(|| {
        let (run, seeds) = (shared().join("run"), shared().join("seeds"));
        let args = ["train", "--data", text(data()), "--out", text(&run), "--regularizers", "hsc"];
        succeeds(&mut tiny(&args, &[]));
        let trained = Trained { run, seeds };
        let checkpoint = trained.checkpoint();
        let out = text(&trained.seeds);
        succeeds(&mut program(&["seeds", "--checkpoint", text(&checkpoint), "--data", text(data()), "--out", out]));
        trained
    })
}
