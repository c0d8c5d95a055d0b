//! How long calls took, by what they are for.

use std::cell::RefCell;
use std::time::Instant;

use datacache_proto::service::CacheRequest;
use datacache_proto::types::CallLatencies;

use crate::store::Spans;

/// What a call is for, as far as that makes it take longer or shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallClass {
    Read,
    Write,
    DurableWrite,
    Bulk,
    Look,
    Transfer,
    Other,
}

/// One histogram for each class of calls.
#[derive(Debug, Default)]
pub(crate) struct CallSpans(RefCell<[Spans; CallClass::COUNT]>);

impl CallClass {
    const COUNT: usize = Self::Other as usize + 1;

    /// Tells what a call is for. Many additions are durable where the first of them is.
    pub(crate) fn of(request: &CacheRequest) -> Self {
        use CacheRequest as R;
        // IMPORTANT: without `_`, so that nobody can forget to think about a new call.
        match request {
            R::Get { .. } | R::GetMany { .. } | R::Contains { .. } | R::Stat { .. } => Self::Read,
            R::Add { addition, .. } if addition.durable => Self::DurableWrite,
            R::AddMany { additions, .. } if is_durable(additions) => Self::DurableWrite,
            R::Add { .. } | R::AddMany { .. } | R::Touch { .. } | R::Delete { .. } => Self::Write,
            R::Evict { .. } | R::Expire { .. } | R::Clear { .. } | R::Release { .. } => Self::Bulk,
            R::Len { .. } | R::List { .. } | R::Stats { .. } | R::Tags { .. } => Self::Look,
            R::UploadBegin { .. } | R::Upload { .. } | R::Open { .. } | R::Read { .. } | R::Close { .. } => {
                Self::Transfer
            }
            R::Fits { .. } => Self::Look,
            R::Hello { .. }
            | R::Introduce { .. }
            | R::Verify { .. }
            | R::Stop { .. }
            | R::Suspect { .. }
            | R::Reload { .. } => Self::Other,
        }
    }
}

fn is_durable(additions: &datacache_proto::additions::Additions) -> bool {
    additions.iter().next().is_some_and(|first| first.is_ok_and(|first| first.durable))
}

impl CallSpans {
    /// Notes that a call is answered which was begun then.
    pub(crate) fn note(&self, class: CallClass, begun: Instant) {
        self.0.borrow_mut()[class as usize].take(begun.elapsed());
    }

    /// Returns what is told of them.
    pub(crate) fn latencies(&self) -> CallLatencies {
        let spans = self.0.borrow();
        let of = |class: CallClass| spans[class as usize].latency();
        CallLatencies {
            reads: of(CallClass::Read),
            writes: of(CallClass::Write),
            durable_writes: of(CallClass::DurableWrite),
            bulk: of(CallClass::Bulk),
            looks: of(CallClass::Look),
            transfers: of(CallClass::Transfer),
            others: of(CallClass::Other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datacache_proto::key::Key;
    use datacache_proto::types::{Addition, Body, CallId, Codec};

    #[test]
    fn an_addition_that_waits_for_the_disk_does_not_count_among_the_others() {
        let addition = |durable| Addition {
            namespace: "n".into(),
            key: Key::from("k"),
            codec: Codec::Bytes,
            body: Body::Inline(vec![1]),
            expires: None,
            tags: Vec::new(),
            scope: None,
            pinned: false,
            durable,
        };
        let call = CallId { client: 1, number: 1 };
        for (durable, class) in [(false, CallClass::Write), (true, CallClass::DurableWrite)] {
            let one = CacheRequest::Add { call, addition: addition(durable) };
            let many = CacheRequest::AddMany { call, additions: vec![addition(durable); 2].into() };
            assert_eq!([&one, &many].map(CallClass::of), [class; 2]);
        }
        let none = CacheRequest::AddMany { call, additions: Vec::new().into() };
        assert_eq!(CallClass::of(&none), CallClass::Write);
    }

    #[test]
    fn each_class_has_a_histogram_of_its_own() {
        let spans = CallSpans::default();
        let begun = Instant::now();
        [CallClass::Read, CallClass::Other, CallClass::Read].into_iter().for_each(|class| spans.note(class, begun));
        let told = spans.latencies();
        assert_eq!((told.reads.count, told.others.count, told.writes.count), (2, 1, 0));
    }
}
