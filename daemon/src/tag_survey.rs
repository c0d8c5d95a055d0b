//! Counting tags when somebody asks for them, and no oftener than it is worth: what is known is told at once.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use datacache_proto::time::Timestamp;
use datacache_proto::types::{TagRow, TagStats};

use crate::daemon::{Daemon, blocking};
use crate::store::{CountedTag, TagWalk};
use crate::writer::WriteError;

/// Before tags are counted again, so many times as long passes as it took.
const REST: u32 = 20;
/// The least that passes.
const REST_MIN: Duration = Duration::from_secs(1);
/// How often the log is applied for it: each time is a transaction of the index, which is synced.
const CHECKPOINT: Duration = Duration::from_secs(10);
/// The most tags that are told of: with the longest names there are, 3 MiB, which fits a message.
const ROWS_MAX: usize = 4_096;

/// What is known of tags.
#[derive(Debug, Default)]
pub(crate) struct TagSurvey {
    known: RefCell<TagStats>,
    /// Until when what is known is good enough.
    due: Cell<Option<Instant>>,
    is_under_way: Cell<bool>,
    /// When the log was applied for it.
    applied: Cell<Option<Instant>>,
}

/// Returns what is known of the tags of a namespace, or of all; begins to count them anew where that is due.
pub(crate) fn tags(daemon: &Rc<Daemon>, namespace: Option<&str>) -> TagStats {
    let survey = &daemon.tag_survey;
    let is_due = survey.due.get().is_none_or(|due| due <= Instant::now());
    if is_due && !survey.is_under_way.replace(true) {
        let counting = Rc::clone(daemon);
        daemon.tasks.spawn(async move { count(&counting).await });
    }
    let known = survey.known.borrow();
    let is_wanted = |row: &&TagRow| namespace.is_none_or(|namespace| row.namespace == namespace);
    TagStats { rows: known.rows.iter().filter(is_wanted).cloned().collect(), ..*known }
}

async fn count(daemon: &Daemon) {
    let mut took = Duration::ZERO;
    match counted(daemon, &mut took).await {
        Ok(stats) => *daemon.tag_survey.known.borrow_mut() = stats,
        Err(error) => tracing::debug!(%error, "tags could not be counted"),
    }
    daemon.tag_survey.due.set(Some(Instant::now() + (took * REST).max(REST_MIN)));
    daemon.tag_survey.is_under_way.set(false);
}

/// Has the log applied, unless that was done lately: what is in there alone is not counted.
async fn apply(daemon: &Daemon) -> Result<(), WriteError> {
    let applied = &daemon.tag_survey.applied;
    if applied.get().is_none_or(|applied| applied.elapsed() >= CHECKPOINT) {
        applied.set(Some(Instant::now()));
        daemon.writer.checkpoint().await?;
    }
    Ok(())
}

/// Counts slice by slice, and adds up how long that keeps a core.
async fn counted(daemon: &Daemon, took: &mut Duration) -> Result<TagStats, WriteError> {
    apply(daemon).await?;
    let names: HashMap<_, _> =
        daemon.writer.read(|store| store.namespaces().into_iter().map(|(name, number)| (number, name)).collect())?;
    let (mut walk, mut best, mut more) = (TagWalk::default(), Best::default(), true);
    while more {
        daemon.check_serving()?;
        let reader = daemon.reader()?;
        let slice = move || {
            let began = Instant::now();
            let more = reader.walk_tags(&mut walk);
            (more, walk, began.elapsed())
        };
        let (result, walked, spent) = blocking(slice).await?;
        (more, walk) = (daemon.writer.settle(result)?, walked);
        let began = Instant::now();
        for tag in walk.take() {
            // One of a namespace that came to be meanwhile is counted the next time.
            let Some(name) = names.get(&tag.namespace) else { continue };
            best.add(row(daemon, name, &tag)?);
        }
        *took += spent + began.elapsed();
    }
    let took_ms = took.as_millis().try_into().unwrap_or(u64::MAX);
    let (tags, rows) = best.end();
    Ok(TagStats { taken: Some(Timestamp::now()), took_ms, tags, pairs: walk.rows(), rows })
}

/// Says of a tag what its sample says of its entries.
fn row(daemon: &Daemon, namespace: &str, tag: &CountedTag) -> Result<TagRow, WriteError> {
    let sampled = tag.sample.len() as u64;
    let marks: u64 =
        daemon.writer.read(|store| tag.sample.iter().map(|entry| u64::from(store.frequency_of(entry.hash))).sum())?;
    let bytes: u128 = tag.sample.iter().map(|entry| u128::from(entry.bytes)).sum();
    let bytes = (bytes * u128::from(tag.entries)).checked_div(sampled.into()).unwrap_or(0);
    Ok(TagRow {
        namespace: namespace.to_owned(),
        tag: tag.tag.clone(),
        entries: tag.entries,
        bytes: bytes.try_into().unwrap_or(u64::MAX),
        heat: (marks * 100).checked_div(sampled).and_then(|heat| heat.try_into().ok()).unwrap_or(0),
        sampled,
    })
}

/// The tags that are first in some way, of each namespace.
#[derive(Debug, Default)]
struct Best {
    tags: u64,
    /// Of the namespaces that are done.
    rows: Vec<TagRow>,
    /// Of the one that is not.
    current: Vec<TagRow>,
}

impl Best {
    /// Takes the next tag; those of a namespace come together.
    fn add(&mut self, row: TagRow) {
        self.tags += 1;
        if self.current.first().is_some_and(|first| first.namespace != row.namespace) {
            self.close();
        }
        self.current.push(row);
        if self.current.len() >= 16 * TagStats::BEST {
            choose(&mut self.current);
        }
    }

    fn close(&mut self) {
        choose(&mut self.current);
        self.rows.append(&mut self.current);
        if self.rows.len() > 2 * ROWS_MAX {
            self.shorten();
        }
    }

    fn shorten(&mut self) {
        self.rows.sort_unstable_by_key(|row| Reverse(row.entries));
        self.rows.truncate(ROWS_MAX);
    }

    /// Returns how many there were, and the best.
    fn end(mut self) -> (u64, Vec<TagRow>) {
        self.close();
        self.shorten();
        self.rows.sort_unstable_by(|a, b| (&a.namespace, &a.tag).cmp(&(&b.namespace, &b.tag)));
        (self.tags, self.rows)
    }
}

/// What tags are compared by.
type Way = fn(&TagRow) -> (u64, u64);

/// Leaves those that are among the first in one of the three ways, and no more than that times three.
fn choose(rows: &mut Vec<TagRow>) {
    let ways: [Way; 3] =
        [|row| (row.entries, row.bytes), |row| (row.bytes, row.entries), |row| (row.heat.into(), row.entries)];
    let mut best = Vec::new();
    for way in ways {
        rows.sort_by_key(|row| Reverse(way(row)));
        best.extend(rows.drain(..TagStats::BEST.min(rows.len())));
    }
    *rows = best;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(namespace: &str, number: u64, entries: u64, bytes: u64, heat: u16) -> TagRow {
        TagRow { namespace: namespace.into(), tag: format!("{number:06}"), entries, bytes, heat, sampled: 1 }
    }

    #[test]
    fn the_first_in_each_way_are_told_of_however_many_there_are() {
        let mut best = Best::default();
        for number in 0..10_000 {
            let (bytes, heat) = (if number == 77 { u64::MAX } else { 0 }, u16::from(number == 4_242) * 300);
            best.add(row("n", number, number, bytes, heat));
            assert!(best.current.len() < 16 * TagStats::BEST);
        }
        best.add(row("o", 1, 1, 1, 1));
        let (tags, rows) = best.end();
        assert_eq!(tags, 10_001);
        let told: Vec<u64> = rows.iter().map(|row| row.tag.parse().unwrap()).collect();
        assert!(told.contains(&77) && told.contains(&4_242));
        assert!((10_000 - TagStats::BEST as u64..10_000).all(|number| told.contains(&number)), "{told:?}");
        assert!(rows.len() <= 3 * TagStats::BEST + 1 && rows.last().unwrap().namespace == "o");
    }

    #[test]
    fn of_very_many_namespaces_the_largest_tags_are_told_of() {
        let mut best = Best::default();
        for number in 0..3 * ROWS_MAX as u64 {
            best.add(row(&number.to_string(), number, number, 0, 0));
            assert!(best.rows.len() <= 2 * ROWS_MAX);
        }
        let (tags, rows) = best.end();
        assert_eq!((tags, rows.len()), (3 * ROWS_MAX as u64, ROWS_MAX));
        assert!(rows.iter().all(|row| row.entries >= 2 * ROWS_MAX as u64));
        assert!(rows.is_sorted_by_key(|row| (row.namespace.clone(), row.tag.clone())));
    }
}
