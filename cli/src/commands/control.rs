//! `status` and `stop`: the daemon itself. Neither ever starts one.

use std::path::Path;
use std::time::{Duration, Instant};

use datacache_client::blocking::DataCache;
use datacache_daemon::store::moved_aside;
use datacache_proto::holder::Holder;
use datacache_proto::paths::Paths;
use datacache_proto::process::Process;
use datacache_proto::time::Timestamp;
use datacache_proto::types::MovedAside;
use serde::Serialize;

use crate::context::Context;
use crate::failure::{Answer, Failure};
use crate::output::{print, print_line};
use crate::process_end::ProcessEnd;
use crate::progress::Extent;
use crate::render::aside::aside_line;
use crate::render::human;
use crate::render::json::{self, JsonMoment};
use crate::render::line::one_line;
use crate::render::moment::rfc3339;
use crate::render::table::aligned;

/// How long a daemon may take to end: it answers what is under way, and applies its log.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often to look where a process can't be watched.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The arguments of `status`.
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// Print a JSON object with running, since, build, protocol, pid, store, socket and moved_aside
    #[arg(long)]
    json: bool,
}

/// What `status` tells; what only a running daemon has is `null` where none runs. Scripts rely on the names.
#[derive(Serialize)]
struct State {
    running: bool,
    since: Option<JsonMoment>,
    build: Option<String>,
    protocol: Option<u32>,
    pid: Option<u32>,
    store: String,
    socket: String,
    moved_aside: Option<MovedAside>,
}

pub(crate) fn status(args: &StatusArgs, context: &Context) -> Result<Answer, Failure> {
    let paths = context.paths()?;
    let state = match connect(context)? {
        Some(cache) => running(&cache)?,
        None => State::stopped(&paths),
    };
    if args.json {
        print_line(json::to_line(&state))?;
    } else {
        print(&state.plain(Timestamp::now()))?;
    }
    Ok(if state.running { Answer::Yes } else { Answer::NotRunning })
}

/// Connects to the daemon that runs; `None` where none does. Systemd is not given a reason to start one, as far as that can be seen.
pub(crate) fn connect(context: &Context) -> Result<Option<DataCache>, Failure> {
    context.check_sight()?;
    if context.is_unserved()? {
        return Ok(None);
    }
    Ok(DataCache::try_connect(context.calling().start(false))?)
}

fn running(cache: &DataCache) -> Result<State, Failure> {
    let daemon = cache.daemon()?;
    // Not asked of the daemon, which would look into its index for it: to tell that it runs is not to hang on that.
    let moved_aside = if daemon.is_store_visible { moved_aside(&daemon.store) } else { None };
    Ok(State {
        running: true,
        since: Some(JsonMoment(daemon.started.into())),
        build: Some(daemon.build),
        protocol: Some(daemon.protocol),
        pid: Some(daemon.process.pid),
        store: shown(&daemon.store),
        socket: shown(&daemon.socket),
        moved_aside,
    })
}

impl State {
    fn stopped(paths: &Paths) -> Self {
        let [store, socket] = [&paths.store, &paths.socket].map(|path| shown(path));
        let moved_aside = moved_aside(&paths.store);
        Self { running: false, since: None, build: None, protocol: None, pid: None, store, socket, moved_aside }
    }

    fn plain(&self, now: Timestamp) -> String {
        let since = self.since.as_ref().map(|moment| moment.0);
        let rows = [
            ("daemon", Some(if self.running { "running" } else { "not running" }.to_owned())),
            ("since", since.map(|moment| format!("{} ({})", rfc3339(moment), human::distance(moment, now)))),
            ("build", self.build.clone()),
            ("protocol", self.protocol.map(|protocol| protocol.to_string())),
            ("pid", self.pid.map(|pid| pid.to_string())),
            ("store", Some(one_line(&self.store).into_owned())),
            ("socket", Some(one_line(&self.socket).into_owned())),
            ("lost index", self.moved_aside.as_ref().map(aside_line)),
        ];
        let rows = rows.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value?]));
        aligned(&rows.collect::<Vec<_>>())
    }
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

pub(crate) fn stop(context: &Context) -> Result<Answer, Failure> {
    if stop_running(context)?.is_some() {
        return Ok(Answer::Yes);
    }
    context.remark(&format!("no daemon runs for the store `{}`", one_line(&shown(&context.paths()?.store))));
    Ok(Answer::No)
}

/// Stops the daemon and waits for its end; returns its process number, or `None` where none runs.
///
/// # Errors
/// Where it can't be asked, and [`Failure::StillRuns`] after a minute.
pub(crate) fn stop_running(context: &Context) -> Result<Option<u32>, Failure> {
    let cache = match connect(context) {
        Ok(Some(cache)) => cache,
        Ok(None) => return Ok(None),
        Err(failure) => return stop_of_another_version(context, failure),
    };
    let process = cache.daemon()?.process;
    let end = ProcessEnd::watch(&process)?;
    let progress = context.progress("stopping", Extent::Time);
    cache.stop_daemon()?;
    // An open connection is one that the daemon would wait for.
    drop(cache);
    let ended = match end {
        Some(end) => end.wait(PATIENCE)?,
        None => wait_unseen(&process, context)?,
    };
    drop(progress);
    if ended { Ok(Some(process.pid)) } else { Err(Failure::StillRuns { pid: process.pid, waited: PATIENCE }) }
}

/// Ends a daemon that speaks another protocol by a signal, which every version understands; returns its process number.
///
/// # Errors
/// The `failure` to talk to it, where that is another one, or where the store does not tell who holds it.
fn stop_of_another_version(context: &Context, failure: Failure) -> Result<Option<u32>, Failure> {
    if !failure.is_version_mismatch() {
        return Err(failure);
    }
    let store = context.served_store()?;
    let Some(process) = Holder::of(&store) else { return Err(failure) };
    let Some(end) = ProcessEnd::watch(&process)? else { return Err(failure) };
    // Only now: whoever holds the lock after the process was taken hold of is that process.
    if Holder::of(&store) != Some(process) {
        return Err(failure);
    }
    end.ask()?;
    let progress = context.progress("stopping", Extent::Time);
    let ended = end.wait(PATIENCE)?;
    drop(progress);
    if ended { Ok(Some(process.pid)) } else { Err(Failure::StillRuns { pid: process.pid, waited: PATIENCE }) }
}

/// Waits for the end of a process of another pid namespace: until nobody, or somebody else, answers at the socket.
fn wait_unseen(process: &Process, context: &Context) -> Result<bool, Failure> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let Some(cache) = connect(context)? else {
            return Ok(true);
        };
        // A daemon that no longer answers may still hold the store.
        if cache.daemon().is_ok_and(|daemon| daemon.process != *process) {
            return Ok(true);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datacache_proto::paths::Overrides;

    fn paths() -> Paths {
        Paths::resolve(&Overrides { dir: Some("/my/store".into()), socket: Some("/my/sock".into()) }).unwrap()
    }

    #[test]
    fn a_store_without_a_daemon_has_the_same_names_in_json() {
        let line = r#"{"running":false,"since":null,"build":null,"protocol":null,"pid":null,"store":"/my/store","socket":"/my/sock","moved_aside":null}"#;
        assert_eq!(json::to_line(&State::stopped(&paths())), line);
    }

    #[test]
    fn people_are_told_only_what_there_is() {
        let text = "daemon  not running\nstore   /my/store\nsocket  /my/sock\n";
        assert_eq!(State::stopped(&paths()).plain(Timestamp::from_millis(0)), text);
        let started = Timestamp::from_millis(1_714_564_800_000);
        let running =
            State { running: true, since: Some(JsonMoment(started)), pid: Some(7), ..State::stopped(&paths()) };
        let text = running.plain(Timestamp::from_millis(1_714_564_920_000));
        assert!(
            text.starts_with("daemon  running\nsince   2024-05-01T12:00:00.000Z (2 minutes ago)\npid     7\n"),
            "{text}"
        );
    }
}
