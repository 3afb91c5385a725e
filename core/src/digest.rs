//! A digest that tells contents apart where nobody gains by two that are alike; it is no cryptography.

/// FNV-1a (64 bits) over parts and their lengths.
pub(crate) fn digest(parts: &[&[u8]]) -> u64 {
    let lengths = parts.iter().map(|part| u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
    let bytes = parts.iter().flat_map(|part| part.iter().copied());
    lengths
        .flatten()
        .chain(bytes)
        .fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}
