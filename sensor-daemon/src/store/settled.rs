//! Which findings of earlier starts of the sensor are over, as far as this start knows.

/// What an earlier start left open and this one has not met is over if it is one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Every finding: all processes could be looked at.
    All,
    /// Findings of other boots than this one. Processes of this boot could not be looked at, and may still hold their connection.
    OtherBoots(String),
}
