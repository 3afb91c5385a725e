//! Bytes as text: fingerprints of certificates, and payloads that are none.

use alloc::string::String;

/// Two lower-case hexadecimal digits for each byte.
pub fn hexadecimal(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0x0F]);
    digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
}
