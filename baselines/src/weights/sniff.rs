//! Which format a file has, by its first bytes; and what it is instead.

use super::{Format, Source};
use crate::error::Result;
use crate::pickle::Pickle;

/// Bytes looked at.
const HEAD: u64 = 512;

/// `torch.save` before 1.6 begins with this number, pickled.
const TORCH_MAGIC: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// The tag of a tar archive, and where it stands.
const TAR: (usize, &[u8]) = (257, b"ustar");

/// A pickle that is no file of weights is read so far, to say what is wrong with it.
const PICKLE_HEAD: u64 = 1 << 24;

/// The format; the source is at its start afterwards.
pub(super) fn format(source: &mut Source) -> Result<Format> {
    let head = source.bytes(source.len().min(HEAD))?;
    source.seek(0)?;
    let found = match head.as_slice() {
        [] => return Err(source.refuse("an empty file")),
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Format::TorchZip,
        [0x80, 2..=3, rest @ ..] if rest.starts_with(TORCH_MAGIC) => Format::TorchLegacy,
        // Since protocol 4 a frame's opcode and length come first.
        [0x80, 4..=5, 0x95, _, _, _, _, _, _, _, _, rest @ ..] if rest.starts_with(TORCH_MAGIC) => Format::TorchLegacy,
        [0x12, 0x01, 0, 0, 0, 0, 0, 0, ..] => Format::MxNet,
        [0x80, 0..=5, ..] => return Err(source.refuse(other_pickle(source)?)),
        head if head.get(8) == Some(&b'{') => Format::Safetensors,
        head => return Err(source.refuse(instead(head))),
    };
    Ok(found)
}

fn other_pickle(source: &Source) -> Result<String> {
    let mut source = Source::open(source.path())?;
    let bytes = source.bytes(source.len().min(PICKLE_HEAD))?;
    let what = "a pickle that torch.save did not write";
    Ok(match Pickle::read(&bytes) {
        Ok(pickle) => {
            let content = pickle.refusal(pickle.root()).unwrap_or_else(|| pickle.describe(pickle.root()));
            format!("{what}: {content}")
        }
        Err(reason) => format!("{what}: {reason}"),
    })
}

fn instead(head: &[u8]) -> &'static str {
    let text = String::from_utf8_lossy(head).trim_start_matches(['\u{feff}', ' ', '\n', '\r', '\t']).to_lowercase();
    if text.starts_with("version https://git-lfs") {
        "a pointer of git-lfs, not the weights: fetch them with `git lfs pull`"
    } else if text.starts_with("<!doctype") || text.starts_with("<html") || text.starts_with("<?xml") {
        "a web page, not weights: the download gave a page to click on (Google Drive does for large files); download it in a browser"
    } else if head.get(TAR.0..).is_some_and(|rest| rest.starts_with(TAR.1)) {
        "a tar archive, as PyTorch before 0.1.10 wrote them; load and save it with a PyTorch that reads it"
    } else if head.starts_with(b"\x1f\x8b") || head.starts_with(b"BZh") || head.starts_with(b"\xfd7zXZ") {
        "a compressed file: unpack it first"
    } else if head.starts_with(b"\x89HDF") {
        "an HDF5 file, as Keras writes them: save the tensors as safetensors"
    } else {
        "no file of weights that is known here: safetensors, PyTorch's .pth, or MXNet's .params"
    }
}
