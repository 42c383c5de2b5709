//! Which flows are watched, and for how many reasons: the wish to watch goes out with the first, the other with the last.

use std::collections::BTreeMap;

use crate::model::Flow;

use super::Request;

/// Most flows watched at a time.
pub(super) const FLOWS_MAX: usize = 512;

#[derive(Debug, Default)]
pub(super) struct Flows(BTreeMap<Flow, u32>);

impl Flows {
    /// One more reason to watch `flow`; whether there was room.
    pub(super) fn watch(&mut self, flow: Flow, requests: &mut Vec<Request>) -> bool {
        if self.0.len() >= FLOWS_MAX && !self.0.contains_key(&flow) {
            return false;
        }
        let reasons = self.0.entry(flow).or_default();
        *reasons += 1;
        if *reasons == 1 {
            requests.push(Request::Watch(flow));
        }
        true
    }

    /// One reason less.
    pub(super) fn unwatch(&mut self, flow: Flow, requests: &mut Vec<Request>) {
        let Some(reasons) = self.0.get_mut(&flow) else { return };
        *reasons -= 1;
        if *reasons == 0 {
            self.0.remove(&flow);
            requests.push(Request::Unwatch(flow));
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
