//! Python's pickles as data, and the label files made of them.

mod hostile;
mod labels;
mod maps;
mod real;

use std::path::PathBuf;

pub(crate) fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/pickle/fixtures").join(name)
}

/// Every shorter file, then the file with a bit flipped at every place.
pub(crate) fn spoilt(whole: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let cut = (0..whole.len()).map(|len| whole[..len].to_vec());
    let flipped = (0..whole.len()).flat_map(|at| {
        [1, 0x80, 0xff].map(|bits| {
            let mut bytes = whole.to_vec();
            bytes[at] ^= bits;
            bytes
        })
    });
    cut.chain(flipped)
}
