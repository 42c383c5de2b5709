//! The commands of one incident: the first and the newest ones, and how many lie between.
//!
//! The first commands show how a takeover began, the newest ones what goes on. Whoever runs `/bin/true` forty times can push
//! neither out unseen: of 50 commands with room for 32, the first 8 and the newest 24 are kept, and 18 count as omitted.

use std::collections::VecDeque;

use crate::model::{BootTime, ProcessId};

use super::snapshot::Command;

/// Most commands kept of one incident.
pub const COMMANDS_MAX: usize = 32;
/// Fewest commands that an incident keeps.
pub(super) const COMMANDS_MIN: usize = 4;
/// Of so many kept commands, one belongs to the first.
const FIRST_SHARE: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Commands {
    first: Vec<Command>,
    newest: VecDeque<Command>,
    /// Commands between the two that are not kept.
    omitted: u64,
}

impl Commands {
    /// Adds the newest command, keeping at most `keep` in all.
    pub(super) fn push(&mut self, command: Command, keep: usize) {
        self.newest.push_back(command);
        self.shrink(keep);
    }

    /// Adds a command that came before all others: a program that counted as the shell until a stronger one came.
    pub(super) fn push_oldest(&mut self, command: Command, keep: usize) {
        self.first.insert(0, command);
        self.shrink(keep);
    }

    /// Takes back a command that turned out to be the shell.
    pub(super) fn remove(&mut self, process: ProcessId, time: BootTime) {
        let before = self.kept();
        let other = |command: &Command| (command.process, command.time) != (process, time);
        self.first.retain(other);
        self.newest.retain(other);
        if self.kept() == before {
            self.omitted = self.omitted.saturating_sub(1);
        }
    }

    /// Drops commands from the middle until at most `keep` are left.
    pub(super) fn shrink(&mut self, keep: usize) {
        let first_max = keep / FIRST_SHARE;
        while self.first.len() > first_max
            && let Some(command) = self.first.pop()
        {
            if self.omitted == 0 {
                self.newest.push_front(command);
            } else {
                self.omitted += 1;
            }
        }
        while self.omitted == 0
            && self.first.len() < first_max
            && let Some(command) = self.newest.pop_front()
        {
            self.first.push(command);
        }
        let surplus = self.kept().saturating_sub(keep);
        self.omitted += self.newest.drain(..surplus.min(self.newest.len())).len() as u64;
        self.first.shrink_to_fit();
        if self.newest.capacity() > 2 * COMMANDS_MAX || keep == COMMANDS_MIN {
            self.newest.shrink_to_fit();
        }
    }

    /// The kept commands, oldest first.
    pub(super) fn to_vec(&self) -> Vec<Command> {
        self.first.iter().chain(&self.newest).cloned().collect()
    }

    /// How many commands are kept.
    pub(super) fn kept(&self) -> usize {
        self.first.len() + self.newest.len()
    }

    /// How many kept commands precede the gap.
    pub(super) fn first(&self) -> usize {
        self.first.len()
    }

    /// How many commands the gap holds.
    pub(super) fn omitted(&self) -> u64 {
        self.omitted
    }
}
