//! A finding told to the person who has to act on it: what happened, through what, how bad, what next.
//!
//! `story` holds a [`Story`] as plain data. `tell` makes it, with a file for each part: `facts`, `ways`, `processes`, `posture`,
//! `related`, `logs`, `advice`. [`text()`], [`html()`] and [`svg()`] only draw it.
//!
//! No string of a story holds a control character or is longer than 1,024 characters, and no command to copy holds a byte
//! of a watched process that a shell would act on (`shell`). Example: a pod that is named `$(reboot)` appears as
//! `'$(reboot)'`, and a pod that is named `a b` has no command at all. HTML and SVG are escaped by `maud`.

mod advice;
mod facts;
mod html;
mod logs;
mod posture;
mod processes;
mod related;
mod shell;
mod sketch;
mod story;
mod svg;
mod tell;
mod text;
mod ways;

#[cfg(test)]
mod tests;

pub use self::{html::html, related::RELATED_NS, story::Story, svg::svg, text::text};
