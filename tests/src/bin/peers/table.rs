//! A row of the report as people read it.

use crate::outcome::Outcome;

/// Prints a row: who, their figures in columns, and the goals.
pub(crate) fn print(outcome: &Outcome) {
    println!("\n{}", outcome.title);
    let columns = columns(outcome);
    let names =
        outcome.measurements.iter().map(|measurement| measurement.who.chars().count()).max().unwrap_or_default();
    let heads: Vec<_> = columns.iter().map(|column| format!("{column:>0$}", width(column))).collect();
    println!("  {:names$}{}", "", heads.concat());
    for measurement in &outcome.measurements {
        let line = format!("  {:names$}{}", measurement.who, cells(outcome, &measurement.who, &columns).concat());
        println!("{}", line.trim_end());
    }
    for goal in &outcome.goals {
        println!("  {}: {} ({})", goal.verdict(), goal.text, goal.found.as_deref().unwrap_or("something is missing"));
    }
    outcome.notes.iter().for_each(|note| println!("  {note}"));
}

/// Returns the names of all amounts, in their order.
pub(crate) fn columns(outcome: &Outcome) -> Vec<&'static str> {
    let mut columns = Vec::new();
    for (name, _) in outcome.measurements.iter().flat_map(|measurement| &measurement.amounts) {
        if !columns.contains(name) {
            columns.push(*name);
        }
    }
    columns
}

fn cells(outcome: &Outcome, who: &str, columns: &[&str]) -> Vec<String> {
    let measurement = outcome.measurements.iter().find(|measurement| measurement.who == who);
    let cell = |column: &&str| {
        let amount = measurement.and_then(|found| found.amounts.iter().find(|(name, _)| name == column));
        let text = amount.map_or_else(String::new, |(_, amount)| amount.to_string());
        format!("{text:>0$}", width(column))
    };
    columns.iter().map(cell).collect()
}

fn width(column: &str) -> usize {
    column.len().max(10) + 2
}
