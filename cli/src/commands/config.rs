//! `config`: every setting of the daemon, and where its value came from; and one of them changed, in the file and in the daemon that
//! runs.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use datacache_daemon::config::edit::{self, Place};
use datacache_daemon::config::{Config, Flags};
use datacache_daemon::store::Rules;
use datacache_proto::paths::{CONFIG_VARIABLE, DIR_VARIABLE, Paths, SOCKET_VARIABLE};
use datacache_proto::types::Reloaded;
use rustix::fs::statvfs;

use crate::commands::control::connect;
use crate::context::Context;
use crate::failure::{Answer, Failure};
use crate::output::print;
use crate::render::human;
use crate::render::line::one_line;
use crate::render::table::aligned;

/// Where the folders of caches and of sockets are.
const CACHE: &str = "XDG_CACHE_HOME";
const RUNTIME: &str = "XDG_RUNTIME_DIR";

/// What can be done with the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every setting, its value and where it came from: the command line, the environment, the file or the default
    Show,
    /// Set a setting in the configuration file, of the daemon or with --namespace of a namespace, and have the daemon take it over
    Set(SetArgs),
    /// Remove a setting from the configuration file, and have the daemon take that over; exit with 1 if it was not there
    Unset(UnsetArgs),
}

/// The arguments of `config set`.
#[derive(Debug, clap::Args)]
pub(crate) struct SetArgs {
    /// The setting, as `config show` lists it below store, socket and config; of a namespace: limit, limit_entries or policy
    #[arg(value_name = "NAME")]
    name: String,
    /// Its value, as it would be typed elsewhere: `2GiB`, `15m`, `none`
    #[arg(value_name = "VALUE", allow_hyphen_values = true)]
    value: String,
}

/// The arguments of `config unset`.
#[derive(Debug, clap::Args)]
pub(crate) struct UnsetArgs {
    /// The setting
    #[arg(value_name = "NAME")]
    name: String,
}

pub(crate) fn set(args: &SetArgs, context: &Context) -> Result<Answer, Failure> {
    let paths = context.paths()?;
    let place = place_of(&args.name, context);
    edit::set(&paths, place, &args.value)?;
    take_over(place, &paths, context)
}

pub(crate) fn unset(args: &UnsetArgs, context: &Context) -> Result<Answer, Failure> {
    let paths = context.paths()?;
    let place = place_of(&args.name, context);
    match edit::unset(&paths, place)? {
        true => take_over(place, &paths, context),
        false => {
            context.remark(&format!("`{}` is not set in {}", place.name, one_line(&paths.config.to_string_lossy())));
            Ok(Answer::No)
        }
    }
}

fn place_of<'p>(name: &'p str, context: &'p Context) -> Place<'p> {
    Place { namespace: context.global.namespace.as_deref(), name }
}

/// Has the daemon that runs read the file, and says what of it does not hold.
fn take_over(place: Place<'_>, paths: &Paths, context: &Context) -> Result<Answer, Failure> {
    let told = || connect(context)?.map(|cache| Ok(cache.reload()?)).transpose();
    let reloaded = told().map_err(|source| Failure::NotTaken { source: Box::new(source) })?;
    let config = || Config::load(&Flags { overrides: context.overrides(), ..Flags::default() });
    let remarks = match &reloaded {
        Some(reloaded) => remarks(place, paths, reloaded),
        // None runs: one that is started from here would have the same environment.
        None => remarks(place, paths, &config()?.told()),
    };
    // What is wrong here alone is no matter of the daemon's that runs.
    let above = config().ok().and_then(|config| above_store(place, &config.rules(), &paths.store));
    remarks.iter().chain(&above).for_each(|remark| context.remark(remark));
    if context.global.dir.is_some() {
        let file = paths.config.to_string_lossy();
        context.remark(&format!(
            "{} is the configuration of all your caches, not of that of `--dir` alone",
            one_line(&file)
        ));
    }
    Ok(Answer::Yes)
}

/// Returns why a setting of the file does not hold, or not yet.
fn remarks(place: Place<'_>, paths: &Paths, reloaded: &Reloaded) -> Vec<String> {
    let name = place.name;
    let mut remarks = Vec::new();
    if reloaded.file != paths.config.to_string_lossy() {
        remarks.push(format!("the daemon that runs reads another file, {}", one_line(&reloaded.file)));
    }
    if place.namespace.is_some() {
        return remarks;
    }
    if let Some(overridden) = reloaded.overridden.iter().find(|overridden| overridden.setting == name) {
        remarks.push(format!("`{name}` of the file does not hold: {} wins over it", one_line(&overridden.by)));
    } else if reloaded.waiting.iter().any(|setting| setting == name) {
        remarks.push(format!("`{name}` holds when the daemon is started again, see `datacache stop`"));
    }
    remarks
}

/// Returns what bounds a limit of a namespace that is above the store's.
fn above_store(place: Place<'_>, rules: &Rules, store: &Path) -> Option<String> {
    let (namespace, name) = (place.namespace?, place.name);
    let own = rules.namespaces.get(namespace)?;
    let bound = match name {
        "limit" => {
            let filesystem = statvfs(store).map_or(u64::MAX, |whole| whole.f_blocks.saturating_mul(whole.f_frsize));
            rules.limit_on(filesystem).filter(|all| own.limit > Some(*all)).map(human::short_size)
        }
        "limit_entries" => {
            rules.all.limit_entries.filter(|all| own.limit_entries > Some(*all)).map(|all| all.to_string())
        }
        _ => None,
    };
    Some(format!("`{name}` of the namespace `{namespace}` is above that of the store, {}, which holds as well", bound?))
}

pub(crate) fn show(context: &Context) -> Result<Answer, Failure> {
    let flags = Flags { overrides: context.overrides(), ..Flags::default() };
    let config = Config::load(&flags)?;
    let places = [
        place("store", &config.paths.store, flags.overrides.dir.is_some(), &[DIR_VARIABLE, CACHE]),
        place("socket", &config.paths.socket, flags.overrides.socket.is_some(), &[SOCKET_VARIABLE, RUNTIME, CACHE]),
        place("config", &config.paths.config, false, &[CONFIG_VARIABLE, "XDG_CONFIG_HOME"]),
    ];
    let settings = config.sources().into_iter();
    let settings = settings.map(|(name, value, source)| [name, one_line(&value).into_owned(), source.to_string()]);
    let rows: Vec<_> = places.into_iter().chain(settings).collect();
    config.unknown().iter().for_each(|unknown| context.remark(&unknown.to_string()));
    print(&aligned(&rows))?;
    Ok(Answer::Yes)
}

/// The row of a path, which may come of the first of these variables that is set and leads to it: one that is empty counts as unset,
/// and so does one of `XDG_*` that is no absolute path.
fn place(name: &str, path: &Path, is_flag: bool, variables: &[&str]) -> [String; 3] {
    let leads_here = |variable: &&&str| {
        let value = std::env::var_os(variable).map(PathBuf::from).filter(|value| value.is_absolute());
        value.is_some_and(|value| !variable.starts_with("XDG_") || path.starts_with(value))
    };
    let source = match variables.iter().find(leads_here) {
        _ if is_flag => "command line".into(),
        Some(variable) => format!("environment {variable}"),
        None => "default".into(),
    };
    [name.to_owned(), one_line(&path.to_string_lossy()).into_owned(), source]
}

#[cfg(test)]
mod tests {
    use super::*;
    use datacache_daemon::store::Rule;
    use datacache_proto::paths::Overrides;
    use datacache_proto::types::Overridden;

    #[test]
    fn a_limit_of_a_namespace_above_the_stores_is_told_with_that() {
        let rule = |limit, limit_entries| Rule { limit, limit_entries, ..Rule::default() };
        let rules =
            |all| Rules { all, namespaces: [("x".into(), rule(Some(2 << 40), Some(500)))].into(), ..Rules::none() };
        let told = |all, name, namespace| above_store(Place { namespace, name }, &rules(all), Path::new("/"));
        let (low, high) = (rule(Some(8 << 20), Some(100)), rule(Some(2 << 40), Some(500)));
        let line = "`limit` of the namespace `x` is above that of the store, 8.0 MiB, which holds as well";
        assert_eq!(told(low, "limit", Some("x")).as_deref(), Some(line));
        assert!(told(low, "limit_entries", Some("x")).unwrap().contains("the store, 100, which"));
        for all in [high, Rule::default()] {
            assert_eq!(["limit", "limit_entries"].map(|name| told(all, name, Some("x"))), [None, None]);
        }
        assert_eq!(
            [("limit", None), ("limit", Some("y")), ("policy", Some("x"))].map(|(name, of)| told(low, name, of)),
            [None, None, None]
        );
        // A tenth of the filesystem, at most 10 GiB.
        let auto = Rules { is_limit_auto: true, ..rules(Rule::default()) };
        assert!(above_store(Place { namespace: Some("x"), name: "limit" }, &auto, Path::new("/")).is_some());
    }

    #[test]
    fn why_a_setting_does_not_hold_is_told_of_that_setting_alone() {
        let paths = Paths::resolve(&Overrides { dir: Some("/d".into()), socket: Some("/s".into()) }).unwrap();
        let file = paths.config.to_string_lossy().into_owned();
        let overridden = vec![Overridden { setting: "log".into(), by: "command line".into() }];
        let reloaded = Reloaded { file, waiting: vec!["inline_max".into()], overridden };
        let told = |name, namespace| remarks(Place { namespace, name }, &paths, &reloaded);
        assert_eq!(told("log", None), ["`log` of the file does not hold: command line wins over it"]);
        assert_eq!(
            told("inline_max", None),
            ["`inline_max` holds when the daemon is started again, see `datacache stop`"]
        );
        assert!(told("limit", None).is_empty() && told("limit", Some("log")).is_empty());
        let elsewhere = Reloaded { file: "/other".into(), ..Reloaded::default() };
        let told = remarks(Place { namespace: None, name: "limit" }, &paths, &elsewhere);
        assert_eq!(told, ["the daemon that runs reads another file, /other"]);
    }
}
