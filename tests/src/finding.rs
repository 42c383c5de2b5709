//! What the sensor wrote: one finding in the shape of Security Command Center a line.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::peer::Ends;

/// One line of the sensor's output.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The member `finding`.
    value: Value,
    /// Which takeover it speaks of.
    id: String,
}

/// Whether a line of the sensor's output speaks of a takeover that has ended.
#[must_use]
pub fn has_ended(line: &Value) -> bool {
    line.pointer("/finding/sourceProperties/endTime").is_some()
}

/// A process of a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// Parent.
    pub parent: u32,
    /// User id.
    pub uid: Option<u32>,
    /// Absolute path of its executable.
    pub path: String,
    /// Arguments, the program's own name first.
    pub args: Vec<String>,
    /// There were more.
    pub truncated: bool,
}

impl Finding {
    /// Reads a line.
    ///
    /// # Errors
    /// If it is not one JSON object with a finding and a resource in it.
    pub fn parse(line: &[u8]) -> Result<Self> {
        let mut value: Value = serde_json::from_slice(line).context("a line that is not JSON")?;
        ensure!(
            value.pointer("/resource/name").is_some_and(Value::is_string),
            "a line without resource.name"
        );
        let value = value.get_mut("finding").context("a line without `finding`")?.take();
        let name = value
            .get("name")
            .and_then(Value::as_str)
            .context("a finding without a name")?;
        let id = name
            .rsplit_once("/findings/")
            .map(|(_, id)| id.to_owned())
            .unwrap_or_default();
        ensure!(
            id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "an odd finding name: {name}"
        );
        Ok(Self { value, id })
    }

    /// The takeover's identity.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A string member, empty if it is missing.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.value.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// The takeover has ended. `state` is ACTIVE all the same, until somebody closes the finding.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.property("endTime").is_some()
    }

    /// A source property.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&Value> {
        self.value.get("sourceProperties")?.get(name)
    }

    /// A source property that is a number, whether written as one or as text.
    ///
    /// # Errors
    /// If it is missing or is none.
    pub fn number(&self, name: &str) -> Result<u64> {
        let value = self
            .property(name)
            .with_context(|| format!("no sourceProperties.{name} in {self}"))?;
        number(value).with_context(|| format!("sourceProperties.{name} is not a number: {value}"))
    }

    /// The processes: the shell first.
    ///
    /// # Errors
    /// If one lacks what every process has.
    pub fn processes(&self) -> Result<Vec<Process>> {
        let list = self
            .value
            .get("processes")
            .and_then(Value::as_array)
            .context("a finding without processes")?;
        list.iter().map(Process::of).collect()
    }

    /// Whether one of its connections has these ends, in whichever direction.
    #[must_use]
    pub fn has(&self, ends: Ends) -> bool {
        let pairs = self.connections();
        pairs.contains(&(ends.host, ends.peer)) || pairs.contains(&(ends.peer, ends.host))
    }

    /// Source and destination of its connections.
    #[must_use]
    pub fn connections(&self) -> Vec<(SocketAddr, SocketAddr)> {
        let list = self.value.get("connections").and_then(Value::as_array);
        let end = |connection: &Value, side: &str| {
            let ip = connection.get(format!("{side}Ip"))?.as_str()?.parse().ok()?;
            Some(SocketAddr::new(
                ip,
                u16::try_from(number(connection.get(format!("{side}Port"))?)?).ok()?,
            ))
        };
        let pair = |connection| Some((end(connection, "source")?, end(connection, "destination")?));
        list.into_iter().flatten().filter_map(pair).collect()
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Whoever reads a failure wants the whole of it.
        write!(f, "{:#}", self.value)
    }
}

impl Process {
    fn of(value: &Value) -> Result<Self> {
        let field = |name: &str| {
            let field = value
                .get(name)
                .with_context(|| format!("a process without {name}: {value}"))?;
            u32::try_from(number(field).unwrap_or(u64::MAX)).with_context(|| format!("an odd {name}: {field}"))
        };
        let args = value.get("args").and_then(Value::as_array).into_iter().flatten();
        Ok(Self {
            pid: field("pid")?,
            // Protobuf's JSON leaves a zero out.
            parent: value.get("parentPid").and_then(number).map_or(Ok(0), u32::try_from)?,
            uid: value.get("userId").and_then(number).map(u32::try_from).transpose()?,
            path: value
                .pointer("/binary/path")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            args: args.map(|arg| arg.as_str().unwrap_or_default().to_owned()).collect(),
            truncated: value
                .get("argumentsTruncated")
                .and_then(Value::as_bool)
                .unwrap_or_default(),
        })
    }
}

/// A number; protobuf's JSON writes 64-bit ones as text.
fn number(value: &Value) -> Option<u64> {
    value
        .as_u64()
        .or_else(|| {
            value
                .as_f64()
                .filter(|n| *n >= 0.0 && n.fract() == 0.0)
                .map(|n| n as u64)
        })
        .or_else(|| value.as_str()?.parse().ok())
}
