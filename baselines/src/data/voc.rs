//! What is known of PASCAL VOC 2012: its classes, its lists, its names.

/// PASCAL VOC's classes in their order.
pub const VOC_CLASSES: &[&str] = &[
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
];

/// Lists of images VOC itself has masks of.
pub(super) const OWN_LISTS: [&str; 3] = ["train", "val", "trainval"];

/// Lists everybody reports on, and how many images they have: three of VOC, and its training list with SBD's images.
const LIST_LENGTHS: [(&str, usize); 5] =
    [("train", 1464), ("val", 1449), ("trainval", 2913), ("trainaug", 10582), ("train_aug", 10582)];

/// Images VOC has in the list of this name.
pub(super) fn list_length(split: &str) -> Option<usize> {
    LIST_LENGTHS.iter().find(|(name, _)| *name == split).map(|(_, len)| *len)
}

/// Whether all images have names as VOC gives them: year and number, `2007_000032`.
pub(super) fn are_vocs(names: &[&str]) -> bool {
    const YEAR: usize = 4;
    const LEN: usize = "2007_000032".len();
    let is_vocs = |name: &str| {
        let fits = |(at, byte): (usize, u8)| if at == YEAR { byte == b'_' } else { byte.is_ascii_digit() };
        name.len() == LEN && name.bytes().enumerate().all(fits)
    };
    !names.is_empty() && names.iter().all(|name| is_vocs(name))
}
