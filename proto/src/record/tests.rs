//! A record that is written and read again, whole, damaged, or of another format.

use super::*;
use crate::key::Tag;

fn tags(texts: &[&str]) -> TagsBuf {
    TagsBuf::new(&texts.iter().map(|text| Tag::new(text).unwrap()).collect::<Vec<_>>())
}

fn sample<'a>(tags: &'a TagsBuf, value: Value<'a>) -> Record<'a> {
    Record {
        codec: Codec::Text,
        bound: true,
        pinned: true,
        seq: 12,
        version: 7,
        birth: Birth { seq: 5, main: true, note: 0x95 },
        created: Timestamp::from_millis(1_000),
        expires: Some(Timestamp::from_millis(2_000)),
        tags: tags.as_tags(),
        key: Some(b"\x01a long key"),
        value,
    }
}

#[test]
fn a_record_comes_back_as_it_went_in() {
    let tags = tags(&["a", "naïve", &"x".repeat(255)]);
    for value in [Value::Inline(b""), Value::Inline(b"value"), Value::Blob { length: 1 << 40, digest: Digest([9; 32]) }]
    {
        let record = sample(&tags, value);
        let mut bytes = vec![0xee; 3];
        record.encode(42, &mut bytes);
        assert_eq!(Record::decode(&bytes[3..], 42), Ok(record));
        assert_eq!(record.encoded_length(), bytes.len() - 3);
        assert_eq!(Record::unchecked_key(&bytes[3..]), record.key);
        let age = Age { created: record.created, version: record.version, expires: record.expires };
        assert_eq!(Record::unchecked_age(&bytes[3..]), Some(age));
        assert_eq!(Record::unchecked_birth(&bytes[3..]), Some(record.birth));
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_found() {
    let tags = tags(&["tag"]);
    let mut bytes = Vec::new();
    sample(&tags, Value::Inline(b"some value")).encode(42, &mut bytes);
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Record::decode(&damaged, 42).is_err(), "bit {bit} may flip unseen");
    }
    for length in 0..bytes.len() {
        assert!(Record::decode(&bytes[..length], 42).is_err(), "a cut at {length} goes unseen");
    }
}

#[test]
fn the_key_is_found_whatever_damage_made_of_format_and_flags() {
    let tags = tags(&["tag"]);
    let mut bytes = Vec::new();
    sample(&tags, Value::Inline(b"some value")).encode(42, &mut bytes);
    for (at, damage) in [(FORMAT_AT, 0x40), (FLAGS_AT, 0x80), (FLAGS_AT, WHOLE_KEY)] {
        let mut damaged = bytes.clone();
        damaged[at] ^= damage;
        assert!(Record::decode(&damaged, 42).is_err());
        assert_eq!(Record::unchecked_key(&damaged), Some(&b"\x01a long key"[..]));
    }
}

#[test]
fn a_record_under_a_foreign_key_is_refused() {
    let tags = TagsBuf::default();
    let mut bytes = Vec::new();
    sample(&tags, Value::Inline(b"v")).encode(42, &mut bytes);
    assert_eq!(Record::decode(&bytes, 43), Err(RecordError::Checksum));
}

#[test]
fn a_record_of_a_newer_format_is_told_from_a_damaged_one() {
    let tags = TagsBuf::default();
    let mut bytes = Vec::new();
    sample(&tags, Value::Inline(b"v")).encode(42, &mut bytes);
    bytes[FORMAT_AT] = 3;
    seal(&mut bytes);
    assert_eq!(Record::decode(&bytes, 42), Err(RecordError::Format { format: 3 }));
}

fn seal(bytes: &mut [u8]) {
    let checksum = xxh3_64_with_seed(&bytes[FORMAT_AT..], 42);
    bytes[..8].copy_from_slice(&checksum.to_le_bytes());
}

#[test]
fn a_record_of_format_1_was_born_with_its_content() {
    let tags = tags(&["tag"]);
    let record = Record { pinned: false, birth: Birth::at(7), ..sample(&tags, Value::Inline(b"some value")) };
    let mut bytes = Vec::new();
    record.encode(42, &mut bytes);
    bytes.drain(BIRTH_AT..HEAD);
    bytes[FORMAT_AT] = FORMAT_1;
    seal(&mut bytes);
    assert_eq!(Record::decode(&bytes, 42), Ok(record));
    assert_eq!(Record::unchecked_key(&bytes), record.key);
    bytes[FLAGS_AT] |= PINNED;
    seal(&mut bytes);
    assert_eq!(Record::decode(&bytes, 42), Err(RecordError::Format { format: 1 }), "a flag that it did not have");
}

#[test]
fn an_entry_is_expired_from_its_deadline_on() {
    let tags = TagsBuf::default();
    let record = sample(&tags, Value::Inline(b"v"));
    assert!(!record.is_expired(Timestamp::from_millis(1_999)));
    assert!(record.is_expired(Timestamp::from_millis(2_000)));
    assert!(!Record { expires: None, ..record }.is_expired(Timestamp::MAX));
}
