//! What the headers of the shared files have in common: ids of two words, and a checksum over the words before it.

use xxhash_rust::xxh3::Xxh3;

/// Cuts an id in two, the low half first.
pub(crate) const fn halves(value: u128) -> [u64; 2] {
    [value as u64, (value >> 64) as u64]
}

/// Puts an id together.
pub(crate) const fn whole(low: u64, high: u64) -> u128 {
    (high as u128) << 64 | low as u128
}

/// Returns xxh3 over the words, each little-endian.
pub(crate) fn checksum(words: &[u64]) -> u64 {
    let mut hash = Xxh3::new();
    for word in words {
        hash.update(&word.to_le_bytes());
    }
    hash.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_back_from_its_halves() {
        let id = 7 << 100 | 9;
        let [low, high] = halves(id);
        assert_eq!(whole(low, high), id);
    }

    #[test]
    fn the_checksum_is_that_of_the_bytes_in_a_row() {
        let bytes: Vec<u8> = [1_u64, 2, 3].iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(checksum(&[1, 2, 3]), xxhash_rust::xxh3::xxh3_64(&bytes));
    }
}
