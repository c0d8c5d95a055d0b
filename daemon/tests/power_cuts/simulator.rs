//! What the simulated disk may do and what it may not: tests of the simulator itself.

use std::collections::BTreeSet;

use fastrand::Rng;

use crate::disk::pages::{PAGE, SECTOR};
use crate::disk::{Content, Disk, Image, Neglect};
use crate::record::{Action, Event, Kind, Node, Place, Thread};

const FILE: Node = Node(1);
const FOLDER: Node = Node(2);

pub(crate) const CASES: &[(&str, fn())] = &[
    ("a_file_that_is_synced_with_its_folder_is_there_after_every_cut", synced),
    ("a_file_that_is_not_synced_is_absent_short_zeros_or_whole", unsynced),
    ("pages_that_are_overwritten_and_not_synced_are_torn_by_sectors", torn),
    ("a_write_through_needs_no_sync", through),
    ("a_rename_is_done_whole_or_not_at_all", renamed),
    ("what_a_folder_is_synced_with_includes_all_that_came_before", ordered),
];

fn place(folder: Node, name: &str) -> Place {
    (folder, name.to_owned())
}

fn create(folder: Node, name: &str, node: Node, kind: Kind) -> Action {
    Action::Create { place: place(folder, name), node, kind }
}

fn write(at: u64, bytes: Vec<u8>) -> Action {
    Action::Write { file: FILE, at, bytes, through: false }
}

/// Returns what may be there after these actions.
fn outcomes<T: Ord>(actions: &[Action], look: impl Fn(&Image) -> T) -> BTreeSet<T> {
    let mut disk = Disk::new(&Image::default(), Neglect::Nothing);
    for action in actions {
        disk.play(&Event { thread: Thread::Owner, action: action.clone() });
    }
    (0..2_000).map(|seed| look(&disk.cut(&mut Rng::with_seed(seed)))).collect()
}

/// The bytes of the file `f`, if it is there.
fn bytes(image: &Image) -> Option<Vec<u8>> {
    match image.find("f") {
        Some(Content::File(pages)) => Some(pages.bytes()),
        _ => None,
    }
}

fn synced() {
    let value = vec![7; 3 * PAGE];
    let file = [create(Node::ROOT, "f", FILE, Kind::File), write(0, value.clone()), Action::Sync { node: FILE }];
    let of_the_file = outcomes(&file, bytes);
    assert_eq!(of_the_file, BTreeSet::from([None, Some(value.clone())]), "its name is not synced");
    let of_both = outcomes(&[&file[..], &[Action::Sync { node: Node::ROOT }]].concat(), bytes);
    assert_eq!(of_both, BTreeSet::from([Some(value)]));
}

fn unsynced() {
    let value = vec![7; 2 * PAGE];
    let file = [create(Node::ROOT, "f", FILE, Kind::File), write(0, value.clone())];
    let seen = outcomes(&file, bytes);
    for expected in [None, Some(vec![]), Some(vec![0; 2 * PAGE]), Some(value)] {
        assert!(seen.contains(&expected), "{:?} bytes are never there", expected.map(|bytes| bytes.len()));
    }
}

fn torn() {
    let file = [
        create(Node::ROOT, "f", FILE, Kind::File),
        write(0, vec![1; PAGE]),
        Action::Sync { node: FILE },
        Action::Sync { node: Node::ROOT },
        write(0, vec![2; PAGE]),
    ];
    let seen = outcomes(&file, bytes);
    let sectors = |bytes: &Vec<u8>| -> Vec<u8> { bytes.chunks(SECTOR).map(|sector| sector[0]).collect() };
    let seen: Vec<Vec<u8>> = seen.iter().flatten().map(sectors).collect();
    assert!(seen.len() > 50, "only {} ways", seen.len());
    assert!(seen.iter().flatten().all(|byte| [1, 2].contains(byte)));
}

fn through() {
    let through = Action::Write { file: FILE, at: 0, bytes: vec![7; 10], through: true };
    let file = [create(Node::ROOT, "f", FILE, Kind::File), Action::Sync { node: Node::ROOT }, through];
    assert_eq!(outcomes(&file, bytes), BTreeSet::from([Some(vec![7; 10])]));
}

/// The names in both folders.
fn both(image: &Image) -> (bool, bool) {
    (image.find("f").is_some(), image.find("folder/f").is_some())
}

fn renamed() {
    let rename = Action::Rename { from: place(Node::ROOT, "f"), to: place(FOLDER, "f") };
    let actions = [
        create(Node::ROOT, "f", FILE, Kind::File),
        create(Node::ROOT, "folder", FOLDER, Kind::Folder),
        Action::Sync { node: Node::ROOT },
        rename,
    ];
    assert_eq!(outcomes(&actions, both), BTreeSet::from([(true, false), (false, true)]));
    let synced = [&actions[..], &[Action::Sync { node: FOLDER }]].concat();
    assert_eq!(outcomes(&synced, both), BTreeSet::from([(false, true)]));
}

fn ordered() {
    let actions = [
        create(Node::ROOT, "f", FILE, Kind::File),
        create(Node::ROOT, "g", Node(3), Kind::File),
        Action::Remove { place: place(Node::ROOT, "f") },
        Action::Sync { node: Node::ROOT },
    ];
    let names = |image: &Image| (image.find("f").is_some(), image.find("g").is_some());
    assert_eq!(outcomes(&actions[..2], names).len(), 4, "names of their own");
    assert_eq!(outcomes(&actions, names), BTreeSet::from([(false, true)]));
}
