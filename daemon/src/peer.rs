//! Who is at the other end of a connection: what the client says of itself, held against what the kernel says.

use std::fs;

use datacache_proto::process::{Process, boot_id, start_of};

/// The process at the other end, as far as its leases can be tied to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// It can be seen and is who it says: leases end with it. The process as this daemon sees it.
    Seen(Process),
    /// It runs where this daemon can't see it: leases end with its connection. Its number is 0.
    Unseen(Process),
    /// It is another process than the one it names, such as a child that was forked off: it can hold no lease.
    Foreign,
}

impl Peer {
    /// Tells who is at the other end of a connection that the process `number` opened (as the kernel tells this
    /// daemon; 0 or `None` where it has no number here) and that introduces itself as `claimed`.
    pub(crate) fn identify(number: Option<i32>, claimed: &Process) -> Self {
        let unseen = Self::Unseen(Process { pid: 0, ..*claimed });
        let Some(pid) = number.and_then(|number| u32::try_from(number).ok()).filter(|pid| *pid != 0) else {
            return unseen;
        };
        let (Ok(boot), Ok(start)) = (boot_id(), start_of(pid)) else {
            return unseen;
        };
        match start {
            Some(start) if start == claimed.start && boot == claimed.boot && own_number(pid) == Some(claimed.pid) => {
                Self::Seen(Process { boot, pid, start })
            }
            _ => Self::Foreign,
        }
    }
}

/// Returns the number that a process has in its own pid namespace, which need not be ours: the last one of `NSpid`.
fn own_number(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    numbers.split_whitespace().next_back()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> (Option<i32>, Process) {
        (i32::try_from(std::process::id()).ok(), Process::current().unwrap())
    }

    #[test]
    fn who_is_who_it_says_is_seen() {
        let (number, claimed) = me();
        assert_eq!(Peer::identify(number, &claimed), Peer::Seen(claimed));
    }

    #[test]
    fn a_child_that_names_its_parent_is_foreign() {
        let (number, claimed) = me();
        let parent = Process { pid: claimed.pid + 1, ..claimed };
        assert_eq!(Peer::identify(number, &parent), Peer::Foreign);
        let earlier = Process { start: claimed.start.wrapping_sub(1), ..claimed };
        assert_eq!(Peer::identify(number, &earlier), Peer::Foreign);
    }

    #[test]
    fn who_has_no_number_here_is_unseen() {
        let (_, claimed) = me();
        for number in [None, Some(0)] {
            assert_eq!(Peer::identify(number, &claimed), Peer::Unseen(Process { pid: 0, ..claimed }));
        }
    }

    #[test]
    fn who_speaks_for_a_process_that_is_gone_is_foreign() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let number = i32::try_from(child.id()).ok();
        child.wait().unwrap();
        assert_eq!(Peer::identify(number, &me().1), Peer::Foreign);
    }
}
