//! Files that are there whole or not at all.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use tempfile::NamedTempFile;

use crate::error::{Error, Result};

/// Writes a file through a temporary one in the same folder, then renames it over `path`.
///
/// A run that is stopped, or a disk that fills up, leaves the old file (or none) rather than half a new one. Several
/// writers of one path do not mix: the last to finish wins.
///
/// # Errors
/// Those of the file system and of `write`; `path` is untouched then.
///
/// ```
/// use candle_wsss_baselines::data::write_atomic;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("metrics.txt");
/// write_atomic(&path, |file| writeln!(file, "mIoU 50.0"))?;
/// assert_eq!(std::fs::read_to_string(&path)?, "mIoU 50.0\n");
///
/// let failed = write_atomic(&path, |file| {
///     write!(file, "half a li")?;
///     Err(std::io::Error::other("no more room"))
/// });
/// assert!(failed.unwrap_err().to_string().ends_with("metrics.txt: no more room"));
/// assert_eq!(std::fs::read_to_string(&path)?, "mIoU 50.0\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_atomic(path: impl AsRef<Path>, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let path = path.as_ref();
    temporary(path, write)?.persist(path).map_err(|err| Error::io(path)(err.error))?;
    Ok(())
}

/// As [`write_atomic`], unless there is a file of that name: then it stays, and `false` is returned.
///
/// Of several processes that begin at the same time one writes, and the others find the whole file.
///
/// # Errors
/// Those of the file system and of `write`.
pub fn write_atomic_new(path: impl AsRef<Path>, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<bool> {
    let path = path.as_ref();
    match temporary(path, write)?.persist_noclobber(path) {
        Ok(_) => Ok(true),
        Err(err) if err.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(err) => Err(Error::io(path)(err.error)),
    }
}

/// What the names of unfinished files begin with.
pub(crate) const UNFINISHED: &str = ".writing-";

/// The whole file under another name beside `path`.
fn temporary(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<NamedTempFile> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED);
    // The default is for secrets: only the owner may read. The umask still applies.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder).map_err(Error::io(path))?;
    let written = (|| {
        let mut buffered = BufWriter::new(file.as_file_mut());
        write(&mut buffered)?;
        buffered.flush()?;
        drop(buffered);
        // Without it a power cut can leave the new name with none of the new content.
        file.as_file().sync_all()
    })();
    written.map_err(Error::io(path))?;
    Ok(file)
}
