//! A whole number and its unit, as people type them together.

/// Returns the number and the unit of a text like `32 KiB` or `32KiB`; the unit is empty where none was typed.
/// `None` where the text does not begin with digits, or their number takes more than 64 bits.
pub(super) fn parse(text: &str) -> Option<(u64, &str)> {
    let trimmed = text.trim();
    let unit_at = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(unit_at);
    Some((number.parse().ok()?, unit.trim_start()))
}
