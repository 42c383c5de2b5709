//! Fitting harmless text into columns of a terminal: cutting, wrapping, packing.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// A piece of a row and the escape sequence that it is painted with; empty for none.
pub(super) type Span = (String, &'static str);

/// What stands between two items of one row.
const BETWEEN: &str = " · ";

/// Cuts text to `columns`.
pub(super) fn fit(text: &str, columns: usize) -> String {
    // What takes no column could be endless.
    if text.width() <= columns && text.chars().count() <= 4 * columns {
        return text.to_owned();
    }
    let (mut cut, mut used) = (String::new(), 0);
    for (at, c) in text.chars().enumerate() {
        used += c.width().unwrap_or(0);
        if used + 1 > columns || at > 4 * columns {
            break;
        }
        cut.push(c);
    }
    cut.push('…');
    cut
}

/// Breaks text at spaces, and a word that is wider than a row where the row ends, into at most `most` rows; the last one
/// shows that there are more.
pub(super) fn wrapped(text: &str, columns: usize, most: usize) -> Vec<String> {
    let mut rows = rows(text, columns);
    if rows.len() > most {
        rows.truncate(most);
        if let Some(last) = rows.last_mut() {
            *last = format!("{}…", fit(last, columns.saturating_sub(2)).trim_end_matches('…'));
        }
    }
    rows
}

fn rows(text: &str, columns: usize) -> Vec<String> {
    let mut rows = Vec::new();
    let (mut row, mut used) = (String::new(), 0);
    for word in text.split(' ') {
        let (width, start) = (word.width(), used + usize::from(used > 0));
        if used > 0 && (start + width > columns && width <= columns || start >= columns) {
            rows.push(std::mem::take(&mut row));
            used = 0;
        } else if used > 0 {
            row.push(' ');
            used += 1;
        }
        for c in word.chars() {
            let width = c.width().unwrap_or(0);
            if used + width > columns {
                rows.push(std::mem::take(&mut row));
                used = 0;
            }
            row.push(c);
            used += width;
        }
    }
    rows.push(row);
    rows
}

/// Puts items into as few rows as a first fit gives, so their order is kept only roughly. One that is wider than a row gets
/// at most `most` rows of its own.
pub(super) fn packed(items: Vec<Span>, columns: usize, most: usize) -> Vec<Vec<Span>> {
    let mut packed: Vec<(usize, Vec<Span>)> = Vec::new();
    for (text, style) in items {
        let width = text.width();
        if width > columns {
            let own = wrapped(&text, columns, most);
            packed.extend(own.into_iter().map(|row| (columns, vec![(row, style)])));
            continue;
        }
        let room = packed
            .iter_mut()
            .find(|(used, _)| used + BETWEEN.width() + width <= columns);
        match room {
            Some((used, row)) => {
                row.extend([(BETWEEN.to_owned(), ""), (text, style)]);
                *used += BETWEEN.width() + width;
            }
            None => packed.push((width, vec![(text, style)])),
        }
    }
    packed.into_iter().map(|(_, row)| row).collect()
}

/// Puts items into rows in their order, each after the one before and `between`.
pub(super) fn joined(items: Vec<Span>, between: &str, columns: usize) -> Vec<Vec<Span>> {
    let mut rows: Vec<Vec<Span>> = Vec::new();
    let mut used = 0;
    for (text, style) in items {
        let text = fit(&text, columns.saturating_sub(between.width()));
        let width = text.width();
        match rows.last_mut() {
            Some(row) if used + between.width() + width <= columns => {
                row.extend([(between.to_owned(), ""), (text, style)]);
                used += between.width() + width;
            }
            Some(_) => {
                // A row that goes on from the one above begins with what stands between.
                used = between.trim_start().width() + width;
                rows.push(vec![(between.trim_start().to_owned(), ""), (text, style)]);
            }
            None => {
                used = width;
                rows.push(vec![(text, style)]);
            }
        }
    }
    rows
}
