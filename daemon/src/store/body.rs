//! The bodies of the operations that are not records: leases, releases, replies, verified blobs, places. Little-endian.

use datacache_proto::process::Process;
use datacache_proto::types::{CallId, Digest};

use super::command::Holder;
use crate::eviction::{Note, Place, Queue};

/// `version u64 · scope u64 · boot u128 · pid u32 · start u64`: of a lease and of its release, and, with the version
/// big-endian, the key of the table `leases`.
pub(super) const LEASE: usize = 8 + HOLDER;
const HOLDER: usize = 8 + 16 + 4 + 8;

/// Writes the body of a lease or a release.
pub(super) fn encode_lease(version: u64, holder: &Holder, out: &mut Vec<u8>) {
    out.extend_from_slice(&version.to_le_bytes());
    encode_holder(holder, out);
}

/// Reads the body of a lease or a release.
pub(super) fn decode_lease(body: &[u8]) -> Option<(u64, Holder)> {
    let (version, holder) = body.split_at_checked(8)?;
    Some((u64::from_le_bytes(version.try_into().ok()?), decode_holder(holder)?))
}

/// Returns a key of the table `leases`.
#[expect(clippy::big_endian_bytes, reason = "LMDB sorts keys by their bytes")]
pub(super) fn lease_key(version: u64, holder: &Holder) -> Vec<u8> {
    let mut key = Vec::with_capacity(LEASE);
    key.extend_from_slice(&version.to_be_bytes());
    encode_holder(holder, &mut key);
    key
}

/// Returns what the keys of all leases of a version begin with.
#[expect(clippy::big_endian_bytes, reason = "LMDB sorts keys by their bytes")]
pub(super) fn lease_prefix(version: u64) -> [u8; 8] {
    version.to_be_bytes()
}

/// Reads a key of the table `leases`.
#[expect(clippy::big_endian_bytes, reason = "the inverse of `lease_key`")]
pub(super) fn decode_lease_key(key: &[u8]) -> Option<(u64, Holder)> {
    let (version, holder) = key.split_at_checked(8)?;
    Some((u64::from_be_bytes(version.try_into().ok()?), decode_holder(holder)?))
}

fn encode_holder(holder: &Holder, out: &mut Vec<u8>) {
    out.extend_from_slice(&holder.scope.to_le_bytes());
    out.extend_from_slice(&holder.process.boot.to_le_bytes());
    out.extend_from_slice(&holder.process.pid.to_le_bytes());
    out.extend_from_slice(&holder.process.start.to_le_bytes());
}

fn decode_holder(bytes: &[u8]) -> Option<Holder> {
    let bytes: &[u8; HOLDER] = bytes.try_into().ok()?;
    Some(Holder {
        scope: u64::from_le_bytes(bytes[..8].try_into().ok()?),
        process: Process {
            boot: u128::from_le_bytes(bytes[8..24].try_into().ok()?),
            pid: u32::from_le_bytes(bytes[24..28].try_into().ok()?),
            start: u64::from_le_bytes(bytes[28..].try_into().ok()?),
        },
    })
}

/// Writes the body of a reply.
pub(super) fn encode_reply(call: CallId, reply: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&call.client.to_le_bytes());
    out.extend_from_slice(&call.number.to_le_bytes());
    out.extend_from_slice(reply);
}

/// Reads the body of a reply.
pub(super) fn decode_reply(body: &[u8]) -> Option<(CallId, &[u8])> {
    let (client, rest) = body.split_at_checked(8)?;
    let (number, reply) = rest.split_at_checked(8)?;
    let call = CallId {
        client: u64::from_le_bytes(client.try_into().ok()?),
        number: u64::from_le_bytes(number.try_into().ok()?),
    };
    Some((call, reply))
}

/// Reads the body of a note that a blob is verified.
pub(super) fn decode_digest(body: &[u8]) -> Option<Digest> {
    Some(Digest(body.try_into().ok()?))
}

/// `birth u64 · queue u8 · note u8`: of an entry that is kept.
pub(super) const KEEP: usize = 8 + 1 + 1;

/// Writes the body of a keep: the entry's birth, and its new place.
pub(super) fn encode_keep(birth: u64, place: Place, out: &mut Vec<u8>) {
    out.extend_from_slice(&birth.to_le_bytes());
    out.extend([u8::from(place.queue == Queue::Main), place.note.to_bits()]);
}

/// Reads the body of a keep.
pub(super) fn decode_keep(body: &[u8]) -> Option<(u64, Place)> {
    let (birth, &[queue, note]) = body.split_first_chunk().and_then(|(birth, rest)| Some((birth, rest.as_array()?)))?;
    let queue = if queue == 0 { Queue::Small } else { Queue::Main };
    Some((u64::from_le_bytes(*birth), Place { queue, note: Note::from_bits(note) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLDER_OF_TEST: Holder = Holder { process: Process { boot: 1 << 100, pid: 77, start: 1 << 40 }, scope: 9 };

    #[test]
    fn leases_come_back_as_they_went_in() {
        let mut body = Vec::new();
        encode_lease(5, &HOLDER_OF_TEST, &mut body);
        assert_eq!(decode_lease(&body), Some((5, HOLDER_OF_TEST)));
        assert_eq!(decode_lease(&body[1..]), None);
        assert_eq!(decode_lease_key(&lease_key(5, &HOLDER_OF_TEST)), Some((5, HOLDER_OF_TEST)));
        assert!(lease_key(5, &HOLDER_OF_TEST).starts_with(&lease_prefix(5)));
    }

    #[test]
    fn keeps_come_back_as_they_went_in() {
        for queue in [Queue::Small, Queue::Main] {
            let (place, mut body) = (Place { queue, note: Note::from_bits(0x95) }, Vec::new());
            encode_keep(5, place, &mut body);
            assert_eq!((decode_keep(&body), body.len()), (Some((5, place)), KEEP));
            assert_eq!([&body[1..], &[&body[..], &[0]].concat()].map(decode_keep), [None; 2]);
        }
    }

    #[test]
    fn replies_come_back_as_they_went_in() {
        let mut body = Vec::new();
        let call = CallId { client: 3, number: 4 };
        encode_reply(call, b"done", &mut body);
        assert_eq!(decode_reply(&body), Some((call, &b"done"[..])));
        assert_eq!(decode_reply(&body[..12]), None);
    }
}
