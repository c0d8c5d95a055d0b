//! A setting that goes, and leaves the comments on lines of their own.

use toml_edit::{Decor, InlineTable, Item, RawString, Table, TableLike, Value};

use super::text::GONE;
use super::{NAMESPACES, Place};

/// Has a setting go, and tables that nothing else is in; tells whether it was there.
pub(super) fn remove(root: &mut Table, place: Place<'_>) -> bool {
    let Some(namespace) = place.namespace else { return take(root, place.name) };
    let Some(namespaces) = root.get_mut(NAMESPACES) else { return false };
    let only_one = namespaces.as_table_like().is_some_and(|all| all.len() == 1);
    let Some(settings) = namespaces
        .as_table_like_mut()
        .and_then(|all| all.get_mut(namespace))
        .filter(|settings| settings.get(place.name).is_some())
    else {
        return false;
    };
    match settings.as_table_like().is_some_and(|all| all.len() == 1) {
        false => take_of(settings, place.name),
        true if only_one => take(root, NAMESPACES),
        true => take_of(namespaces, namespace),
    }
}

fn take_of(table: &mut Item, name: &str) -> bool {
    match table {
        Item::Value(Value::InlineTable(braces)) => take_from_braces(braces, name),
        table => table.as_table_like_mut().is_some_and(|table| take(table, name)),
    }
}

/// What has lines of its own is but marked: the comments above it and within its tables are printed where they were.
fn take(table: &mut dyn TableLike, name: &str) -> bool {
    let Some((mut key, item)) = table.iter_mut().find(|(key, _)| key.get() == name) else { return false };
    mark(key.leaf_decor_mut(), item);
    true
}

fn mark(above: &mut Decor, item: &mut Item) {
    match item {
        Item::None => {}
        Item::Value(value) => {
            *value = Value::from(0).decorated("", GONE);
            drop_blank(above);
        }
        Item::Table(table) => mark_table(table),
        Item::ArrayOfTables(tables) => tables.iter_mut().for_each(mark_table),
    }
}

fn mark_table(table: &mut Table) {
    table.decor_mut().set_suffix(GONE);
    drop_blank(table.decor_mut());
    table.iter_mut().for_each(|(mut key, item)| mark(key.leaf_decor_mut(), item));
}

/// Blank lines alone go along, or each setting that is added and removed again would leave one.
fn drop_blank(above: &mut Decor) {
    if !text(above.prefix()).contains('#') {
        above.set_prefix("");
    }
}

/// Within braces, comments beside the setting go to its neighbour, as several settings may be on one line.
fn take_from_braces(braces: &mut InlineTable, name: &str) -> bool {
    let place = braces.iter().take_while(|(key, _)| *key != name).count();
    let Some((key, value)) = braces.remove_entry(name) else { return false };
    let beside = text(value.decor().suffix());
    let around = text(key.leaf_decor().prefix()) + &beside;
    let comments = Some(around).filter(|around| around.contains('#'));
    if let Some((mut next, _)) = braces.iter_mut().nth(place) {
        let above = text(next.leaf_decor().prefix());
        next.leaf_decor_mut().set_prefix(comments.unwrap_or_default() + &above);
    } else if let Some((_, last)) = braces.iter_mut().last() {
        let beside = text(last.decor().suffix()) + &comments.unwrap_or(beside);
        last.decor_mut().set_suffix(beside);
    }
    true
}

fn text(part: Option<&RawString>) -> String {
    part.and_then(RawString::as_str).unwrap_or_default().to_owned()
}
