//! COCO's format: labels, masks as the COCO API draws them, and every way a file can be bad.

mod bad_input;
mod hostile;
mod labels;
mod masks;
mod scratch;
