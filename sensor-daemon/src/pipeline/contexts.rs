//! What was found out about each open finding. It is kept beside the engine and added to every report. If it comes after a
//! finding was reported, it is a reason for one more report.
//!
//! The first report of a finding waits for it, but no longer than [`FIRST_REPORT_WAIT`]. So one takeover normally begins with
//! one entry in the journal and not with two. For example:
//!
//! ```text
//! 0.0 ms  the engine emits update 1 of a finding: kept back, and a job for the enricher
//! 0.2 ms  the enricher answers: update 1 is reported, with posture, account and file
//! 1.0 s   the engine emits update 2: reported at once, with the context of update 1
//! ```
//!
//! Bounded; does no I/O.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
};

use crate::{
    detect::State,
    enrich::{
        Enricher, JOBS_MAX, Job, Learnt,
        cloud::{Overrides, Resources},
        container::Containers,
    },
    finding::Report,
    model::{BootTime, Cloud, Container, Context},
};

/// Most findings whose context is remembered.
const FINDINGS_MAX: usize = 1024;
/// Longest wait of a finding's first report for its context, in nanoseconds.
const FIRST_REPORT_WAIT: u64 = 5_000_000;

/// What is known beside the evidence.
pub struct Contexts {
    overrides: Overrides,
    resources: Resources,
    addresses: Vec<IpAddr>,
    findings: HashMap<String, Known>,
    /// In the order in which they came.
    order: VecDeque<String>,
    /// The newest report of findings of which something is still to be found out.
    waiting: HashMap<String, Report>,
    /// First reports that wait for their context, and when each is due without it. The earliest comes first.
    kept_back: VecDeque<(BootTime, Report)>,
    /// Nobody looks around for a recording.
    enricher: Option<Enricher>,
    /// The metadata server is being asked.
    machine_pending: bool,
}

/// Of one finding.
#[derive(Default)]
struct Known {
    context: Option<Context>,
    container: Option<Container>,
    /// Somebody is finding it out.
    pending: bool,
    /// Reports that were made because something was found out.
    reports: u64,
}

impl Contexts {
    /// Knows nothing but what the user says, and finds nothing out.
    #[must_use]
    pub fn fixed(overrides: Overrides) -> Self {
        Self {
            overrides,
            resources: Resources::default(),
            addresses: Vec::new(),
            findings: HashMap::new(),
            order: VecDeque::new(),
            waiting: HashMap::new(),
            kept_back: VecDeque::new(),
            enricher: None,
            machine_pending: false,
        }
    }

    /// Has `enricher` find out. `resources` and `addresses` are what is known of the machine from the start.
    #[must_use]
    pub fn live(overrides: Overrides, enricher: Enricher, resources: Resources, addresses: Vec<IpAddr>) -> Self {
        Self {
            resources,
            addresses,
            machine_pending: enricher.asks_metadata,
            enricher: Some(enricher),
            ..Self::fixed(overrides)
        }
    }

    /// Adds what is known to a report, and has found out what is not.
    pub fn add(&mut self, report: &mut Report) {
        if self.enricher.is_none() {
            report.context.cloud = self.cloud(report);
            return;
        }
        self.remember(&report.id);
        if let Some(known) = self.findings.get(&report.id) {
            report.incident.update += known.reports;
        }
        self.fill(report);
        self.ask(report);
        self.forget_if_over(report);
    }

    /// Keeps a finding's first report back if its context is being found out. Returns whether it did.
    pub fn keep_back(&mut self, report: &Report, now: BootTime) -> bool {
        let pending = self.findings.get(&report.id).is_some_and(|known| known.pending);
        let is_kept_back = pending && report.incident.update == 1;
        if is_kept_back {
            self.kept_back.push_back((now.after(FIRST_REPORT_WAIT), report.clone()));
        }
        is_kept_back
    }

    /// Gives back the report of this finding that was kept back, if there is one.
    pub fn release(&mut self, id: &str) -> Option<Report> {
        let at = self.kept_back.iter().position(|(_, report)| report.id == id)?;
        self.kept_back.remove(at).map(|(_, report)| report)
    }

    /// Gives back the reports that have waited long enough.
    pub fn overdue(&mut self, now: BootTime) -> Vec<Report> {
        let waiting = self.kept_back.partition_point(|(due, _)| *due <= now);
        self.kept_back.drain(..waiting).map(|(_, report)| report).collect()
    }

    /// When [`Self::overdue`] is to be asked next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<BootTime> {
        self.kept_back.front().map(|(due, _)| *due)
    }

    /// Takes what was found out: the reports to be made of it.
    pub fn learn(&mut self, learnt: Learnt) -> Vec<Report> {
        let ids = match learnt {
            Learnt::Finding { id, context, container } => {
                if let Some(known) = self.findings.get_mut(&id) {
                    known.context = Some(*context);
                    known.container = container;
                    known.pending = false;
                }
                vec![id]
            }
            Learnt::Machine(resources) => {
                self.resources = *resources;
                self.machine_pending = false;
                let findings = &self.findings;
                let is_pending = |id: &String| findings.get(id).is_some_and(|known| known.pending);
                let mut ids: Vec<String> = self.waiting.keys().filter(|id| !is_pending(id)).cloned().collect();
                ids.sort_unstable();
                ids
            }
        };
        ids.iter().filter_map(|id| self.report_again(id)).collect()
    }

    fn report_again(&mut self, id: &str) -> Option<Report> {
        let is_first = self.release(id).is_some();
        let mut report = self.waiting.remove(id)?;
        let before = (report.context.clone(), report.incident.shell.container.clone());
        self.fill(&mut report);
        let news = before != (report.context.clone(), report.incident.shell.container.clone());
        if news && !is_first {
            report.incident.update += 1;
            report.incident.new_commands = 0;
            if let Some(known) = self.findings.get_mut(id) {
                known.reports += 1;
            }
        }
        // Few at most, since the metadata server is asked at start alone.
        if self.machine_pending && self.waiting.len() < JOBS_MAX {
            self.waiting.insert(id.to_owned(), report.clone());
        }
        self.forget_if_over(&report);
        (news || is_first).then_some(report)
    }

    fn fill(&self, report: &mut Report) {
        let known = self.findings.get(&report.id);
        if let Some(container) = known.and_then(|known| known.container.as_ref()) {
            let shown = &mut report.incident.shell.container;
            match shown {
                None => *shown = Some(container.clone()),
                // A container's first process may run before its state is written.
                Some(shown) if shown.id == container.id => {
                    shown.name = shown.name.take().or_else(|| container.name.clone());
                    shown.image = shown.image.take().or_else(|| container.image.clone());
                }
                Some(_) => {}
            }
        }
        let mut context = known
            .and_then(|known| known.context.clone())
            .unwrap_or_else(|| Context {
                addresses: self.addresses.clone(),
                ..Context::default()
            });
        let in_pod = context.pod.is_some();
        context.cloud = self.overrides.over(self.found(report, in_pod), &report.host);
        report.context = context;
    }

    fn cloud(&self, report: &Report) -> Option<Cloud> {
        self.overrides.over(self.found(report, false), &report.host)
    }

    /// What a pod does, its cluster answers for.
    fn found(&self, report: &Report, in_pod: bool) -> Option<Cloud> {
        let in_pod = in_pod || Containers::is_pod(&report.incident.shell.cgroup);
        let cluster = self.resources.cluster.as_ref().filter(|_| in_pod);
        cluster.or(self.resources.machine.as_ref()).cloned()
    }

    fn ask(&mut self, report: &Report) {
        if let Some(waiting) = self.waiting.get_mut(&report.id) {
            waiting.clone_from(report);
            return;
        }
        let (Some(known), Some(enricher)) = (self.findings.get_mut(&report.id), &mut self.enricher) else {
            return;
        };
        if known.pending || known.context.is_some() || self.waiting.len() >= 2 * JOBS_MAX {
            return;
        }
        let job = Job {
            id: report.id.clone(),
            shell: report.incident.shell.clone(),
        };
        if enricher.ask(job) {
            known.pending = true;
            self.waiting.insert(report.id.clone(), report.clone());
        }
    }

    fn remember(&mut self, id: &str) {
        if self.findings.contains_key(id) {
            return;
        }
        if self.order.len() >= FINDINGS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.findings.remove(&oldest);
            self.waiting.remove(&oldest);
        }
        self.order.push_back(id.to_owned());
        self.findings.insert(id.to_owned(), Known::default());
    }

    fn forget_if_over(&mut self, report: &Report) {
        if report.incident.state == State::Inactive && !self.waiting.contains_key(&report.id) {
            self.findings.remove(&report.id);
            self.order.retain(|id| *id != report.id);
        }
    }
}
