//! Run lengths of masks: COCO's characters to numbers, and whether they fill an image.

use std::ops::Range;

/// Runs that are on, as places in the image counted column by column.
///
/// Lengths are of runs off and on in turns. Their sum is checked by [`check_sum`].
pub(super) fn runs_of_lengths(lengths: impl IntoIterator<Item = u32>, mut draw: impl FnMut(Range<usize>)) {
    let mut at = 0;
    for (index, length) in lengths.into_iter().enumerate() {
        let run = at..at + length as usize;
        at = run.end;
        if index % 2 == 1 && !run.is_empty() {
            draw(run);
        }
    }
}

/// Whether lengths add up to the pixels of an image; what is wrong if they do not.
pub(super) fn check_sum(lengths: impl IntoIterator<Item = u32>, (height, width): (usize, usize)) -> Result<(), String> {
    let sum = lengths.into_iter().fold(0u64, |sum, length| sum.saturating_add(u64::from(length)));
    let pixels = (height * width) as u64;
    if sum == pixels {
        return Ok(());
    }
    Err(format!("expected counts that add up to {height} * {width} = {pixels} (height * width), their sum is {sum}"))
}

const FIRST: u8 = b'0';
const BITS: u32 = 5;
const MORE: u8 = 1 << BITS;
/// Characters a length may have; more have bits beyond the 32 of any length.
const MAX_CHARACTERS: u32 = 7;

/// Lengths written in COCO's characters: six bits a character, five of the number, lowest first, and one that says
/// there is more. From the fourth on, a number is the difference to the length before the last.
///
/// # Errors
/// What is wrong: a foreign character, a number cut short or without end, a length that is negative or too large.
pub(super) fn parse_characters(text: &str) -> Result<Vec<u32>, String> {
    let mut lengths: Vec<u32> = Vec::new();
    let mut number = 0i64;
    let mut shift = 0;
    for (index, &byte) in text.as_bytes().iter().enumerate() {
        let bits = byte.wrapping_sub(FIRST);
        if bits >= 2 * MORE {
            let found = char::from(byte).escape_default();
            return Err(format!("counts: expected characters from `0` to `o`, character {index} is `{found}`"));
        }
        if shift >= BITS * MAX_CHARACTERS {
            return Err(format!(
                "counts: expected numbers of at most {MAX_CHARACTERS} characters, see character {index}"
            ));
        }
        number |= i64::from(bits & (MORE - 1)) << shift;
        shift += BITS;
        if bits & MORE != 0 {
            continue;
        }
        // The highest bit of the last character is the sign.
        if bits & (MORE >> 1) != 0 {
            number -= 1 << shift;
        }
        if lengths.len() > 2 {
            number += i64::from(lengths[lengths.len() - 2]);
        }
        let length = u32::try_from(number).map_err(|_| {
            format!("counts: expected lengths from 0 to {}, number {} is {number}", u32::MAX, lengths.len())
        })?;
        lengths.push(length);
        (number, shift) = (0, 0);
    }
    if shift != 0 {
        return Err(format!("counts: the text of {} characters ends within a number", text.len()));
    }
    Ok(lengths)
}
