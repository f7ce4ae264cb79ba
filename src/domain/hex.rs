//! Bytes as people and protocols write them.

/// Two lower-case hexadecimal digits a byte.
pub fn hex(bytes: &[u8]) -> String {
    let halves = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    halves.map(|half| char::from_digit(half.into(), 16).expect("half a byte is one digit")).collect()
}
