//! What a replay comes to.

use serde::Serialize;

/// How many requests there were, and how many were hits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// All requests.
    pub requests: u64,
    /// Those whose entry was there.
    pub hits: u64,
}

/// An [`Outcome`] as others read it.
#[derive(Serialize)]
struct Told {
    requests: u64,
    hits: u64,
    hit_ratio: f64,
}

impl Outcome {
    /// Counts a request.
    pub fn count(&mut self, hit: bool) {
        self.requests += 1;
        self.hits += u64::from(hit);
    }

    /// Returns the share of hits, from 0 to 1; 0 where nothing was asked for.
    pub fn hit_ratio(&self) -> f64 {
        self.hits as f64 / self.requests.max(1) as f64
    }
}

/// Has the ratio too.
impl Serialize for Outcome {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Told { requests: self.requests, hits: self.hits, hit_ratio: self.hit_ratio() }.serialize(serializer)
    }
}
