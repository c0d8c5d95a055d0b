//! A record as it lies in the log and in the index. The first byte tells whether its checksum is made right: without, nothing
//! behind the checksum would ever be looked at.

#![no_main]

use datacache_proto::key::Key;
use datacache_proto::record::{Record, RecordError};
use datacache_proto::time::Timestamp;
use libfuzzer_sys::fuzz_target;
use xxhash_rust::xxh3::xxh3_64_with_seed;

const SEED: u64 = 7;
const CHECKSUM: usize = 8;

fuzz_target!(|bytes: &[u8]| {
    let Some((&how, record)) = bytes.split_first() else { return };
    let mut record = record.to_vec();
    if how & 1 == 1 && record.len() >= CHECKSUM {
        let checksum = xxh3_64_with_seed(&record[CHECKSUM..], SEED);
        record[..CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
    }
    let key = Record::unchecked_key(&record);
    let Ok(decoded) = Record::decode(&record, SEED) else { return };
    assert_eq!(Record::decode(&record, SEED + 1), Err(RecordError::Checksum), "a record of another key");
    // No key is empty: what has one is not found by it.
    assert!(decoded.key.is_none_or(<[u8]>::is_empty) || decoded.key == key);
    assert!(decoded.tags.iter().count() <= record.len());
    let metadata = decoded.metadata(Key::from("k"));
    assert_eq!((metadata.size, metadata.version), (decoded.value.len(), decoded.version));
    assert!(decoded.expires.is_none() || decoded.is_expired(Timestamp::MAX));
    let mut again = Vec::new();
    decoded.encode(SEED, &mut again);
    assert_eq!(Record::decode(&again, SEED), Ok(decoded));
});
