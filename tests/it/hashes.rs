//! S1 to S3: every hash that the reference made, made by the library and by the command.
//!
//! The vectors are described in `proto/tests/data/README.md`.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use datacache_client::{HashType, Json, NewValue, hash_of};
use datacache_proto::json::from_canonical;
use datacache_tests::Home;
use serde_json::Value;

/// How many processes hash at a time.
const WORKERS: usize = 4;

/// One value of the reference.
struct Vector {
    kind: String,
    /// The value itself, or its JSON in the reference's spelling.
    content: Vec<u8>,
    canonical: Option<String>,
    /// Names of hash functions with what they make of it.
    hashes: Vec<(String, String)>,
}

fn vectors() -> Vec<Vector> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("proto").join("tests/data/gethash.json");
    let rows: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(rows.len(), 248);
    rows.iter().map(Vector::of).collect()
}

impl Vector {
    fn of(row: &Value) -> Self {
        let text = |name: &str| row[name].as_str().map(str::to_owned);
        let (kind, input) = (text("kind").unwrap(), text("input").unwrap());
        let content = if kind == "bytes" { from_hex(&input) } else { input.into_bytes() };
        let hashes = row["hashes"].as_object().unwrap().iter();
        let hashes = hashes.map(|(name, hash)| (name.clone(), hash.as_str().unwrap().to_owned())).collect();
        Self { kind, content, canonical: text("canonical"), hashes }
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.content).unwrap()
    }

    /// Returns the value as a program has it; `None` for numbers that `serde_json::Value` can't hold: those that are none, and
    /// integers of more than 64 bits. The command reads them.
    fn value(&self) -> Option<NewValue> {
        match &*self.kind {
            "bytes" => Some(NewValue::from(&self.content)),
            "text" => Some(NewValue::from(self.text())),
            _ => {
                let text = self.canonical.as_deref()?;
                let is_held = !["NaN", "Infinity"].iter().any(|word| text.contains(word))
                    && !text.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() > 18);
                is_held.then(|| NewValue::from(Json(from_canonical::<Value>(text).unwrap())))
            }
        }
    }
}

fn from_hex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn the_library_makes_every_hash_that_the_reference_made() {
    let mut typed = 0;
    for vector in vectors() {
        let value = vector.value();
        typed += usize::from(vector.kind == "json" && value.is_some());
        for (name, hash) in &vector.hashes {
            let hash_type: HashType = name.parse().unwrap();
            // JSON text that is already canonical is hashed as text is.
            let text = vector.canonical.as_deref().map(|text| hash_of(text, hash_type).unwrap());
            assert!(text.is_none_or(|text| text == *hash), "{name} of {:?}", vector.canonical);
            let made = value.clone().map(|value| hash_of(value, hash_type).unwrap());
            assert!(made.is_none_or(|made| made == *hash), "{name} of {:?}", vector.content);
        }
    }
    assert!(typed > 100, "only {typed} JSON values could be made");
}

#[test]
fn the_command_makes_every_hash_that_the_reference_made() {
    let home = Home::new();
    let (vectors, next) = (vectors(), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some((index, vector)) = numbered(&vectors, next.fetch_add(1, Ordering::Relaxed)) {
                    check_command(&home, index, vector);
                }
            });
        }
    });
    assert!(home.daemons().is_empty(), "hashing needs no daemon");
}

fn numbered(vectors: &[Vector], index: usize) -> Option<(usize, &Vector)> {
    Some((index, vectors.get(index)?))
}

/// One function for each vector, all of them in turn, and the default one for each.
fn check_command(home: &Home, index: usize, vector: &Vector) {
    let (name, hash) = &vector.hashes[index % vector.hashes.len()];
    let default = vector.hashes.iter().find(|(name, _)| name == "sha256");
    let codec = match &*vector.kind {
        "bytes" => None,
        "text" => Some("--text"),
        _ => Some("--json"),
    };
    for (arguments, hash) in [(&["--type", name][..], Some(hash)), (&[], default.map(|(_, hash)| hash))] {
        let Some(hash) = hash else { continue };
        let hashed =
            home.command(["hash", "-"].iter().chain(arguments).copied().chain(codec)).input(vector.content.clone());
        assert_eq!(hashed.outcome().text(), *hash, "{arguments:?} of {:?}", String::from_utf8_lossy(&vector.content));
    }
}

#[test]
fn adding_gives_the_key_that_hashing_gave() {
    let home = Home::new();
    for (input, codec) in [(&b"\xff\x00"[..], None), (b"text", Some("--text")), (b"[1,  2.0]", Some("--json"))] {
        let run = |verb: &'static str| home.command([verb, "-"].into_iter().chain(codec)).input(input).outcome().text();
        assert_eq!(run("hash"), run("add"));
    }
}

#[test]
fn an_unknown_hash_is_refused_with_the_names_of_the_known_ones() {
    let home = Home::new();
    for name in ["crc32", "shake_128", "sha-256"] {
        let outcome = home.run(["hash", "--type", name, "-"]);
        let line = outcome.error(2);
        assert!(line.contains("sha3_256") && line.contains("blake2s"), "{line}");
    }
    assert_eq!(home.command(["hash", "--type", "SHA1"]).input("abc").outcome().text().len(), 40);
}
