//! A finding told to the person who has to act on it: what happened, through what, how bad, what next. [`Story`] holds every
//! answer as plain words, made of a report and of others around it; [`text()`], [`html()`] and [`svg()`] only draw it.
//!
//! No string of a story holds a control character or is longer than `story::TEXT_MAX`, and no command to copy holds a byte
//! of a watched process that a shell would act on (`shell`). The renderers escape for their own language on top of that.

mod advice;
mod columns;
mod html;
mod logs;
mod markup;
mod posture;
mod processes;
mod related;
mod shell;
mod sketch;
mod story;
mod svg;
mod text;
mod ways;

#[cfg(test)]
mod tests;

pub use self::{
    html::html,
    related::{RELATED_NS, Related},
    story::Story,
    svg::svg,
    text::text,
};
