//! `hash`: the default key without storing anything.

use crate::home::Home;

#[test]
fn content_is_hashed_from_a_file_from_stdin_and_from_a_dash() {
    let home = Home::new();
    let file = home.file("abc", b"abc");
    let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n";
    assert_eq!(home.run(&["hash", file.to_str().unwrap()]).printed(), hash);
    assert_eq!(home.run_with_stdin(&["hash"], b"abc").printed(), hash);
    assert_eq!(home.run_with_stdin(&["hash", "-"], b"abc").printed(), hash);
}

#[test]
fn every_name_of_hashlib_is_known_in_any_case() {
    let home = Home::new();
    let vectors = [
        ("md5", "900150983cd24fb0d6963f7d28e17f72"),
        ("SHA1", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        ("blake2s", "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982"),
        ("Sha3_224", "e642824c3f8cf24ad09234ee7d3c766fc9a3a5168d0c94ad73b46fdf"),
    ];
    for (name, hash) in vectors {
        assert_eq!(home.run_with_stdin(&["hash", "--type", name], b"abc").printed().trim_end(), hash, "{name}");
    }
}

#[test]
fn json_is_hashed_in_its_canonical_form() {
    let home = Home::new();
    let one = home.run_with_stdin(&["hash", "--json"], br#"{"b":1e16,"a":[1,2]}"#);
    let other = home.run_with_stdin(&["hash", "--json"], b"{ \"a\" : [1, 2],\n \"b\" : 10000000000000000.0 }");
    let text = home.run_with_stdin(&["hash", "--text"], br#"{"a": [1, 2], "b": 1e+16}"#);
    assert_eq!(one.printed(), other.printed());
    assert_eq!(one.printed(), text.printed());
}

#[test]
fn an_unknown_type_is_a_usage_error_that_lists_the_names() {
    let home = Home::new();
    let ended = home.run_with_stdin(&["hash", "--type", "sha265"], b"");
    let line = ended.error(2);
    for name in ["did you mean sha256", "md5", "sha3_512", "blake2b"] {
        assert!(line.contains(name), "{line}");
    }
}

#[test]
fn what_is_not_text_or_not_json_is_told_with_its_place() {
    let home = Home::new();
    let ended = home.run_with_stdin(&["hash", "--text"], b"gr\xc3\xb6\xff");
    assert!(ended.error(2).contains("is not UTF-8 from byte 4 on"), "{ended:?}");
    let ended = home.run_with_stdin(&["hash", "--json"], b"{\n\"a\": ?}");
    assert!(ended.error(2).contains("line 2, column 6"), "{ended:?}");
}

#[test]
fn a_file_that_can_not_be_read_is_a_usage_error_that_names_it() {
    let home = Home::new();
    for name in ["missing", "."] {
        let ended = home.run(&["hash", name]);
        assert!(ended.error(2).contains(&format!("can't read `{name}`: ")), "{ended:?}");
    }
}
