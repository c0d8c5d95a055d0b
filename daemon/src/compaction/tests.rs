//! When space is given back, when that waits, and what is left behind.

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use datacache_proto::key::Key;
use datacache_proto::layout::{CURRENT, DATA_FILE};
use datacache_proto::paths::Paths;
use datacache_proto::types::Codec;
use futures::poll;
use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout};

use super::*;
use crate::Config;
use crate::deadlines::Deadlines;
use crate::open_store::OpenStore;
use crate::store::{Batch, Command, Condition, NewValue, Put, Rules};
use crate::writer::Writer;

/// How many values there are of a mebibyte each: a smaller file is not worth it.
const VALUES: i64 = 36;

/// Returns after how many seconds attempts were made within so many, each of which came out as `outcomes` say, the last one again and again.
/// Something changes at each of the moments `changes`. The clock is tokio's that stands still and jumps to the next moment that anything
/// waits for: nothing here takes time.
async fn attempts(within: u64, outcomes: &[Attempt], changes: &[u64]) -> Vec<u64> {
    let (begun, activity, made) = (Instant::now(), Activity::default(), RefCell::new(Vec::new()));
    let attempt = async || {
        let mut made = made.borrow_mut();
        made.push(begun.elapsed().as_secs());
        outcomes[(made.len() - 1).min(outcomes.len() - 1)]
    };
    let change = async {
        for moment in changes {
            tokio::time::sleep_until(begun + Duration::from_secs(*moment)).await;
            activity.note();
        }
        std::future::pending::<()>().await;
    };
    let all = futures::future::join(when_quiet(&activity, attempt), change);
    assert!(timeout(Duration::from_secs(within), all).await.is_err(), "it goes on for ever");
    made.into_inner()
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn once_it_is_over_it_is_tried_again_after_a_change_and_five_quiet_seconds() {
    assert_eq!(attempts(1_000, &[Attempt::Over], &[]).await, [5]);
    assert_eq!(attempts(1_000, &[Attempt::Over], &[100, 500]).await, [5, 105, 505]);
    assert_eq!(attempts(1_000, &[Attempt::Over], &[2, 4, 9, 13, 18]).await, [25]);
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn what_is_not_ready_is_tried_again_soon_and_what_was_given_up_after_ever_longer_pauses() {
    use Attempt::{GivenUp, NotYet, Over};
    assert_eq!(attempts(29, &[NotYet], &[]).await, [5, 10, 15, 20, 25]);
    assert_eq!(attempts(200, &[GivenUp], &[]).await, [5, 15, 30, 55, 100, 185]);
    let late = attempts(20_000, &[GivenUp], &[]).await;
    assert!(late.windows(2).all(|two| two[1] - two[0] <= 605), "{late:?}");
    assert_eq!(attempts(1_000, &[GivenUp, GivenUp, Over, GivenUp], &[100]).await[..5], [5, 15, 30, 105, 115]);
}

/// A store that was short of room on a full disk had an idle daemon wake up every five seconds, for ever.
#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn what_does_not_get_ready_is_tried_after_ever_longer_pauses_until_something_changes() {
    use Attempt::NotYet;
    let made = attempts(20_000, &[NotYet], &[]).await;
    let gaps: Vec<_> = made.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(gaps.len() < 60 && gaps[..12] == [5; 12], "{gaps:?}");
    assert!(gaps.is_sorted() && gaps.last() == Some(&605), "{gaps:?}");
    let made = attempts(20_000, &[NotYet], &[15_000]).await;
    let after: Vec<_> = made.into_iter().filter(|second| *second > 15_000).take(4).collect();
    assert_eq!(after, [15_005, 15_010, 15_015, 15_020]);
}

/// A daemon with a store that its writer works on.
struct Subject {
    daemon: Rc<Daemon>,
    folder: tempfile::TempDir,
    _config: watch::Sender<Config>,
}

impl Subject {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [store, socket, store_link, config] = ["c", "sock", "store", "f"].map(|name| folder.path().join(name));
        let mut config = Config::defaults(Paths { store, socket, store_link, config, is_default: false });
        config.rules = Rules::none();
        let writer = Writer::new(OpenStore::open(&config).unwrap(), Deadlines::default());
        let (sender, receiver) = watch::channel(config);
        let daemon = Rc::new(Daemon::new(receiver.into(), writer.clone()).unwrap());
        spawn_local(async move { writer.work().await });
        Self { daemon, folder, _config: sender }
    }

    /// The same with values in its index, of which one is left.
    async fn emptied() -> Self {
        let subject = Self::new();
        for key in 0..VALUES {
            subject.write(put(key)).await;
        }
        subject.daemon.writer.checkpoint().await.unwrap();
        let namespace = subject.daemon.writer.read(|store| store.namespace("n")).unwrap().unwrap();
        for key in 1..VALUES {
            subject.write(Command::Delete { namespace, key: key.into(), when: Condition::Live }).await;
        }
        subject
    }

    async fn write(&self, command: Command) {
        self.daemon.writer.write(Batch::of(command, None), false).await.unwrap();
    }

    /// Returns what comes of an attempt, once the store's threads have nothing to do.
    async fn attempt(&self) -> Attempt {
        loop {
            match compact(&self.daemon).await.unwrap() {
                Attempt::NotYet => self.daemon.writer.turn().await.unwrap(),
                attempt => return attempt,
            }
        }
    }

    fn index_bytes(&self) -> u64 {
        let data = self.folder.path().join("c").join(CURRENT).join(DATA_FILE);
        fs::metadata(data).unwrap().len()
    }

    /// Returns the generations that there are.
    fn generations(&self) -> usize {
        let is_one = |path: &Path| path.join(DATA_FILE).is_file() && !path.is_symlink();
        let all = fs::read_dir(self.folder.path().join("c")).unwrap();
        all.filter(|entry| is_one(&entry.as_ref().unwrap().path())).count()
    }

    fn entries(&self) -> u64 {
        self.daemon.writer.read(|store| store.space().entries).unwrap()
    }
}

fn put(key: i64) -> Command {
    let (codec, value) = (Codec::Bytes, NewValue::Inline(vec![u8::try_from(key).unwrap(); 1 << 20].into()));
    let (namespace, key) = ("n".into(), Key::from(key).into());
    Command::Put(Put { namespace, key, codec, value, expires: None, tags: Vec::new(), pinned: false, holder: None })
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn an_index_that_is_mostly_free_goes_on_in_a_smaller_file_and_the_one_before_is_gone() {
    let subject = Subject::emptied().await;
    subject.daemon.writer.checkpoint().await.unwrap();
    let before = subject.index_bytes();
    assert_eq!(subject.attempt().await, Attempt::Over);
    assert!(subject.index_bytes() < before / 4, "{} of {before}", subject.index_bytes());
    assert_eq!((subject.generations(), subject.entries()), (1, 1));
    subject.write(put(7)).await;
    let after = subject.index_bytes();
    assert_eq!((subject.attempt().await, subject.entries()), (Attempt::Over, 2));
    assert!(subject.index_bytes() >= after, "there is not much that is free");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn while_the_index_is_looked_through_it_stays_where_it_is() {
    let subject = Subject::emptied().await;
    let looking = subject.daemon.inspecting.hold_off();
    assert_eq!(subject.attempt().await, Attempt::GivenUp);
    drop(looking);
    assert_eq!(subject.attempt().await, Attempt::Over);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn whoever_writes_during_a_copy_wins_and_nothing_of_it_is_left() {
    let subject = Subject::emptied().await;
    let mut compacting = pin!(subject.attempt());
    // The copy is there once its folder is, and takes over in a later turn.
    while subject.generations() == 1 {
        assert!(poll!(&mut compacting).is_pending(), "there is much that is free");
        tokio::task::yield_now().await;
    }
    subject.write(put(9)).await;
    assert_eq!(compacting.await, Attempt::GivenUp);
    assert_eq!((subject.generations(), subject.entries()), (1, 2));
}
