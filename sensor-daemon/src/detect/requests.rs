//! What the engine asks the source of its observations to do from now on.
//!
//! Owns which flows are watched and for how many reasons: two shells behind one connection are two reasons, and the request
//! to stop goes out with the last one. A request that the source denies leaves no reason behind.

use std::collections::BTreeMap;

use crate::model::{Flow, ProcessId};

/// A request to the source. The source grants it, or tells [`super::Engine::denied`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Request {
    /// Report what this process and its children execute.
    Follow(ProcessId),
    /// Stop reporting what this process executes.
    Unfollow(ProcessId),
    /// Report it when this process connects to somebody.
    ReportConnects(ProcessId),
    /// Sample what this flow delivers.
    Watch(Flow),
    /// Stop sampling this flow.
    Unwatch(Flow),
}

/// Most flows watched at a time.
pub(super) const FLOWS_MAX: usize = 512;

/// Requests that were not handed out yet, and the flows that are watched.
#[derive(Debug, Default)]
pub(super) struct Requests {
    pending: Vec<Request>,
    /// How many reasons there are to watch a flow.
    flows: BTreeMap<Flow, u32>,
}

impl Requests {
    /// Hands out what is new.
    pub(super) fn take(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.pending)
    }

    pub(super) fn push(&mut self, request: Request) {
        self.pending.push(request);
    }

    pub(super) fn extend(&mut self, requests: impl IntoIterator<Item = Request>) {
        self.pending.extend(requests);
    }

    /// Adds a reason to watch `flow`. Returns false if there is no room for another flow.
    pub(super) fn watch(&mut self, flow: Flow) -> bool {
        if self.flows.len() >= FLOWS_MAX && !self.flows.contains_key(&flow) {
            return false;
        }
        let reasons = self.flows.entry(flow).or_default();
        *reasons += 1;
        if *reasons == 1 {
            self.push(Request::Watch(flow));
        }
        true
    }

    /// Removes a reason to watch `flow`.
    pub(super) fn unwatch(&mut self, flow: Flow) {
        let Some(reasons) = self.flows.get_mut(&flow) else {
            return;
        };
        *reasons -= 1;
        if *reasons == 0 {
            self.flows.remove(&flow);
            self.push(Request::Unwatch(flow));
        }
    }

    /// The source does not watch `flow`. Whoever had a reason has to drop it.
    pub(super) fn watch_denied(&mut self, flow: Flow) {
        self.flows.remove(&flow);
    }

    #[cfg(test)]
    pub(super) fn flows(&self) -> usize {
        self.flows.len()
    }
}
