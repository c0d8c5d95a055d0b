//! What `stats --json` prints is what `docs/statistics.md` lists, field by field.

use std::collections::BTreeSet;

use datacache_proto::time::Timestamp;
use datacache_proto::types::{
    Fallback, Laggard, LostValues, MovedAside, NamespaceStats, ReadStats, Scarce, Shortage, Stats, StoreStats,
};
use serde_json::Value;

const DOCUMENT: &str = include_str!("../../../../docs/statistics.md");

/// Statistics in which everything is there that can be.
fn complete() -> Stats {
    let since = Timestamp::from_millis(1);
    let lost = Some(LostValues::default());
    let store = StoreStats {
        shortage: Some(Shortage { of: Scarce::Disk, since }),
        moved_aside: Some(MovedAside { folder: "f".into(), since, bytes: 1, lost }),
        ..StoreStats::default()
    };
    Stats {
        namespaces: vec![NamespaceStats::default()],
        reads: ReadStats { fallbacks: vec![(Fallback::Off, 1)], ..ReadStats::default() },
        store,
        laggard: Some(Laggard { pid: 1, is_stopped: true, since, grown_bytes: 1 }),
        ..Stats::default()
    }
}

/// Collects the fields below `path`; those of a latency or of sizes go to `parts`, for they are listed once.
fn collect(path: &str, value: &Value, fields: &mut BTreeSet<String>, parts: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) if object.contains_key("steps") => {
            fields.insert(path.to_owned());
            parts.extend(object.keys().cloned());
        }
        Value::Object(object) => {
            if ["store.shortage", "store.moved_aside", "store.moved_aside.lost", "laggard"].contains(&path) {
                fields.insert(path.to_owned());
            }
            for (name, value) in object {
                let name = if path == "reads.fallbacks" { "*" } else { name };
                let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                collect(&path, value, fields, parts);
            }
        }
        Value::Array(array) => array.iter().for_each(|value| collect(&format!("{path}[]"), value, fields, parts)),
        _ => drop(fields.insert(path.to_owned())),
    }
}

/// Returns the names in the first column of the tables below a heading, up to the next one.
fn listed(heading: &str) -> BTreeSet<String> {
    let section = DOCUMENT.split_once(&format!("\n{heading}\n")).expect("the document has it").1;
    let section = section.split("\n#").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|line| line.trim_start_matches("| ").split(" | ").next().unwrap());
    cells.flat_map(|cell| cell.split(", ")).map(|name| name.trim_matches('`').to_owned()).collect()
}

#[test]
fn every_field_of_the_json_is_documented_and_nothing_else() {
    let (mut fields, mut parts) = (BTreeSet::new(), BTreeSet::new());
    collect("", &serde_json::to_value(complete()).unwrap(), &mut fields, &mut parts);
    assert_eq!(fields, listed("## JSON, field by field"));
    let expected: BTreeSet<_> = listed("### Latencies").union(&listed("### Sizes")).cloned().collect();
    assert_eq!(parts, expected);
}

/// The names are what scripts rely on: one that goes, or is called something else, is a break.
#[test]
fn nothing_is_missing_from_the_json_where_there_is_nothing_to_tell() {
    let (mut fields, mut parts) = (BTreeSet::new(), BTreeSet::new());
    collect("", &serde_json::to_value(Stats::default()).unwrap(), &mut fields, &mut parts);
    for absent in ["laggard", "store.shortage", "store.moved_aside", "readers.oldest_read_ms"] {
        assert!(fields.contains(absent), "{absent}");
    }
}
