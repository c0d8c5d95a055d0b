//! The scopes that may hold leases: which are open, which have ended, and what each is tied to. Bookkeeping only; who
//! watches processes and gives leases back is `leases`.

use std::collections::{HashMap, HashSet, VecDeque};

use datacache_proto::process::Process;

use crate::store::Holder;

/// How many ended scopes of a process are remembered. One that ended before so many others could be opened again; its
/// own process would have to do that, against itself.
const REMEMBERED: usize = 4_096;

/// Names a connection as long as the daemon runs.
pub(crate) type ConnectionId = u64;

/// All scopes, by process.
#[derive(Debug, Default)]
pub(crate) struct Scopes(HashMap<Process, OfProcess>);

#[derive(Debug, Default)]
struct OfProcess {
    /// Each with the connection that it ends with, where the process can't be seen and the connection is there.
    open: HashMap<u64, Option<ConnectionId>>,
    ended: HashSet<u64>,
    /// The same, oldest first.
    order: VecDeque<u64>,
    /// The process has ended; calls of it may still be under way.
    is_gone: bool,
}

/// The scope has ended and can't be used again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended;

impl Scopes {
    /// Tells whether any scope of the process was ever opened.
    pub(crate) fn knows(&self, process: &Process) -> bool {
        self.0.contains_key(process)
    }

    /// Opens a scope, or finds it open; ties it to `connection`.
    pub(crate) fn open(&mut self, holder: Holder, connection: Option<ConnectionId>) -> Result<(), Ended> {
        let scopes = self.0.entry(holder.process).or_default();
        if scopes.is_gone || scopes.ended.contains(&holder.scope) {
            return Err(Ended);
        }
        scopes.open.insert(holder.scope, connection);
        Ok(())
    }

    /// Ends a scope for good.
    pub(crate) fn end(&mut self, holder: Holder) {
        self.0.entry(holder.process).or_default().end(holder.scope);
    }

    /// Ends all scopes of a process, also those that it never used; returns those that were open.
    pub(crate) fn end_process(&mut self, process: Process) -> Vec<Holder> {
        self.0.entry(process).or_default().is_gone = true;
        self.end_where(process, |_| true)
    }

    /// Ends the scopes that are tied to a connection; returns them.
    pub(crate) fn end_connection(&mut self, connection: ConnectionId) -> Vec<Holder> {
        let processes: Vec<_> = self.0.keys().copied().collect();
        let ended = |process| self.end_where(process, |tie| tie == Some(connection));
        let ended = processes.into_iter().flat_map(ended).collect();
        self.forget_unseen();
        ended
    }

    /// Ends the scopes of unseen processes that no connection came for; returns them.
    pub(crate) fn end_unclaimed(&mut self) -> Vec<Holder> {
        let unseen: Vec<_> = self.0.keys().copied().filter(is_unseen).collect();
        let ended = unseen.into_iter().flat_map(|process| self.end_where(process, |tie| tie.is_none())).collect();
        self.forget_unseen();
        ended
    }

    /// Forgets a process that is gone.
    pub(crate) fn forget(&mut self, process: &Process) {
        self.0.remove(process);
    }

    fn end_where(&mut self, process: Process, is_over: impl Fn(Option<ConnectionId>) -> bool) -> Vec<Holder> {
        let Some(scopes) = self.0.get_mut(&process) else { return Vec::new() };
        let over: Vec<u64> = scopes.open.iter().filter(|(_, tie)| is_over(**tie)).map(|(scope, _)| *scope).collect();
        over.iter().for_each(|scope| scopes.end(*scope));
        over.into_iter().map(|scope| Holder { process, scope }).collect()
    }

    /// Nobody sees an unseen process end, so it is forgotten with its last scope.
    fn forget_unseen(&mut self) {
        self.0.retain(|process, scopes| !is_unseen(process) || !scopes.open.is_empty());
    }
}

impl OfProcess {
    fn end(&mut self, scope: u64) {
        self.open.remove(&scope);
        if self.ended.insert(scope) {
            self.order.push_back(scope);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ended.remove(&oldest);
        }
    }
}

/// An unseen process has the number 0, see [`crate::peer::Peer::Unseen`].
pub(crate) fn is_unseen(process: &Process) -> bool {
    process.pid == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(pid: u32, scope: u64) -> Holder {
        Holder { process: Process { boot: 1, pid, start: 5 }, scope }
    }

    #[test]
    fn an_ended_scope_can_not_be_opened_again() {
        let mut scopes = Scopes::default();
        assert_eq!(scopes.open(holder(7, 1), None), Ok(()));
        assert_eq!(scopes.open(holder(7, 1), None), Ok(()));
        scopes.end(holder(7, 1));
        assert_eq!(scopes.open(holder(7, 1), None), Err(Ended));
        assert_eq!(scopes.open(holder(7, 2), None), Ok(()));
        assert_eq!(scopes.open(holder(8, 1), None), Ok(()), "a scope of another process is another scope");
    }

    #[test]
    fn a_scope_that_ends_before_it_is_used_is_ended_too() {
        let mut scopes = Scopes::default();
        scopes.end(holder(7, 1));
        assert_eq!(scopes.open(holder(7, 1), None), Err(Ended));
    }

    #[test]
    fn all_open_scopes_end_with_their_process() {
        let mut scopes = Scopes::default();
        for scope in [1, 2, 3] {
            scopes.open(holder(7, scope), None).unwrap();
        }
        scopes.open(holder(8, 1), None).unwrap();
        scopes.end(holder(7, 3));
        let mut ended = scopes.end_process(holder(7, 0).process);
        ended.sort_unstable();
        assert_eq!(ended, [holder(7, 1), holder(7, 2)]);
        assert_eq!(scopes.end_process(holder(7, 0).process), []);
        for scope in [1, 4] {
            assert_eq!(scopes.open(holder(7, scope), None), Err(Ended), "a late call opened a scope");
        }
    }

    #[test]
    fn an_unseen_process_holds_by_its_connection() {
        let mut scopes = Scopes::default();
        scopes.open(holder(0, 1), Some(10)).unwrap();
        scopes.open(holder(0, 2), Some(10)).unwrap();
        // It came back on another connection before the end of the first was noticed, with one of its scopes.
        scopes.open(holder(0, 2), Some(11)).unwrap();
        assert_eq!(scopes.end_connection(10), [holder(0, 1)]);
        assert_eq!(scopes.end_connection(11), [holder(0, 2)]);
        assert!(!scopes.knows(&holder(0, 1).process), "nothing of it may be kept");
    }

    #[test]
    fn what_nobody_claims_after_a_restart_ends() {
        let mut scopes = Scopes::default();
        scopes.open(holder(0, 1), None).unwrap();
        scopes.open(holder(0, 2), None).unwrap();
        scopes.open(holder(7, 1), None).unwrap();
        scopes.open(holder(0, 2), Some(3)).unwrap();
        assert_eq!(scopes.end_unclaimed(), [holder(0, 1)]);
    }

    #[test]
    fn only_the_last_ended_scopes_are_remembered() {
        let mut scopes = Scopes::default();
        for scope in 0..=REMEMBERED as u64 {
            scopes.end(holder(7, scope));
        }
        assert_eq!(scopes.open(holder(7, 0), None), Ok(()));
        assert_eq!(scopes.open(holder(7, 1), None), Err(Ended));
    }
}
