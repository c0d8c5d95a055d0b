//! The store that comes back after a cut: what it has to hold, and that it goes on.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use datacache_daemon::store::{Command, Condition, NewValue};
use datacache_proto::key::Key;
use datacache_proto::layout::blob_path;
use datacache_proto::recent::{FILE_LEN, Header, MappedMut, WORDS};
use datacache_proto::types::{CallId, Codec, Digest};

use crate::Fault;
use crate::disk::{Content, Image};
use crate::history::{Bounds, Candidate, Fact, History, State, change, digest};
use crate::model::subject::{Setup, Subject};
use crate::model::{CLIENT, SPACES, keys};
use crate::workload::put_of;

/// A moment at which nothing has expired yet, so that everything that is there is seen.
const EARLY: u64 = 0;

/// Opens the store that `image` holds, in the empty folder `root`, and checks it.
///
/// What is wrong is told by a panic.
pub(crate) fn check(
    root: &Path,
    image: &Image,
    history: &History,
    bounds: Bounds,
    same_boot: bool,
) -> Result<(), Fault> {
    let store = root.join("above/store");
    image.write_to(root)?;
    reboot(&store, same_boot)?;
    let mut subject = open(&store);
    let found = state(&mut subject);
    let alike = find(&found, image, history, bounds);
    check_replies(&mut subject, history, &alike);
    check_blobs(&mut subject, &store, &found);
    go_on(subject, &store, found);
    Ok(())
}

/// Makes shared memory that of another boot of this machine, with nothing in it that makes sense; all else that its header says
/// is as it would be.
pub(crate) fn reboot(store: &Path, same_boot: bool) -> Result<(), Fault> {
    let path = store.join("current/recent");
    let Ok(file) = OpenOptions::new().read(true).write(true).open(path) else { return Ok(()) };
    let words: Vec<AtomicU64> = std::iter::repeat_with(AtomicU64::default).take(WORDS).collect();
    let mut page = [0; 4096];
    if file.metadata()?.len() != FILE_LEN {
        return Ok(());
    }
    file.read_exact_at(&mut page, 0)?;
    let on_disk = page.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word));
    words.iter().zip(on_disk).for_each(|(word, on_disk)| word.store(on_disk, Ordering::Relaxed));
    let shared = MappedMut::new(&words)?;
    let Ok(header) = shared.as_mapped().header() else { return Ok(()) };
    let expected = Header::expected(&file, header.store)?;
    shared.write_header(&Header { boot: if same_boot { expected.boot } else { !expected.boot }, ..expected });
    let page: Vec<u8> = words[..512].iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
    file.write_all_at(&page, 0)?;
    (1..FILE_LEN / 4096).step_by(50).try_for_each(|number| file.write_all_at(&[0x5a; 4096], number * 4096))?;
    Ok(())
}

fn open(store: &Path) -> Subject {
    let setup = Setup { path: store.to_owned(), segment_bytes: 8_000, sync_interval: Duration::from_secs(3_600) };
    Subject::new(setup, EARLY)
}

/// Returns everything that is there.
fn state(subject: &mut Subject) -> State {
    let mut state = State::new();
    for space in SPACES {
        for key in keys() {
            if let Some(entry) = subject.get(space, &key, EARLY) {
                state.insert((space.to_owned(), key), Fact::of(&entry));
            }
        }
        let Some(namespace) = subject.store().namespace(space) else { continue };
        let there: BTreeSet<Key> = state.keys().filter(|(name, _)| name == space).map(|(_, key)| key.clone()).collect();
        assert_eq!(subject.list(space, None, None, EARLY), there, "what is listed in {space}");
        assert_eq!(subject.store().counts(namespace).entries, there.len() as u64, "what is counted in {space}");
    }
    state
}

/// Finds after which writes the store was as it is now; several where they changed nothing, or something that is lost.
fn find(found: &State, image: &Image, history: &History, bounds: Bounds) -> Vec<usize> {
    let (mut alike, mut differences) = (Vec::new(), Vec::new());
    for (steps, expected) in history.allowed(bounds) {
        match difference(found, &expected, image) {
            None => alike.push(steps),
            Some(difference) => differences.push(format!("after {steps} writes: {difference}")),
        }
    }
    assert!(!alike.is_empty(), "the store is as it never was, within {bounds:?}:\n{}", differences.join("\n"));
    alike
}

/// Returns the first thing in which a store is not as it should be.
fn difference(found: &State, expected: &Candidate, image: &Image) -> Option<String> {
    let Candidate { state, firm } = expected;
    let places: BTreeSet<_> = found.keys().chain(state.keys()).collect();
    places.into_iter().find_map(|place| {
        let (is, should) = (found.get(place), state.get(place));
        let may_be_lost = |fact: &Fact| fact.is_blob && !firm.contains(place) && !has_blob(image, fact.value);
        let is_fine = is == should || is.is_none() && should.is_some_and(may_be_lost);
        (!is_fine).then(|| format!("{:.50} in {} is {is:?} and not {should:?}", place.1.to_string(), place.0))
    })
}

fn has_blob(image: &Image, value: Digest) -> bool {
    let name = value.to_string();
    match image.find(&format!("above/store/blobs/{}/{name}", &name[..2])) {
        Some(Content::File(pages)) => digest(&pages.bytes()) == value,
        _ => false,
    }
}

/// A call is known if it was done, and only then; where it can't be told otherwise how many were done, this tells.
fn check_replies(subject: &mut Subject, history: &History, alike: &[usize]) {
    let is_known =
        |call: u64, subject: &mut Subject| subject.store().reply(CallId { client: CLIENT, number: call }).is_some();
    // Not so many that replies are forgotten.
    let first = alike[0].saturating_sub(60);
    let calls = history.steps.iter().enumerate().skip(first).filter_map(|(step, done)| Some((step, done.call?)));
    let known: Vec<(usize, bool)> = calls.map(|(step, call)| (step, is_known(call, subject))).collect();
    let fits = |steps: &&usize| known.iter().all(|&(step, known)| known == (step < **steps));
    assert!(alike.iter().any(|steps| fits(&steps)), "after one of {alike:?} writes these calls are known: {known:?}");
}

/// The blobs are there that are named and no others, and nothing is wrong.
fn check_blobs(subject: &mut Subject, store: &Path, found: &State) {
    let values = found.iter().filter(|(_, fact)| fact.is_blob);
    let named: BTreeSet<Vec<u8>> = values.map(|(_, fact)| fs::read(blob_path(store, &fact.value)).unwrap()).collect();
    subject.compare_blobs(&named, EARLY);
    subject.checkpoint(EARLY);
    let (reader, blobs) = (subject.store().reader(), subject.store().blobs());
    let report = reader.verify(&blobs).unwrap();
    let (verification, _) = subject.store().conclude(report, false);
    assert_eq!(verification.findings, [], "what is wrong");

    blobs.sweep_staging().unwrap();
}

/// Nothing is left of what was under way, in a store that is closed.
fn check_leftovers(store: &Path) {
    let live = fs::read_link(store.join("current")).unwrap();
    assert_eq!(
        names(store),
        ["CACHEDIR.TAG", "blobs", "current", live.to_str().unwrap(), "lock", "staging", "unclean"]
    );
    assert_eq!(names(&store.join("current")), ["access", "checked", "data.mdb", "lock.mdb", "log", "recent"]);
    for folder in ["staging", "current/log"] {
        assert_eq!(names(&store.join(folder)), Vec::<String>::new(), "what is left in {folder}");
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}

/// Writes go on, survive a death, and what is there then is all that should be.
fn go_on(mut subject: Subject, store: &Path, mut state: State) {
    for number in 0..3_u8 {
        let bytes = vec![number; 3_000];
        let value = match number {
            0 => NewValue::Inline(bytes.clone().into()),
            _ => subject.stage(&bytes, false),
        };
        let key = keys()[usize::from(number)].clone();
        subject.write(vec![Command::Put(put_of(SPACES[0], &key, value))], EARLY).unwrap();
        let fact = Fact {
            codec: Codec::Bytes,
            value: digest(&bytes),
            is_blob: number > 0,
            expires: None,
            tags: Vec::new(),
            scopes: None,
        };
        change(&mut state, &[(SPACES[0].to_owned(), key, Some(fact))]);
    }
    let namespace = subject.store().namespace(SPACES[0]).unwrap();
    let gone = keys()[1].clone();
    subject.write(vec![Command::Delete { namespace, key: gone.clone(), when: Condition::Live }], EARLY).unwrap();
    change(&mut state, &[(SPACES[0].to_owned(), gone, None)]);
    subject.reopen_after_death(EARLY);
    assert_eq!(self::state(&mut subject), state, "what is there after the death of the process");
    check_blobs(&mut subject, store, &state);
    subject.close(EARLY);
    check_leftovers(store);
    let mut subject = open(store);
    assert_eq!(self::state(&mut subject), state, "what is there after a new start");
}
