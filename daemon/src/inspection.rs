//! Looking at the whole store while it is in use, and mending what can be mended.

use std::rc::Rc;
use std::sync::Arc;

use datacache_proto::types::{Fault, Finding, MovedAside, Verification};
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};

use crate::bulk;
use crate::daemon::{Daemon, aside, blocking};
use crate::lifecycle::Stage;
use crate::store::{Occasion, Repairs, Store, Verdict};
use crate::waiting::answer;
use crate::writer::WriteError;

/// The answer has to fit a message: findings beyond this many bytes (2 MiB) only stand in the log.
const ENOUGH: usize = 2 << 20;

/// Lets one inspection happen at a time: it holds a thread of the blocking pool for as long as all blobs take to read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inspecting(Arc<Mutex<()>>);

impl Inspecting {
    /// Keeps inspections waiting until what is returned is dropped; `None` where one is under way.
    pub(crate) fn hold_off(&self) -> Option<OwnedMutexGuard<()>> {
        Arc::clone(&self.0).try_lock_owned().ok()
    }
}

/// Checks everything, and mends what can be mended if `repair` is set.
///
/// # Errors
/// Where the index can't be read, or a repair can't be written.
pub(crate) async fn verify(daemon: &Rc<Daemon>, repair: bool) -> Result<Verification, WriteError> {
    let (mut reply, answered) = oneshot::channel();
    let inspected = Rc::clone(daemon);
    // On a task of its own: the calls of a client that takes none of its answers stand still, and would keep the turn.
    daemon.tasks.spawn(async move {
        tokio::select! {
            turn = Arc::clone(&inspected.inspecting.0).lock_owned() => {
                answer(reply, inspect(&inspected, repair, turn).await);
            }
            () = reply.closed() => {}
        }
    });
    answered.await.unwrap_or(Err(WriteError::Closed))
}

async fn inspect(daemon: &Daemon, repair: bool, turn: OwnedMutexGuard<()>) -> Result<Verification, WriteError> {
    let moved_aside = daemon.writer.read(Store::moved_aside)?;
    let mut verification = match examine(daemon, repair).await? {
        Some(damaged) => damaged,
        None => look(daemon, repair, turn).await?,
    };
    tell_loss(&mut verification, moved_aside);
    shorten(&mut verification.findings);
    Ok(verification)
}

/// All that the store has is sound the minute after everything was lost: that is told until somebody has seen to the folder.
fn tell_loss(verification: &mut Verification, moved_aside: Option<MovedAside>) {
    if moved_aside.is_some() {
        // First, for others may be too many.
        let lost = Finding { fault: Fault::LostIndex, entry: None, digest: None, unread: None, repaired: false };
        verification.findings.insert(0, lost);
    }
    verification.moved_aside = moved_aside;
}

/// Compares everything, in the daemon itself.
async fn look(daemon: &Daemon, repair: bool, turn: OwnedMutexGuard<()>) -> Result<Verification, WriteError> {
    daemon.writer.checkpoint().await?;
    let (reader, blobs) = (daemon.reader()?, daemon.blobs.clone());
    // The turn goes with the work: that goes on when the caller has gone.
    let (report, turn) = aside(move || (reader.verify(&blobs), turn)).await?;
    let report = daemon.writer.settle(report)?;
    let (verification, repairs) = daemon.writer.with(|store| store.conclude(report, repair))?;
    if repair {
        mend(daemon, repairs).await?;
    }
    drop(turn);
    tracing::info!(
        entries = verification.entries,
        findings = verification.findings.len(),
        repair,
        "the store was checked"
    );
    Ok(verification)
}

/// Has another process look the index through first: a damaged page may end the one that looks at it. To mend it is for the next
/// daemon, which has not opened it.
async fn examine(daemon: &Daemon, repair: bool) -> Result<Option<Verification>, WriteError> {
    let occasion = if repair { Occasion::Repair } else { Occasion::InUse };
    let how = match aside(daemon.writer.read(|store| store.examination(occasion))?).await? {
        Ok(Verdict::Sound) => return Ok(None),
        Ok(Verdict::Leaky) => {
            tracing::warn!("some pages of the index are neither in use nor free");
            return Ok(None);
        }
        Ok(Verdict::Damaged(how)) => how,
        Err(error) => {
            tracing::warn!(%error, "the index could not be looked through by another process");
            return Ok(None);
        }
    };
    tracing::error!(how, repair, "the index is damaged; repaired, it is moved aside, and the store begins empty");
    if repair {
        daemon.writer.read(Store::distrust)?;
        daemon.lifecycle.advance(Stage::Draining);
    }
    let finding = Finding { fault: Fault::DamagedIndex, entry: None, digest: None, unread: None, repaired: repair };
    Ok(Some(Verification { findings: vec![finding], ..Verification::default() }))
}

async fn mend(daemon: &Daemon, repairs: Repairs) -> Result<(), WriteError> {
    let lost = repairs.lost_blobs.clone();
    let mended = carry_out(daemon, repairs).await;
    // Also where that failed: who reads an entry that is left finds that its value is gone, and has it removed.
    daemon.writer.with(|store| store.forget_lost(&lost))?;
    mended
}

async fn carry_out(daemon: &Daemon, repairs: Repairs) -> Result<(), WriteError> {
    // Orphans are removed when the writer comes round.
    daemon.writer.turn().await?;
    bulk::delete(daemon, repairs.commands, |_, _| ()).await?;
    if !repairs.lost_blobs.is_empty() {
        daemon.writer.checkpoint().await?;
        let reader = daemon.reader()?;
        let commands = daemon.writer.settle(blocking(move || reader.naming(&repairs.lost_blobs)).await?)?;
        bulk::delete(daemon, commands, |_, _| ()).await?;
    }
    if repairs.rebuild {
        daemon.writer.checkpoint().await?;
        let reader = daemon.reader()?;
        let corrections = daemon.writer.settle(blocking(move || reader.rebuild()).await?)?;
        daemon.writer.with(|store| store.correct(&corrections))?;
    }
    Ok(())
}

/// Drops the findings that the answer has no room for.
fn shorten(findings: &mut Vec<Finding>) {
    let mut bytes = 0;
    let fits = findings.iter().take_while(|finding| {
        bytes += size(finding);
        bytes <= ENOUGH
    });
    let fits = fits.count();
    for finding in findings.drain(fits..) {
        let Finding { fault, entry, digest, unread, .. } = finding;
        tracing::warn!(%fault, ?entry, ?digest, ?unread, "one more finding");
    }
}

/// Returns about how many bytes a finding takes in a message.
fn size(finding: &Finding) -> usize {
    let entry = finding.entry.as_ref().map_or(0, |(namespace, key)| namespace.len() + key.encoded().len());
    40 + entry + finding.unread.as_ref().map_or(0, |unread| 8 + unread.path.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deadlines::Deadlines;
    use crate::store::{Batch, Command, NewValue, Put, Rules};
    use crate::writer::Writer;
    use crate::{Config, OpenStore};
    use datacache_proto::key::Key;
    use datacache_proto::layout::blob_path;
    use datacache_proto::paths::Paths;
    use datacache_proto::time::Timestamp;
    use datacache_proto::types::{Codec, Digest};
    use sha2::Digest as _;
    use std::fs;
    use std::time::Duration;
    use tokio::sync::watch;
    use tokio::task::spawn_local;
    use tokio::time::timeout;

    /// Nothing was wrong with what was left, which was nothing.
    #[test]
    fn a_lost_index_is_the_first_finding_for_as_long_as_it_lies_aside() {
        let count = Finding { fault: Fault::WrongCount, entry: None, digest: None, unread: None, repaired: true };
        let mut verification = Verification { findings: vec![count.clone()], ..Verification::default() };
        tell_loss(&mut verification, None);
        assert_eq!((&*verification.findings, &verification.moved_aside), (&[count][..], &None));
        let since = Timestamp::from_millis(1);
        let aside = MovedAside { folder: "/s/damaged".into(), since, bytes: 2, lost: None };
        tell_loss(&mut verification, Some(aside.clone()));
        let found = verification.findings.iter().map(|finding| (finding.fault, finding.repaired));
        assert_eq!(found.collect::<Vec<_>>(), [(Fault::LostIndex, false), (Fault::WrongCount, true)]);
        assert_eq!(verification.moved_aside, Some(aside));
    }

    #[test]
    fn findings_that_no_message_holds_are_left_out() {
        let entry = Some(("n".to_owned(), Key::bytes(&[7; 60_000])));
        let finding = Finding { fault: Fault::DamagedRecord, entry, digest: None, unread: None, repaired: false };
        let mut findings = vec![finding; 50];
        shorten(&mut findings);
        let bytes: usize = findings.iter().map(size).sum();
        assert!(bytes <= ENOUGH && bytes + 60_041 > ENOUGH, "{bytes}");
        findings.truncate(3);
        shorten(&mut findings);
        assert_eq!(findings.len(), 3);
    }

    /// Its entries were misses that nobody removed, until the daemon's end.
    #[tokio::test(flavor = "local")]
    async fn a_value_that_was_lost_is_found_to_be_gone_although_its_repair_failed() {
        let folder = tempfile::tempdir().unwrap();
        let [store, socket, store_link, config] = ["c", "sock", "store", "f"].map(|name| folder.path().join(name));
        let mut config =
            Config::defaults(Paths { store: store.clone(), socket, store_link, config, is_default: false });
        config.rules = Rules::none();
        let writer = Writer::new(OpenStore::open(&config).unwrap(), Deadlines::default());
        let (_config, receiver) = watch::channel(config);
        let daemon = Daemon::new(receiver.into(), writer.clone()).unwrap();
        spawn_local(async move { writer.work().await });
        let digest = Digest(sha2::Sha256::digest(b"value").into());
        fs::write(daemon.blobs.staging().join("staged"), b"value").unwrap();
        let value = NewValue::Blob(daemon.blobs.receive("staged", 5, digest, false).unwrap());
        let (namespace, key, codec) = ("n".into(), Key::from("k").into(), Codec::Bytes);
        let put = Put { namespace, key, codec, value, expires: None, tags: Vec::new(), pinned: false, holder: None };
        daemon.writer.write(Batch::of(Command::Put(put), None), false).await.unwrap();
        daemon.writer.checkpoint().await.unwrap();
        fs::remove_file(blob_path(&store, &digest)).unwrap();
        let report = daemon.reader().unwrap().verify(&daemon.blobs).unwrap();
        let (_, repairs) = daemon.writer.with(|store| store.conclude(report, true)).unwrap();
        assert_eq!(repairs.lost_blobs.len(), 1);
        daemon.lifecycle.advance(Stage::Draining);
        mend(&daemon, repairs).await.unwrap_err();
        daemon.writer.with(|store| store.condemn(digest, None)).unwrap();
        let is_gone = async {
            while daemon.writer.read(|store| store.space().entries).unwrap() > 0 {
                daemon.writer.turn().await.unwrap();
            }
        };
        timeout(Duration::from_secs(60), is_gone).await.expect("its entry is removed");
    }
}
