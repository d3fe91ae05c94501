//! How results are shown: aligned for people, as JSON for programs. What JSON says is a contract; tables are not.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;

use crate::args::Watch;
use crate::failure::{Failure, code};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    #[default]
    Table,
    Json,
}

/// A result: data that serializes as the contract says, and that knows its table.
pub(crate) trait Show: Serialize {
    fn table(&self) -> String;
}

/// Prints once. In a pipe that was closed there is nobody to complain to.
pub(crate) fn print(format: Format, what: &impl Show) -> Result<(), Failure> {
    write_out(&render(format, what, false)?)
}

fn render(format: Format, what: &impl Show, one_line: bool) -> Result<String, Failure> {
    let text = match (format, one_line) {
        (Format::Table, _) => return Ok(what.table()),
        (Format::Json, true) => serde_json::to_string(what),
        (Format::Json, false) => serde_json::to_string_pretty(what),
    };
    text.map(|text| text + "\n")
        .map_err(|error| Failure::new(code::REFUSED, format!("the answer is no JSON: {error}"), ""))
}

pub(crate) fn write_out(text: &str) -> Result<(), Failure> {
    write_bytes(text.as_bytes())
}

/// The same for what need not be text.
pub(crate) fn write_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            Err(Failure::new(code::REFUSED, "standard output was closed", ""))
        }
        Err(error) => Err(Failure::new(
            code::REFUSED,
            format!("cannot write to standard output: {error}"),
            "",
        )),
    }
}

/// Prints what `ask` answers, once or with `--watch` until interrupted. While watching, a cluster that does not answer
/// is told and asked again.
pub(crate) async fn print_watched<T: Show>(
    format: Format,
    watch: Watch,
    mut ask: impl AsyncFnMut() -> Result<T, Failure>,
) -> Result<(), Failure> {
    if !watch.watch {
        return print(format, &ask().await?);
    }
    let clears = format == Format::Table && io::stdout().is_terminal();
    loop {
        let text = match ask().await {
            Ok(answer) => render(format, &answer, true)?,
            Err(failure) if failure.code == code::NO_CLUSTER && clears => format!("{failure}\n"),
            Err(failure) if failure.code == code::NO_CLUSTER => {
                failure.report();
                String::new()
            }
            Err(failure) => return Err(failure),
        };
        // Home, the text, then clear what is left of the one before: this does not flicker.
        let text =
            if clears { format!("\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\n")) } else { text };
        write_out(&text)?;
        tokio::time::sleep(watch.interval.max(Duration::from_millis(50))).await;
    }
}

/// An empty table in the house style: no lines, two spaces between columns.
pub(crate) fn new_table(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|column| column.to_uppercase()));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// Numbers stand under each other.
pub(crate) fn align_right(table: &mut Table, columns: &[usize]) {
    for &index in columns {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// The table as text, without trailing spaces, its heading bold on a terminal.
pub(crate) fn draw(table: &Table) -> String {
    let bold = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut text = String::new();
    for (number, line) in table.lines().enumerate() {
        let line = line.trim_end();
        if number == 0 && bold {
            text.push_str(&format!("\x1b[1m{line}\x1b[0m\n"));
        } else {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// `12s`, `3m 20s`, `4h 5m`: two units at most.
pub(crate) fn span(millis: u64) -> String {
    let seconds = millis / 1_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) if millis < 1_000 => format!("{millis}ms"),
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

/// Text of others on a terminal: no escape sequence of theirs reaches it.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units() {
        for (millis, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (12_400, "12s"),
            (200_000, "3m 20s"),
            (14_700_000, "4h 5m"),
            (180_000_000, "2d 2h"),
        ] {
            assert_eq!(span(millis), text);
        }
    }

    #[test]
    fn tables_are_aligned_without_trailing_spaces() {
        let mut table = new_table(&["name", "waiting"]);
        align_right(&mut table, &[1]);
        table.add_row(["a", "10"]).add_row(["long name", "2"]);
        assert_eq!(draw(&table), "NAME       WAITING\na               10\nlong name        2\n");
    }

    #[test]
    fn escape_sequences_of_others_stay_harmless() {
        assert_eq!(printable("a\x1b[2Jb"), "a\u{fffd}[2Jb");
    }
}
