//! How much is measured.

/// The length of a small value in bytes.
pub(crate) const VALUE: usize = 100;

/// How much is measured; the same for all peers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Entries of a small cache.
    pub(crate) small: u64,
    /// Entries of a large one.
    pub(crate) million: u64,
    /// Entries of a huge one; `None` where it is left out.
    pub(crate) huge: Option<u64>,
    /// Operations for a row that takes microseconds.
    pub(crate) ops: u64,
    /// Operations for a row that takes less.
    pub(crate) fast_ops: u64,
    /// Operations for a row that takes milliseconds.
    pub(crate) slow_ops: u64,
    /// Values of a burst.
    pub(crate) burst: u64,
    /// Values that a batch of it has.
    pub(crate) batch: usize,
    /// Seconds of writing without a break; `None` where that is left out.
    pub(crate) seconds: Option<u64>,
    /// Processes at once, the keys that they share, and what each of them does.
    pub(crate) storm: (u32, u64, u64),
    /// The lengths of mapped values in bytes.
    pub(crate) mapped: [u64; 2],
    /// The lengths of large values that are added, in bytes.
    pub(crate) large: [u64; 2],
}

impl Sizes {
    /// Returns what the goals are about.
    pub(crate) fn full(huge: bool, minute: bool) -> Self {
        Self {
            small: 10_000,
            million: 1_000_000,
            huge: huge.then_some(10_000_000),
            ops: 50_000,
            fast_ops: 500_000,
            slow_ops: 200,
            burst: 65_536,
            batch: 1_000,
            seconds: minute.then_some(60),
            storm: (8, 100, 12_500),
            mapped: [1 << 20, 1 << 30],
            large: [64 << 20, 1 << 30],
        }
    }

    /// Returns what shows whether it works at all.
    pub(crate) fn quick() -> Self {
        Self {
            small: 1_000,
            million: 4_000,
            huge: Some(8_000),
            ops: 200,
            fast_ops: 1_000,
            slow_ops: 5,
            burst: 2_048,
            batch: 100,
            seconds: Some(1),
            storm: (3, 100, 200),
            mapped: [1 << 20, 4 << 20],
            large: [1 << 20, 4 << 20],
        }
    }
}

/// Returns the key of an entry.
pub(crate) fn key(number: u64) -> String {
    format!("entry-{number}")
}

/// Returns a small value; another number, another value.
pub(crate) fn value(number: u64) -> Vec<u8> {
    let mut value = vec![b'.'; VALUE];
    value[..8].copy_from_slice(&number.to_le_bytes());
    value
}

/// Returns a number with its thousands apart, as `10,000`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        let texts = [0, 999, 1_000, 10_000, 1_234_567].map(grouped);
        assert_eq!(texts, ["0", "999", "1,000", "10,000", "1,234,567"]);
    }

    #[test]
    fn values_differ_and_have_their_length() {
        assert_ne!(value(1), value(2));
        assert_eq!(value(1).len(), VALUE);
    }
}
