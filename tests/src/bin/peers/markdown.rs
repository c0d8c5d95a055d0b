//! The report as Markdown: first the goals, then all that was measured.

use std::fmt::{self, Write as _};

use crate::outcome::Outcome;
use crate::table::columns;

/// Returns the report; `machine` says where it was measured.
pub(crate) fn report(machine: &[(String, String)], missing: &[String], outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    write(&mut text, machine, missing, outcomes).expect("writing to a string can't fail");
    text
}

fn write(
    text: &mut String,
    machine: &[(String, String)],
    missing: &[String],
    outcomes: &[Outcome],
) -> Result<(), fmt::Error> {
    writeln!(text, "| on | |\n| --- | --- |")?;
    machine.iter().try_for_each(|(name, value)| writeln!(text, "| {name} | {value} |"))?;
    missing.iter().try_for_each(|missing| writeln!(text, "| missing | {missing} |"))?;
    writeln!(text, "\n| measure | goal | found | |\n| --- | --- | --- | --- |")?;
    for outcome in outcomes {
        for goal in &outcome.goals {
            let found = goal.found.as_deref().unwrap_or("");
            writeln!(text, "| {} | {} | {found} | {} |", outcome.title, goal.text, goal.verdict())?;
        }
    }
    outcomes.iter().try_for_each(|outcome| section(text, outcome))
}

fn section(text: &mut String, outcome: &Outcome) -> Result<(), fmt::Error> {
    let columns = columns(outcome);
    writeln!(text, "\n### {}\n\n| | {} |", outcome.title, columns.join(" | "))?;
    writeln!(text, "| --- |{}", " ---: |".repeat(columns.len()))?;
    for measurement in &outcome.measurements {
        write!(text, "| {} |", measurement.who)?;
        for column in &columns {
            let amount = measurement.amounts.iter().find(|(name, _)| name == column);
            write!(text, " {} |", amount.map_or_else(String::new, |(_, amount)| amount.to_string()))?;
        }
        writeln!(text)?;
    }
    outcome.notes.iter().try_for_each(|note| writeln!(text, "\n{note}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Amount, HEED, US};

    #[test]
    fn goals_come_first_and_every_column_has_its_cell() {
        let mut outcome = Outcome::new("get", "get of 100 B");
        outcome.add(US, vec![("p50", Amount::Nanoseconds(600.0)), ("p99", Amount::Nanoseconds(900.0))]);
        outcome.add(HEED, vec![("p50", Amount::Nanoseconds(400.0))]);
        outcome.at_most("p50", 1.5, HEED);
        let text = report(&[("cores".into(), "2".into())], &["Redis".into()], &[outcome]);
        assert!(text.starts_with("| on | |\n| --- | --- |\n| cores | 2 |\n| missing | Redis |\n"), "{text}");
        assert!(text.contains("| get of 100 B | p50 at most 1.5 × heed | 1.50 × | reached |\n"), "{text}");
        assert!(text.ends_with("| datacache | 0.60 µs | 0.90 µs |\n| heed | 0.40 µs |  |\n"), "{text}");
    }
}
