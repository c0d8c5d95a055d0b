//! The replies of changing calls that were done, kept so that a call which is repeated after a lost connection is answered and not
//! done twice. The last [`PER_CLIENT`] of a client, or [`BYTES_PER_CLIENT`], and the last [`CLIENTS`] clients; older calls are
//! not repeated by anyone.

use std::collections::{HashMap, VecDeque};

use datacache_proto::types::CallId;
use serde::{Deserialize, Serialize};

use super::command::Outcome;
use super::outcomes;

/// How many replies of one client are kept.
pub(super) const PER_CLIENT: usize = 128;
/// How many bytes the replies of one client may take. So many of the largest batches take less, unless their versions are
/// scattered, as those of equal content are that was there before. The newest is always kept.
pub(super) const BYTES_PER_CLIENT: usize = 256 * 1024;
/// How many clients' replies are kept: those that called last.
pub(super) const CLIENTS: usize = 1_024;

/// The replies of one client, as the index keeps them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ClientReplies {
    /// The sequence number of the newest reply: whose is lowest is forgotten first.
    pub(super) seq: u64,
    replies: VecDeque<(u64, Vec<u8>)>,
    /// The sum of their lengths.
    #[serde(skip)]
    bytes: usize,
}

impl ClientReplies {
    /// Adds a reply; the oldest goes when there are too many.
    pub(super) fn add(&mut self, number: u64, seq: u64, reply: &[u8]) {
        self.seq = seq;
        self.replies.push_back((number, reply.to_vec()));
        self.bytes += reply.len();
        while self.replies.len() > PER_CLIENT || self.replies.len() > 1 && self.bytes > BYTES_PER_CLIENT {
            self.bytes -= self.replies.pop_front().map_or(0, |(_, oldest)| oldest.len());
        }
    }

    fn find(&self, number: u64) -> Option<Vec<Outcome>> {
        let (_, reply) = self.replies.iter().rev().find(|(have, _)| *have == number)?;
        outcomes::decode(reply)
    }

    /// Returns the row of the table `replies`.
    pub(super) fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("replies are plain data, and memory is the only limit")
    }

    /// Reads a row of the table `replies`; an unreadable one holds nothing.
    pub(super) fn decode(row: &[u8]) -> Self {
        let mut client: Self = postcard::from_bytes(row).unwrap_or_default();
        client.bytes = client.replies.iter().map(|(_, reply)| reply.len()).sum();
        client
    }
}

/// The replies of all clients, in memory.
#[derive(Debug, Default)]
pub(super) struct Replies {
    clients: HashMap<u64, ClientReplies>,
}

impl Replies {
    /// Takes in a row of the index.
    pub(super) fn load(&mut self, client: u64, replies: ClientReplies) {
        self.clients.insert(client, replies);
    }

    /// Returns what came of a call, if it was done.
    pub(super) fn find(&self, call: CallId) -> Option<Vec<Outcome>> {
        self.clients.get(&call.client)?.find(call.number)
    }

    /// Keeps what came of a call.
    pub(super) fn add(&mut self, call: CallId, seq: u64, reply: &[u8]) {
        self.clients.entry(call.client).or_default().add(call.number, seq, reply);
        if self.clients.len() > CLIENTS {
            let oldest = self.clients.iter().min_by_key(|(_, replies)| replies.seq).map(|(&client, _)| client);
            oldest.and_then(|client| self.clients.remove(&client));
        }
    }

    /// Forgets the reply that was added last for this client: its frame was not written.
    pub(super) fn take_back(&mut self, client: u64) {
        if let Some(replies) = self.clients.get_mut(&client) {
            replies.bytes -= replies.replies.pop_back().map_or(0, |(_, reply)| reply.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::outcomes::encode;
    use super::*;

    fn call(client: u64, number: u64) -> CallId {
        CallId { client, number }
    }

    #[test]
    fn the_last_replies_of_a_client_are_found_and_older_ones_are_not() {
        let mut replies = Replies::default();
        for number in 1..=PER_CLIENT as u64 + 1 {
            replies.add(call(1, number), number, &encode(&[Outcome::Deleted(number % 2 == 0)]));
        }
        assert_eq!(replies.find(call(1, 1)), None);
        assert_eq!(replies.find(call(1, 2)), Some(vec![Outcome::Deleted(true)]));
        assert_eq!(replies.find(call(2, 2)), None);
    }

    #[test]
    fn large_replies_push_out_older_ones_of_the_same_client_but_the_newest_stays() {
        let large = vec![7; BYTES_PER_CLIENT / 2];
        let mut client = ClientReplies::default();
        for number in 1..=3 {
            client.add(number, number, &large);
        }
        assert_eq!(client.replies.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2, 3]);
        let mut client = ClientReplies::decode(&client.encode());
        client.add(4, 4, &[large.clone(), large.clone(), large].concat());
        assert_eq!(client.replies.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [4]);
        client.add(5, 5, b"small");
        assert_eq!((client.replies.len(), client.bytes), (1, 5));
    }

    #[test]
    fn the_client_that_called_longest_ago_is_forgotten_first() {
        let mut replies = Replies::default();
        for client in 0..=CLIENTS as u64 {
            replies.add(call(client, 1), client + 10, &encode(&[]));
        }
        assert_eq!(replies.find(call(0, 1)), None);
        assert_eq!(replies.find(call(1, 1)), Some(vec![]));
    }

    #[test]
    fn replies_come_back_from_the_index() {
        let mut client = ClientReplies::default();
        client.add(4, 9, &encode(&[Outcome::Touched(true)]));
        assert_eq!(ClientReplies::decode(&client.encode()), client);
        assert_eq!(ClientReplies::decode(b"\xff\xff"), ClientReplies::default());
    }
}
