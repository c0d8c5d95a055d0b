//! The known name that was probably meant.

/// Names that are at least this alike are suggested, from 0 to 1. Below it lie those that share no more than a beginning, as `max_entries`
/// and `max_connections` do.
const ALIKE: f64 = 0.88;
/// What settings are called by `DiskCache`, which is not like what they are called here.
const OF_DISK_CACHE: [(&str, &str); 2] = [("size_limit", "limit"), ("eviction_policy", "policy")];

/// Returns the known name that `name` stands for elsewhere, or the one that is most like it, if any is.
pub(super) fn nearest<'k>(name: &str, mut known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let name = name.to_lowercase();
    if let Some((_, ours)) = OF_DISK_CACHE.into_iter().find(|(theirs, _)| *theirs == name) {
        return known.find(|known| *known == ours);
    }
    let likeness = |known: &str| strsim::jaro_winkler(&name, known);
    let best = known.max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) >= ALIKE).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::super::setting::SETTINGS;
    use super::*;

    fn suggested(name: &str) -> Option<&'static str> {
        nearest(name, SETTINGS.iter().map(|setting| setting.name))
    }

    #[test]
    fn a_name_with_a_slip_in_it_is_recognised() {
        for (typed, meant) in [
            ("limits", "limit"),
            ("valuemax", "value_max"),
            ("idel_exit", "idle_exit"),
            ("Polcy", "policy"),
            ("held", "held_max"),
        ] {
            assert_eq!(suggested(typed), Some(meant), "{typed}");
        }
    }

    #[test]
    fn a_name_of_disk_cache_leads_to_ours() {
        assert_eq!(["size_limit", "Eviction_Policy"].map(suggested), [Some("limit"), Some("policy")]);
        assert_eq!(nearest("size_limit", ["log"].into_iter()), None, "it is not to be had here");
    }

    #[test]
    fn what_is_like_none_suggests_nothing() {
        for name in ["cull_limit", "max_entries", "size", "ttl", ""] {
            assert_eq!(suggested(name), None, "{name}");
        }
    }
}
