//! The outside world as a recording tells it.
//!
//! An answer is found by its question, not by its place: under other settings the engine may leave out questions or ask more,
//! and all others still get their own answers. What was never asked is answered so that nothing ends or is raised by it.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
};

use super::{Answer, Question, RecordedTurn, Turn};
use crate::{
    detect::{Delivery, Inspector},
    model::{BootTime, Flow, Holder, Observation, ProcessId, Stream, Text},
};

/// Answers from a recording.
#[derive(Debug, Default)]
pub struct RecordedWorld {
    /// What was answered in the turn that goes on, and whether that was given out.
    answers: RefCell<Vec<(Question, Answer, bool)>>,
    /// Processes that were said to be gone, and sockets that processes were said not to hold: that stays so.
    gone: RefCell<HashSet<ProcessId>>,
    released: RefCell<HashSet<(ProcessId, u64)>>,
    /// The line that the turn is on.
    line: Cell<usize>,
    /// The line of the first turn with a question that has no answer.
    unanswered: Cell<Option<usize>>,
}

impl RecordedWorld {
    /// The turn that is to happen.
    pub fn turn(&self, turn: &mut RecordedTurn) {
        self.line.set(turn.line);
        if let Turn::Observe(Observation::Exit(exit)) = turn.turn {
            self.gone.borrow_mut().insert(exit.process);
        }
        let answers = std::mem::take(&mut turn.answers);
        *self.answers.borrow_mut() = answers
            .into_iter()
            .map(|(question, answer)| (question, answer, false))
            .collect();
    }

    /// A turn that was not recorded is to happen before the one on this line.
    pub fn unrecorded_turn(&self, line: usize) {
        self.line.set(line);
        self.answers.borrow_mut().clear();
    }

    /// The line of the first turn in which the engine asked something that it did not when it was recorded.
    #[must_use]
    pub fn unanswered(&self) -> Option<usize> {
        self.unanswered.get()
    }

    /// The first answer to this question in this turn that was not given out yet, else the last one that was.
    fn ask(&self, question: &Question) -> Option<Answer> {
        let mut answers = self.answers.borrow_mut();
        let fresh = answers
            .iter()
            .position(|(asked, _, given)| !given && asked == question)
            .or_else(|| answers.iter().rposition(|(asked, ..)| asked == question));
        let (_, answer, given) = fresh.and_then(|at| answers.get_mut(at))?;
        *given = true;
        Some(answer.clone())
    }

    /// Notes that a question has no answer of its own.
    fn assume<T>(&self, answer: T) -> T {
        if self.unanswered.get().is_none() {
            self.unanswered.set(Some(self.line.get()));
        }
        answer
    }
}

impl Inspector for RecordedWorld {
    fn holds_socket(&self, process: ProcessId, inode: u64) -> bool {
        let mut released = self.released.borrow_mut();
        match self.ask(&Question::HoldsSocket(process, inode)) {
            Some(Answer::Is(answer)) => {
                if !answer {
                    released.insert((process, inode));
                }
                answer
            }
            _ => self.assume(!released.contains(&(process, inode)) && !self.gone.borrow().contains(&process)),
        }
    }

    fn is_alive(&self, process: ProcessId) -> bool {
        let mut gone = self.gone.borrow_mut();
        match self.ask(&Question::IsAlive(process)) {
            Some(Answer::Is(answer)) => {
                if !answer {
                    gone.insert(process);
                }
                answer
            }
            _ => self.assume(!gone.contains(&process)),
        }
    }

    fn opposite(&self, stream: &Stream) -> Vec<Holder> {
        match self.ask(&Question::Opposite(stream.clone())) {
            Some(Answer::Holders(holders)) => holders,
            _ => self.assume(Vec::new()),
        }
    }

    fn delivered(&self, flow: Flow, _since: BootTime, _texts: &[Text]) -> Delivery {
        match self.ask(&Question::Delivered(flow)) {
            Some(Answer::Delivery(delivery)) => delivery,
            _ => self.assume(Delivery::Unwatched),
        }
    }
}
