//! Zip archives: `<any folder>/data.pkl`, and a file per storage in `<the same folder>/data/`.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::rebuild::StorageRef;
use super::{Format, Storages, Weights, assemble, byte_len};
use crate::error::{Error, Result};
use crate::pickle::Pickle;
use crate::weights::source::Source;

/// The pickle in its folder.
const PICKLE: &str = "data.pkl";

/// Largest pickle; that of a network of a thousand tensors has a hundred thousand bytes.
const MAX_PICKLE: u64 = 1 << 28;

/// A compressed archive may unpack to so many times its size, and to so much more.
const MAX_RATIO: u64 = 64;
const ALWAYS_ALLOWED: u64 = 1 << 26;

/// Reads the archive.
pub(in crate::weights) fn read(source: Source) -> Result<Weights> {
    let (path, len) = (source.path().to_path_buf(), source.len());
    let refuse = |reason: String| Error::data(&path, reason);
    let zip = ZipArchive::new(source.into_file()?).map_err(|err| unreadable(&path, "the archive", &err))?;
    let mut archive = Archive { folder: String::new(), zip, path: path.clone(), len, unpacked: 0 };
    let names: Vec<String> = archive.zip.file_names().flatten().map(|name| name.into_owned()).collect();
    let is_pickle = |name: &&String| *name == PICKLE || name.ends_with(&format!("/{PICKLE}"));
    let Some(pickle) = names.iter().filter(is_pickle).min_by_key(|name| (name.len(), (*name).clone())) else {
        return Err(refuse(format!("a zip archive without {PICKLE}: torch.save did not write it")));
    };
    archive.folder = pickle[..pickle.len() - PICKLE.len()].to_string();
    let there = |name: &str| names.iter().any(|known| *known == format!("{}{name}", archive.folder));
    if there("constants.pkl") {
        return Err(refuse("a TorchScript archive; save the state_dict() of the network instead".to_string()));
    }
    if there("byteorder") && archive.small_file("byteorder")?.starts_with(b"big") {
        return Err(refuse("written on a big-endian machine, which is not read".to_string()));
    }
    let bytes = archive.small_file(PICKLE)?;
    let pickle = Pickle::read(&bytes).map_err(|reason| refuse(format!("{PICKLE}: {reason}")))?;
    assemble(&path, Format::TorchZip, &pickle, &mut archive)
}

struct Archive {
    folder: String,
    zip: ZipArchive<BufReader<File>>,
    path: PathBuf,
    /// Bytes of the whole archive.
    len: u64,
    /// Bytes read out of it so far.
    unpacked: u64,
}

// What the library says, without the words that any zip program would say.
fn unreadable(path: &Path, what: &str, err: &ZipError) -> Error {
    Error::data(path, format!("cut off or damaged: {what} cannot be read ({err})"))
}

impl Archive {
    fn small_file(&mut self, name: &str) -> Result<Vec<u8>> {
        let name = format!("{}{name}", self.folder);
        let file = self.zip.by_name(&name).map_err(|err| unreadable(&self.path, &name, &err))?;
        let mut bytes = Vec::new();
        // As long as it really is, whatever it says.
        file.take(MAX_PICKLE + 1).read_to_end(&mut bytes).map_err(|err| unreadable(&self.path, &name, &err.into()))?;
        if bytes.len() as u64 > MAX_PICKLE {
            return Err(Error::data(&self.path, format!("{name} has more than {MAX_PICKLE} bytes")));
        }
        Ok(bytes)
    }
}

impl Storages for Archive {
    fn read(&mut self, storage: &StorageRef) -> Result<Vec<f32>> {
        let name = format!("{}data/{}", self.folder, storage.key);
        let mut file = self.zip.by_name(&name).map_err(|err| unreadable(&self.path, &name, &err))?;
        let bytes = byte_len(storage.len, storage.element);
        if file.size() != bytes {
            let reason = format!("damaged: storage {name} has {} bytes instead of {bytes}", file.size());
            return Err(Error::data(&self.path, reason));
        }
        let most = match file.compression() {
            CompressionMethod::Stored => self.len,
            _ => self.len.saturating_mul(MAX_RATIO).saturating_add(ALWAYS_ALLOWED),
        };
        self.unpacked = self.unpacked.saturating_add(bytes);
        if self.unpacked > most {
            return Err(Error::data(
                &self.path,
                format!("storage {name}: the archive unpacks to more than {most} bytes"),
            ));
        }
        let values = storage.element.read(&mut file, storage.len);
        let values = values.map_err(|err| unreadable(&self.path, &name, &err.into()))?;
        // The check sum is compared when the end is seen.
        match file.read(&mut [0]) {
            Ok(0) => Ok(values),
            Ok(_) => Err(Error::data(&self.path, format!("damaged: storage {name} is longer than it says"))),
            Err(err) => Err(unreadable(&self.path, &name, &err.into())),
        }
    }
}
