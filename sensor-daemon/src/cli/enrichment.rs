//! What findings say beside the evidence: the options, over what the configuration file says.

use anyhow::Context as _;
use clap::Args;
use tokio::sync::mpsc;

use crate::{
    config,
    enrich::{
        Enricher, Learnt, Wanted,
        cloud::{self, Overrides},
        host,
    },
    finding::Arguments,
    pipeline::Contexts,
};

/// Options of every command that reports.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Options {
    /// Findings also have the environment variables of the shell, secrets masked
    #[arg(long)]
    with_environment: bool,
    /// Findings have no arguments of any program
    #[arg(long, conflicts_with = "unmasked_arguments")]
    without_arguments: bool,
    /// Findings have arguments as they are. Without this, what looks like a password, token or key is masked in them
    #[arg(long)]
    unmasked_arguments: bool,
    /// Don't ask the metadata server of Google Cloud which machine this is. It is asked only where something says that there
    /// is one; GCE_METADATA_HOST says where, if it is elsewhere
    #[arg(long)]
    no_metadata: bool,
    /// Full name of the resource that findings are about, instead of what is found out
    #[arg(long, value_name = "NAME", value_parser = resource_text)]
    resource_name: Option<String>,
    /// What people call that resource
    #[arg(long, value_name = "NAME", value_parser = resource_text)]
    resource_display_name: Option<String>,
    /// Its type, as google.compute.Instance
    #[arg(long, value_name = "TYPE", value_parser = resource_text)]
    resource_type: Option<String>,
}

fn resource_text(text: &str) -> Result<String, &'static str> {
    if config::is_fit(text) {
        Ok(text.to_owned())
    } else {
        Err("it is empty, too long or holds a control character")
    }
}

/// What was asked for.
pub(super) struct Enrichment {
    wanted: Wanted,
    /// What findings show of arguments.
    pub(super) arguments: Arguments,
    overrides: Overrides,
}

impl Options {
    /// The options, and where they say nothing, the file.
    pub(super) fn over(&self, file: config::Enrichment) -> Enrichment {
        Enrichment {
            wanted: Wanted {
                environment: self.with_environment || file.environment.unwrap_or(false),
                metadata: !self.no_metadata && file.metadata.unwrap_or(true),
            },
            arguments: if self.without_arguments || !(self.unmasked_arguments || file.arguments.unwrap_or(true)) {
                Arguments::Removed
            } else if self.unmasked_arguments || file.unmasked_arguments.unwrap_or(false) {
                Arguments::Raw
            } else {
                Arguments::Masked
            },
            overrides: Overrides {
                name: self.resource_name.clone().or(file.resource.name),
                display_name: self.resource_display_name.clone().or(file.resource.display_name),
                kind: self.resource_type.clone().or(file.resource.kind),
            },
        }
    }
}

impl Enrichment {
    /// Nothing is found out: of a recording, and of what is recorded, so that both say the same.
    pub(super) fn fixed(&self) -> Contexts {
        Contexts::fixed(self.overrides.clone())
    }

    /// Starts to find out.
    pub(super) fn start(&self) -> anyhow::Result<(Contexts, mpsc::Receiver<Learnt>)> {
        let (enricher, learnt) =
            Enricher::start(self.wanted).context("the thread that looks around takeovers could not be started")?;
        let contexts = Contexts::live(
            self.overrides.clone(),
            enricher,
            cloud::by_environment(),
            host::addresses(),
        );
        Ok((contexts, learnt))
    }
}
