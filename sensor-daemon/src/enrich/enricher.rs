//! The thread that finds out what surrounds a takeover, and another, short-lived one that asks the metadata server. Detection hands
//! over jobs through a bounded queue and never waits; what was learnt comes back through another.

use std::{
    io,
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread,
    time::Duration,
};

use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::{
    cloud::{self, Resources},
    surroundings::Surroundings,
};
use crate::{
    model::{Container, Context, Exec},
    procfs::sees_host_process_ids,
};

/// Most jobs that wait.
pub const JOBS_MAX: usize = 64;
/// Pauses before the metadata server is asked again, in seconds: at boot the network comes up late.
const PAUSES: &[u64] = &[1, 2, 4, 8, 16];

/// What is to be found out.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Environment variables too.
    pub environment: bool,
    /// The metadata server may be asked.
    pub metadata: bool,
}

/// A finding to be enriched.
pub struct Job {
    pub(crate) id: String,
    pub(crate) shell: Exec,
}

/// What was found out.
pub enum Learnt {
    /// Of one finding.
    Finding {
        /// Its id.
        id: String,
        /// What surrounds it.
        context: Box<Context>,
        /// The container, by all that tells of it.
        container: Option<Container>,
    },
    /// Of this machine. Comes once, also if nothing was found out.
    Machine(Box<Resources>),
}

/// The end that detection holds.
pub struct Enricher {
    jobs: SyncSender<Job>,
    /// [`Learnt::Machine`] is to come.
    pub(crate) asks_metadata: bool,
    dead: bool,
}

impl Enricher {
    /// Starts the threads.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(wanted: Wanted) -> io::Result<(Self, mpsc::Receiver<Learnt>)> {
        let (jobs, waiting) = sync_channel(JOBS_MAX);
        let (learnt, receiver) = mpsc::channel(JOBS_MAX);
        let asks_metadata = wanted.metadata && cloud::is_likely();
        if asks_metadata {
            let learnt = learnt.clone();
            thread::Builder::new().name("metadata".into()).spawn(move || {
                // Nobody listens once the sensor is stopping.
                let _ = learnt.blocking_send(Learnt::Machine(Box::new(ask_metadata())));
            })?;
        }
        thread::Builder::new().name("enrich".into()).spawn(move || {
            work(&waiting, &learnt, wanted.environment);
        })?;
        let enricher = Self {
            jobs,
            asks_metadata,
            dead: false,
        };
        Ok((enricher, receiver))
    }

    /// Hands over a job; whether it was taken.
    pub(crate) fn ask(&mut self, job: Job) -> bool {
        match self.jobs.try_send(job) {
            Ok(()) => true,
            Err(TrySendError::Full(job)) => {
                debug!("finding {} is not enriched for the moment: too many wait", job.id);
                false
            }
            Err(TrySendError::Disconnected(_)) => {
                if !std::mem::replace(&mut self.dead, true) {
                    warn!(
                        "the thread that looks around takeovers died: findings hold the evidence alone from now on; restart the sensor"
                    );
                }
                false
            }
        }
    }
}

fn work(jobs: &Receiver<Job>, learnt: &mpsc::Sender<Learnt>, environment: bool) {
    let mut surroundings = Surroundings::new(sees_host_process_ids().unwrap_or(false), environment);
    while let Ok(Job { id, shell }) = jobs.recv() {
        let (context, container) = surroundings.of(&shell);
        let found = Learnt::Finding {
            id,
            context: Box::new(context),
            container,
        };
        if learnt.blocking_send(found).is_err() {
            break;
        }
    }
}

fn ask_metadata() -> Resources {
    for pause in PAUSES {
        if let Some(resources) = cloud::by_metadata() {
            return resources;
        }
        thread::sleep(Duration::from_secs(*pause));
    }
    cloud::by_metadata().unwrap_or_else(|| {
        warn!(
            "the metadata server does not answer, so findings don't name the cloud resource; allow connections to it, or turn it off: \
             metadata = false"
        );
        cloud::by_environment()
    })
}
