//! The known name that was probably meant.

/// Names that are at least this alike are suggested, from 0 to 1.
const ALIKE: f64 = 0.7;

/// Returns the known name that is most like `name`, if any is like it.
pub(super) fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str> + Clone) -> Option<&'k str> {
    let likeness = |known: &str| strsim::jaro_winkler(&name.to_lowercase(), known);
    let best = known.max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) >= ALIKE).then_some(best)
}
