//! Whether an index is trusted. A damaged page may end the daemon that looks at it, and the next one, and the next: so lives that did
//! not end well are counted (`deaths`), and an index on which daemons keep dying is looked through by a process
//! of its own before it is opened again. One that can't be read is moved aside, and the store begins anew.
//!
//! ```text
//! STORE/damaged/  the generation that was moved aside last
//! ```

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use datacache_proto::layout::CURRENT;
use tracing::{debug, error, info, warn};

use super::deaths::{AT_OPENING, Deaths, HOPELESS, IN_USE, SUSPICIOUS};
use super::error::OpenError;
use super::examiner::{Examiner, Occasion, Verdict};
use super::failpoint::failpoint;
use super::folder::{self, DAMAGED};
use super::generation;
use super::index::Index;
use super::lmdb_damage::is_damage_in_use;
use super::moved_aside::note_loss;
use super::recovery::{Recovered, recover};
use super::unseen::{forget_readers, mend_lost_table};

/// Opens the store in `path`, whose lock the caller holds, unless its index is beyond reading; then it is moved aside first.
pub(super) fn recover_trusted(path: &Path, examiner: &Examiner) -> Result<(Recovered, Deaths), OpenError> {
    let deaths = Deaths::of(path);
    let mut count = deaths.count();
    if deaths.was_served() {
        let failed = |source| OpenError::Io { action: "link to the index in", path: path.to_owned(), source };
        generation::link_again(path).map_err(|source| failed(source).or_no_space(path))?;
    }
    forget_lost(path)?;
    if count >= SUSPICIOUS {
        info!("{}; the index is looked through", deaths.reason());
        // What may be its list of free pages shows itself in that they go on dying.
        let goes_on = matches!(look(path, examiner, count >= HOPELESS)?, Some(Verdict::Leaky));
        count = if goes_on { count } else { 0 };
    }
    deaths.note(count + AT_OPENING);
    let recovered = recover_mended(path, examiner);
    deaths.note(count + if recovered.is_ok() { IN_USE } else { 0 });
    Ok((recovered.map_err(|failure| failure.or_no_space(path))?, deaths))
}

/// Opens the store. Where LMDB meets with damage, gives up what that can be in: the table of readers first.
fn recover_mended(path: &Path, examiner: &Examiner) -> Result<Recovered, OpenError> {
    mend_lost_table(path)?;
    let failure = match recover(path) {
        Err(failure) if is_suspicious(&failure) => failure,
        outcome => return outcome,
    };
    // LMDB's own word is enough to look, but not to give the index up: a full map is not a damaged one.
    match look(path, examiner, false)? {
        Some(Verdict::Damaged(_)) => recover(path),
        Some(verdict) if forget_readers(path)? => match recover(path) {
            // Then it is the list of free pages, and the next daemon would meet with the same.
            Err(failure) if verdict == Verdict::Leaky && is_suspicious(&failure) => {
                look(path, examiner, true)?;
                recover(path)
            }
            outcome => outcome,
        },
        _ => Err(failure),
    }
}

fn is_suspicious(failure: &OpenError) -> bool {
    match failure {
        // Also a lock that is none: where a client has the index open, LMDB does not make it anew.
        OpenError::Index { source, .. } => is_damage_in_use(source),
        OpenError::Layout { found, .. } => *found == 0,
        _ => false,
    }
}

/// Has the index looked through, and moves it aside if it is damaged, or leaks and is `hopeless`; returns what was found, `None` where
/// there is none or it can't be looked at.
fn look(path: &Path, examiner: &Examiner, hopeless: bool) -> Result<Option<Verdict>, OpenError> {
    let io = |action| move |source| OpenError::Io { action, path: path.to_owned(), source };
    let Some(generation) = generation::current(path).map_err(io("find the live generation of"))? else {
        return Ok(None);
    };
    // No link leads whoever looks elsewhere.
    folder::check_below(path, &generation)?;
    let verdict = match examiner.examine(&generation, Occasion::Alone) {
        Ok(Verdict::Leaky) if hopeless => Verdict::Damaged("its list of free pages".into()),
        Ok(verdict) => verdict,
        Err(error) => {
            warn!(%error, "the index could not be looked through; it is opened all the same");
            return Ok(None);
        }
    };
    match &verdict {
        Verdict::Sound => debug!("the index is sound"),
        Verdict::Leaky => warn!("some pages of the index are neither in use nor free"),
        Verdict::Damaged(how) => {
            let lost = note_loss(path, &generation, how);
            let aside = move_aside(path, &generation).map_err(io("move the damaged index aside in"))?;
            error!(
                how,
                aside = %aside.display(),
                large_values = lost.map(|lost| lost.values),
                their_bytes = lost.map(|lost| lost.bytes),
                "the index is damaged beyond reading: it was moved aside, and the store begins empty; its large values are removed, and \
                 that folder has the small ones at most: remove it once nobody wants to look at it"
            );
        }
    }
    Ok(Some(verdict))
}

/// Has the readers of a generation that is moved away look elsewhere.
fn end_readers(generation: &Path) {
    if let Err(error) = Index::end_any(generation) {
        debug!(%error, "readers are not told that the generation is over; they notice within a second");
    }
}

/// Moves a generation out of the way, in the place of the one that was moved before, and has its readers look elsewhere.
fn move_aside(path: &Path, generation: &Path) -> io::Result<PathBuf> {
    let aside = path.join(DAMAGED);
    match fs::remove_dir_all(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    failpoint!(DamagedCleared);
    end_readers(generation);
    failpoint!(DamagedEnded);
    fs::rename(generation, &aside)?;
    failpoint!(DamagedMoved);
    // IMPORTANT: in this order. Who dies in between leaves a link to nothing, which the next one removes.
    fs::remove_file(path.join(CURRENT))?;
    failpoint!(DamagedUnlinked);
    File::open(path)?.sync_all()?;
    Ok(aside)
}

/// Removes a link that leads to no generation any more.
fn forget_lost(path: &Path) -> Result<(), OpenError> {
    let io = |action| move |source| OpenError::Io { action, path: path.to_owned(), source };
    let Some(generation) = generation::current(path).map_err(io("find the live generation of"))? else { return Ok(()) };
    // IMPORTANT: what can't be looked at is not lost.
    if generation.try_exists().map_err(io("look at the live generation of"))? {
        return Ok(());
    }
    failpoint!(LostFound);
    error!(generation = %generation.display(), "the index is not there any more: the store begins empty");
    fs::remove_file(path.join(CURRENT)).map_err(io("forget the lost index of"))?;
    failpoint!(LostUnlinked);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::command::NewValue;
    use super::super::folder::UNCLEAN;
    use super::super::options::StoreOptions;
    use super::super::store::Store;
    use super::super::testing::{NOW, options, put, wait};
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Counts how often an index is looked through, and finds it as `verdict` says.
    fn examined(folder: &tempfile::TempDir, verdict: &Verdict) -> (StoreOptions, Arc<AtomicUsize>) {
        let looks = Arc::new(AtomicUsize::new(0));
        let (counted, verdict) = (Arc::clone(&looks), verdict.clone());
        let examiner = Examiner::of(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(verdict.clone())
        });
        (StoreOptions { examiner, ..options(folder) }, looks)
    }

    fn one() -> NewValue {
        NewValue::Inline(vec![1].into())
    }

    #[test]
    fn an_index_is_looked_through_once_two_daemons_died_on_it_and_trusted_again_when_it_is_sound() {
        let folder = tempfile::tempdir().unwrap();
        let (options, looks) = examined(&folder, &Verdict::Sound);
        let mut seen = Vec::new();
        for _ in 0..5 {
            drop(Store::open(options.clone(), NOW).unwrap());
            seen.push(looks.load(Ordering::Relaxed));
        }
        assert_eq!(seen, [0, 0, 1, 1, 2]);
    }

    #[test]
    fn an_index_whose_daemons_end_well_is_not_looked_through() {
        let folder = tempfile::tempdir().unwrap();
        let (options, looks) = examined(&folder, &Verdict::Sound);
        for _ in 0..3 {
            drop(Store::open(options.clone(), NOW).unwrap());
            Store::open(options.clone(), NOW).unwrap().close(NOW).unwrap();
        }
        assert_eq!(looks.load(Ordering::Relaxed), 0);
    }

    /// What LMDB tells can be its list of free pages, too.
    #[test]
    fn an_index_that_only_leaks_is_moved_aside_once_daemons_go_on_dying_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let (options, _) = examined(&folder, &Verdict::Leaky);
        let is_aside = || options.path.join(DAMAGED).exists();
        for _ in 0..3 {
            (0..3).for_each(|_| drop(Store::open(options.clone(), NOW).unwrap()));
            Store::open(options.clone(), NOW).unwrap().close(NOW).unwrap();
            assert!(!is_aside());
        }
        (0..=HOPELESS).for_each(|_| drop(Store::open(options.clone(), NOW).unwrap()));
        assert!(is_aside());
    }

    /// Each time the count began anew.
    #[test]
    fn an_index_that_only_leaks_is_moved_aside_once_daemons_go_on_meeting_with_damage() {
        let folder = tempfile::tempdir().unwrap();
        let (options, _) = examined(&folder, &Verdict::Leaky);
        for _ in 0..=HOPELESS {
            Store::open(options.clone(), NOW).unwrap().distrust();
        }
        assert!(options.path.join(DAMAGED).exists());
    }

    /// No daemon started any more: those that LMDB refuses don't count as dead.
    #[test]
    fn an_index_that_leaks_and_that_lmdb_refuses_is_moved_aside_at_the_first_start() {
        let folder = tempfile::tempdir().unwrap();
        let (options, _) = examined(&folder, &Verdict::Leaky);
        Store::open(options.clone(), NOW).unwrap().close(NOW).unwrap();
        fs::write(options.path.join("current/data.mdb"), [7; 100_000]).unwrap();
        drop(Store::open(options.clone(), NOW).unwrap());
        assert!(options.path.join(DAMAGED).exists());
    }

    #[test]
    fn one_death_while_the_store_is_opened_is_enough() {
        let folder = tempfile::tempdir().unwrap();
        let (options, looks) = examined(&folder, &Verdict::Sound);
        Store::open(options.clone(), NOW).unwrap().close(NOW).unwrap();
        Deaths::of(&options.path).note(AT_OPENING);
        drop(Store::open(options, NOW).unwrap());
        assert_eq!(looks.load(Ordering::Relaxed), 1);
    }

    /// The log told of deaths where nobody had died.
    #[test]
    fn the_reason_for_a_look_is_a_death_only_where_a_daemon_died() {
        let folder = tempfile::tempdir().unwrap();
        let (options, looks) = examined(&folder, &Verdict::Sound);
        let reason = || Deaths::of(&options.path).reason();
        drop(Store::open(options.clone(), NOW).unwrap());
        drop(Store::open(options.clone(), NOW).unwrap());
        assert!(reason().contains("died"), "{}", reason());
        let store = Store::open(options.clone(), NOW).unwrap();
        store.distrust();
        store.close(NOW).unwrap();
        assert!(reason().contains("took the index for damaged"), "{}", reason());
        let before = looks.load(Ordering::Relaxed);
        Store::open(options.clone(), NOW).unwrap().close(NOW).unwrap();
        assert_eq!(looks.load(Ordering::Relaxed), before + 1);
        assert_eq!(fs::read(options.path.join(UNCLEAN)).unwrap(), b"0");
    }

    #[test]
    fn a_damaged_index_is_moved_aside_and_the_store_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (options, _) = examined(&folder, &Verdict::Damaged("torn".into()));
        for _ in 0..2 {
            let mut store = Store::open(options.clone(), NOW).unwrap();
            put(&mut store, one());
        }
        let before = Index::open(&options.path.join("current"), 0).unwrap();
        assert!(before.is_none(), "it has an identity of its own");
        let mut store = Store::open(options.clone(), NOW).unwrap();
        assert_eq!(store.namespaces(), []);
        assert!(options.path.join(DAMAGED).join("data.mdb").exists());
        put(&mut store, one());
        let target = store.request_checkpoint();
        wait(&mut store, |store| store.applied() >= target);
        store.close(NOW).unwrap();
        let store = Store::open(options, NOW).unwrap();
        assert_eq!(store.namespaces().len(), 1, "a store that begins anew is one like any other");
    }

    /// There was no way out but to delete the folder.
    #[test]
    fn an_index_that_is_no_index_any_more_is_moved_aside_at_the_first_start() {
        for garbage in [&b""[..], &[7; 100_000]] {
            let folder = tempfile::tempdir().unwrap();
            let options = options(&folder);
            let mut store = Store::open(options.clone(), NOW).unwrap();
            put(&mut store, one());
            store.close(NOW).unwrap();
            fs::write(options.path.join("current/data.mdb"), garbage).unwrap();
            let store = Store::open(options.clone(), NOW).unwrap();
            assert_eq!(store.namespaces(), []);
            assert!(options.path.join(DAMAGED).exists());
        }
    }

    /// Two starts failed, and said that the folder is to be moved away; the third moved the index aside by itself.
    #[test]
    fn a_store_with_any_page_of_its_index_gone_is_opened_at_the_first_start() {
        let folder = tempfile::tempdir().unwrap();
        let options = options(&folder);
        let mut store = Store::open(options.clone(), NOW).unwrap();
        put(&mut store, one());
        store.close(NOW).unwrap();
        let index = fs::read(options.path.join("current/data.mdb")).unwrap();
        let pages = index.chunks_exact(4_096).enumerate().filter(|(_, page)| page.iter().any(|byte| *byte != 0));
        let mut aside = 0;
        for (number, _) in pages {
            let aside_before = options.path.join(DAMAGED);
            fs::remove_dir_all(&aside_before).ok();
            let mut damaged = index.clone();
            damaged[number * 4_096..][..4_096].fill(0);
            fs::write(options.path.join("current/data.mdb"), &damaged).unwrap();
            let opened = Store::open(options.clone(), NOW).unwrap_or_else(|error| panic!("page {number}: {error:?}"));
            opened.close(NOW).unwrap();
            aside += u32::from(aside_before.exists());
        }
        assert!(aside > 2, "{aside}");
    }

    /// It was taken for lost, and removed by what came next.
    #[test]
    fn an_index_that_can_not_be_looked_at_is_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join(CURRENT);
        // As a disk that fails, this gives an error that does not say whether anything is there.
        std::os::unix::fs::symlink(format!("gen-{}", "1".repeat(300)), &link).unwrap();
        assert!(matches!(forget_lost(folder.path()), Err(OpenError::Io { .. })));
        assert!(link.is_symlink());
    }

    #[test]
    fn a_store_whose_index_is_lost_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let options = options(&folder);
        Store::open(options.clone(), NOW).unwrap().close(NOW).unwrap();
        fs::remove_dir_all(options.path.join("gen-1")).unwrap();
        drop(Store::open(options, NOW).unwrap());
    }
}
