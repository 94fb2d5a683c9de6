//! Data sets in PASCAL VOC layout: reading, augmenting, batching.
