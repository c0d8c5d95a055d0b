//! The members of an object, put in order once all are written.

use std::cmp::Ordering;

use super::key::Key;
use super::text::Text;

/// An object that is being written.
///
/// Members are written as they come; where they came in order, as those of a `BTreeMap` do, nothing is moved.
pub(super) struct Members {
    /// Where the first member begins.
    start: usize,
    list: Vec<Member>,
}

struct Member {
    key: Key,
    /// Where its `"key": value` ends, without the comma after it.
    end: usize,
}

const SEPARATOR: &str = ", ";

impl Members {
    /// Opens an object at the end of `text`.
    pub(super) fn open(text: &mut Text) -> Self {
        text.open('{');
        Self { start: text.len(), list: Vec::new() }
    }

    /// Writes `key`, after which its value is to be written.
    pub(super) fn begin(&mut self, text: &mut Text, key: Key) {
        self.end_last(text);
        if !self.list.is_empty() {
            text.raw(SEPARATOR);
        }
        text.string(key.spelled());
        text.raw(": ");
        self.list.push(Member { key, end: 0 });
    }

    /// Closes the object: sorts its members, and keeps the last of those that share a key.
    pub(super) fn close(mut self, text: &mut Text) {
        self.end_last(text);
        let compare = self.order();
        let in_order = |pair: &[Member]| compare(&pair[0].key, &pair[1].key).is_lt();
        if !self.list.windows(2).all(in_order) {
            self.rewrite(text, compare);
        }
        text.close('}');
    }

    fn end_last(&mut self, text: &Text) {
        if let Some(last) = self.list.last_mut() {
            last.end = text.len();
        }
    }

    /// Python cannot sort keys of several kinds. Here such a map is sorted as its text is: the spelling decides.
    fn order(&self) -> fn(&Key, &Key) -> Ordering {
        let one_kind = |pair: &[Member]| pair[0].key.same_kind(&pair[1].key);
        if self.list.windows(2).all(one_kind) {
            Key::compare
        } else {
            |left, right| left.spelled().cmp(right.spelled())
        }
    }

    fn rewrite(self, text: &mut Text, compare: fn(&Key, &Key) -> Ordering) {
        let written = text.take_from(self.start);
        let mut begin = 0;
        let mut members = Vec::with_capacity(self.list.len());
        for Member { key, end } in self.list {
            let end = end - self.start;
            members.push((key, &written[begin..end]));
            begin = end + SEPARATOR.len();
        }
        // IMPORTANT: a stable sort, so that the last of equal keys is the one that came last.
        members.sort_by(|left, right| compare(&left.0, &right.0));
        let mut separator = "";
        for (at, (key, member)) in members.iter().enumerate() {
            let next = members.get(at + 1);
            if next.is_some_and(|(next, _)| compare(key, next).is_eq()) {
                continue;
            }
            text.raw(separator);
            text.raw(member);
            separator = SEPARATOR;
        }
    }
}
