//! Finds where the plain part of a string ends, eight bytes at a time.
//!
//! Most strings of a payload are short: one look at a word finds quotes, backslashes and control characters together, where a search
//! for the first two and a second look at each byte for the last went over everything twice.

/// How many bytes at the beginning stand for themselves in a string: no quote, no backslash, no control character (RFC 8259 §7).
pub(super) fn plain_len(bytes: &[u8]) -> usize {
    let (words, tail) = bytes.as_chunks::<8>();
    for (n, word) in words.iter().enumerate() {
        let stops = stops(u64::from_le_bytes(*word));
        if stops != 0 {
            return n * 8 + stops.trailing_zeros() as usize / 8;
        }
    }
    let plain = tail
        .iter()
        .take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20));
    words.len() * 8 + plain.count()
}

/// The highest bit of each byte that is not plain. Above the lowest such byte others may be marked wrongly, as a subtraction
/// borrows from its neighbour.
const fn stops(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = ONES << 7;
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let is_quote = quote.wrapping_sub(ONES) & !quote;
    let is_backslash = backslash.wrapping_sub(ONES) & !backslash;
    let is_control = word.wrapping_sub(ONES * 0x20) & !word;
    (is_quote | is_backslash | is_control) & HIGH
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn one_by_one(bytes: &[u8]) -> usize {
        let stop = bytes.iter().position(|b| *b < 0x20 || *b == b'"' || *b == b'\\');
        stop.unwrap_or(bytes.len())
    }

    #[test]
    fn each_byte_alone_stops_where_it_must() {
        for byte in 0..=255 {
            for at in 0..20 {
                let mut bytes = [b'x'; 20];
                bytes[at] = byte;
                assert_eq!(plain_len(&bytes), one_by_one(&bytes), "{byte} at {at}");
            }
        }
    }

    proptest! {
        #[test]
        fn it_stops_where_a_look_at_each_byte_does(
            bytes in vec(prop_oneof![3 => any::<u8>(), 1 => Just(b'"'), 8 => 0x1e_u8..0x80], 0..70),
        ) {
            prop_assert_eq!(plain_len(&bytes), one_by_one(&bytes));
        }
    }
}
