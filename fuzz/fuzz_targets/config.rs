//! The daemon's configuration: any file is taken, or refused by its name; what is taken is within its bounds and means the same
//! once it is typed again.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use datacache_daemon::config::{ConfigError, ShortSpan, Size};
use datacache_daemon::{Config, Flags};
use datacache_fuzz::place::Place;
use datacache_proto::paths::{CONFIG_VARIABLE, Overrides};
use datacache_proto::time::Lifetime;
use libfuzzer_sys::fuzz_target;

static PLACE: LazyLock<Place> = LazyLock::new(Place::new);

fuzz_target!(init: read_our_file(), |bytes: &[u8]| {
    std::fs::write(file(), bytes).unwrap();
    let overrides = Overrides { dir: Some(PLACE.store()), socket: Some(PLACE.socket()) };
    match Config::load(&Flags { overrides, ..Flags::default() }) {
        Ok(config) => check(&config),
        Err(ConfigError::Paths(error)) => panic!("{error}"),
        Err(error) => assert!(error.to_string().contains("config.toml"), "{error}"),
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        check_units(text);
    }
});

fn file() -> PathBuf {
    PLACE.path().join("config.toml")
}

#[expect(unsafe_code, reason = "the place of the configuration comes from the environment alone")]
fn read_our_file() {
    // SAFETY: this is called once, before any other thread of ours is there, and libFuzzer's do not look at the environment.
    unsafe { std::env::set_var(CONFIG_VARIABLE, file()) };
}

fn check(config: &Config) {
    assert!(config.inline_max <= 1 << 20, "{config:?}");
    assert!((Duration::from_millis(10)..=Duration::from_secs(86_400)).contains(&config.sync_interval), "{config:?}");
    assert!(config.busy_poll <= Duration::from_millis(1), "{config:?}");
    assert!(config.max_connections >= 1 && config.calls_per_connection >= 1, "{config:?}");
    assert!(config.idle_exit.is_none_or(|span| span > Duration::ZERO), "{config:?}");
    let rules = config.rules();
    let limits = rules.namespaces.values().chain([&rules.all]);
    assert!(limits.filter_map(|rule| rule.limit).all(|limit| limit >= 1 << 20), "{config:?}");
    assert!(rules.held_percent <= 100 && rules.all.policy.is_some(), "{config:?}");
    let (reloaded, waiting) = config.reloaded(config.clone());
    assert_eq!((&reloaded, waiting.len()), (config, 0));
}

/// What people type, alone.
fn check_units(text: &str) {
    if let Ok(size) = text.parse::<Size>() {
        assert_eq!(size.to_string().parse(), Ok(size));
    }
    if let Ok(span) = text.parse::<ShortSpan>() {
        assert_eq!(span.to_string().parse(), Ok(span));
    }
    if let Ok(lifetime) = text.parse::<Lifetime>() {
        assert_eq!(lifetime.to_string().parse(), Ok(lifetime));
        assert!(lifetime.as_duration() != Some(Duration::ZERO));
    }
}
