//! Fits harmless text into the columns of a terminal: cuts it, wraps it, and puts items into rows. This is the only place that
//! measures what is shown there. A wide character takes two columns, a combining one none.

use textwrap::{Options, WordSplitter};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// A piece of a row, and the escape sequence that it is painted with; empty for none.
pub(crate) type Span = (String, &'static str);

/// What stands between two packed items of one row.
const BETWEEN: &str = " · ";

/// Cuts text to `columns`.
pub(crate) fn fit(text: &str, columns: usize) -> String {
    // Characters without a width are counted as well: enough of them would paint over the rows around.
    let most = 4 * columns;
    if text.width() <= columns && text.chars().count() <= most {
        return text.to_owned();
    }
    let mut left = columns.saturating_sub(1);
    let fitting = text.chars().take(most).take_while(|c| {
        let rest = left.checked_sub(c.width().unwrap_or(0));
        left = rest.unwrap_or(left);
        rest.is_some()
    });
    fitting.chain(['…']).collect()
}

/// Breaks text at spaces, and a word that is wider than a row anywhere, into at most `most` rows. The last row shows whether
/// there are more.
pub(crate) fn wrapped(text: &str, columns: usize, most: usize) -> Vec<String> {
    let options = Options::new(columns).word_splitter(WordSplitter::NoHyphenation);
    let mut rows: Vec<String> = textwrap::wrap(text, options).into_iter().map(Into::into).collect();
    if rows.len() > most {
        rows.truncate(most);
        if let Some(last) = rows.last_mut() {
            *last = format!("{}…", fit(last, columns.saturating_sub(2)).trim_end_matches('…'));
        }
    }
    rows
}

/// Puts items into as few rows as a first fit gives, so their order is kept only roughly. An item that is wider than a row gets
/// at most `most` rows of its own.
pub(crate) fn packed(items: Vec<Span>, columns: usize, most: usize) -> Vec<Vec<Span>> {
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

/// Puts items into rows in their order, `between` before each but the first.
pub(crate) fn joined(items: Vec<Span>, between: &str, columns: usize) -> Vec<Vec<Span>> {
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
                let lead = between.trim_start();
                used = lead.width() + width;
                rows.push(vec![(lead.to_owned(), ""), (text, style)]);
            }
            None => {
                used = width;
                rows.push(vec![(text, style)]);
            }
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_fits_also_if_it_is_wide_or_without_width() {
        for (text, columns, expected) in [
            ("short", 5, "short"),
            ("longer", 5, "long…"),
            ("\u{4f60}\u{597d}\u{4f60}", 6, "\u{4f60}\u{597d}\u{4f60}"),
            ("\u{4f60}\u{597d}\u{4f60}", 5, "\u{4f60}\u{597d}…"),
            ("\u{4f60}\u{597d}\u{4f60}", 4, "\u{4f60}…"),
        ] {
            assert_eq!(fit(text, columns), expected);
        }
        assert_eq!(fit(&"\u{301}".repeat(100), 5).chars().count(), 21);
        assert_eq!(wrapped("one-two three", 8, 2), ["one-two", "three"]);
        assert_eq!(
            wrapped("one two three four", 5, 2).last().map(String::as_str),
            Some("two…")
        );
    }
}
