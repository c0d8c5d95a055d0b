//! The hashes and canonical texts that the reference made, made again.

use std::collections::HashMap;

use datacache_proto::hash::{HashType, hash_bytes, hash_json, hash_text};
use datacache_proto::json::{canonicalize, from_canonical};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Case {
    Bytes { input: String, hashes: HashMap<HashType, String> },
    Text { input: String, hashes: HashMap<HashType, String> },
    Json { input: String, canonical: String, hashes: HashMap<HashType, String> },
}

fn cases() -> Vec<Case> {
    let cases: Vec<Case> = serde_json::from_str(include_str!("data/gethash.json")).expect("the cases should be read");
    assert_eq!(cases.len(), 248);
    cases
}

fn from_hex(hex: &str) -> Vec<u8> {
    let pairs = (0..hex.len()).step_by(2).map(|at| &hex[at..at + 2]);
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("the input should be hexadecimal")).collect()
}

#[test]
fn every_function_makes_the_hashes_of_the_reference() {
    let mut checked = HashMap::<HashType, usize>::new();
    for case in cases() {
        let (data, hashes) = match case {
            Case::Bytes { input, hashes } => (from_hex(&input), hashes),
            Case::Text { input, hashes } => {
                for (hash_type, hash) in &hashes {
                    assert_eq!(&hash_text(&input, *hash_type), hash, "{input:?}");
                }
                (input.into_bytes(), hashes)
            }
            Case::Json { input, hashes, .. } => (canonicalize(&input).unwrap().into_bytes(), hashes),
        };
        for (hash_type, hash) in hashes {
            assert_eq!(hash_bytes(&data, hash_type), hash, "{hash_type}");
            *checked.entry(hash_type).or_default() += 1;
        }
    }
    for hash_type in HashType::ALL {
        let expected = match hash_type {
            HashType::Md5 | HashType::Sha256 => 248,
            _ => 8,
        };
        assert_eq!(checked[&hash_type], expected, "{hash_type}");
    }
}

#[test]
fn json_source_becomes_the_text_that_the_reference_hashed() {
    for case in cases() {
        if let Case::Json { input, canonical, .. } = case {
            assert_eq!(canonicalize(&input).unwrap(), canonical);
            assert_eq!(canonicalize(&canonical).unwrap(), canonical);
        }
    }
}

/// `serde_json::Value` holds every case but the floats that are no numbers.
#[test]
fn a_value_read_from_the_text_has_the_hashes_of_the_reference() {
    for case in cases() {
        if let Case::Json { canonical, hashes, .. } = case {
            let number: Result<f64, _> = from_canonical(&canonical);
            for (hash_type, hash) in hashes {
                let made = match number {
                    Ok(number) if !number.is_finite() => hash_json(&number, hash_type),
                    _ => {
                        let value: serde_json::Value = from_canonical(&canonical).unwrap();
                        hash_json(&value, hash_type)
                    }
                };
                assert_eq!(made.unwrap(), hash, "{canonical}");
            }
        }
    }
}
