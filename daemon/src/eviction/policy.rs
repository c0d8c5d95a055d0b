//! The policies, and what they are called.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Which entries go when there is no room for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// S3-FIFO that learns, see [the module](super): the default.
    #[default]
    S3Fifo,
    /// What was not read for longest, approximately: a second chance for what was read since the last look.
    Lru,
    /// What is read most seldom, approximately: reads are counted up to 15, and one is forgotten at each look.
    Lfu,
    /// What was added first.
    Fifo,
    /// Nothing: where the limit is reached, writes are refused.
    None,
}

/// A name that is no policy's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("no policy is called `{name}`; there are s3-fifo, lru, lfu, fifo and none")]
pub struct UnknownPolicy {
    /// The name.
    pub name: String,
}

impl Policy {
    /// All of them, the default first.
    pub const ALL: [Self; 5] = [Self::S3Fifo, Self::Lru, Self::Lfu, Self::Fifo, Self::None];

    /// Returns what it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::S3Fifo => "s3-fifo",
            Self::Lru => "lru",
            Self::Lfu => "lfu",
            Self::Fifo => "fifo",
            Self::None => "none",
        }
    }

    /// Returns what else it may be called: by `DiskCache`, or for short.
    const fn alias(self) -> Option<&'static str> {
        match self {
            Self::S3Fifo => Some("s3fifo"),
            Self::Lru => Some("least-recently-used"),
            Self::Lfu => Some("least-frequently-used"),
            Self::Fifo => Some("least-recently-stored"),
            Self::None => None,
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Takes the names of [`Policy::name`], and those of `DiskCache`.
impl FromStr for Policy {
    type Err = UnknownPolicy;

    fn from_str(name: &str) -> Result<Self, UnknownPolicy> {
        let called = |policy: &Self| policy.name() == name || policy.alias() == Some(name);
        Self::ALL.into_iter().find(called).ok_or_else(|| UnknownPolicy { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_policy_has_a_name_that_finds_it() {
        for policy in Policy::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        assert_eq!(Policy::default(), Policy::S3Fifo);
    }

    #[test]
    fn names_of_disk_cache_are_understood() {
        let names = ["least-recently-stored", "least-recently-used", "least-frequently-used", "none"];
        let policies = [Policy::Fifo, Policy::Lru, Policy::Lfu, Policy::None];
        assert_eq!(names.map(|name| name.parse::<Policy>().unwrap()), policies);
    }

    #[test]
    fn another_name_is_refused_with_those_that_there_are() {
        let error = "mru".parse::<Policy>().unwrap_err().to_string();
        assert_eq!(error, "no policy is called `mru`; there are s3-fifo, lru, lfu, fifo and none");
    }
}
