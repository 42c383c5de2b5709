//! One `[[exception]]` table of the file, or of the built-in ones: the same form, the same demands.

use std::{
    net::IpAddr,
    ops::{Range, RangeInclusive},
};

use ipnet::IpNet;
use toml::de::{DeInteger, DeTable, DeValue};

use super::{
    Users,
    reader::{Document, FIELDS as FILE_FIELDS, Key, Value, kind},
};
use crate::{
    detect::exceptions::{Conditions, ContainerCondition, ContainerName, Exception, Glob, GlobKind, Origin, User},
    model::Direction,
};

/// Fields of an exception.
pub(super) const FIELDS: &[&str] = &[
    "id",
    "reason",
    "binary",
    "script",
    "parent",
    "ancestor",
    "relay",
    "peer",
    "port",
    "user",
    "container",
    "image",
    "direction",
];
const HEADER: &str = "write each exception as a table under [[exception]], in double brackets";
const EXCEPTION: &str = "an exception";
const ID_MAX: usize = 64;
/// Digits of an id that are enough to mean a container: what `docker ps` shows.
const CONTAINER_ID_MIN: usize = 12;

/// An exception, and where its id is.
pub(super) struct Read {
    pub(super) exception: Exception,
    pub(super) id_span: Range<usize>,
}

/// Reads all of them. What is wrong is noted in the document.
pub(super) fn read_all(
    document: &mut Document<'_>,
    key: &Key<'_>,
    value: &Value<'_>,
    origin: Origin,
    users: &dyn Users,
) -> Vec<Read> {
    let DeValue::Array(tables) = value.get_ref() else {
        document.problem(
            key.span(),
            format!("`exception` is {}, not a list of tables", kind(value)),
            HEADER,
        );
        return vec![];
    };
    let mut all = vec![];
    for value in tables {
        match value.get_ref() {
            DeValue::Table(table) => all.extend(read(document, value.span(), table, origin, users)),
            _ => document.problem(value.span(), format!("an exception can't be {}", kind(value)), HEADER),
        }
    }
    all
}

fn read(
    document: &mut Document<'_>,
    span: Range<usize>,
    table: &DeTable<'_>,
    origin: Origin,
    users: &dyn Users,
) -> Option<Read> {
    let problems = document.count();
    let mut conditions = Conditions::default();
    let (mut id, mut reason) = (None, None);
    for (key, value) in table {
        let path = |document: &mut Document<'_>| globs(document, key, value, GlobKind::Path);
        match key.get_ref().as_ref() {
            "id" => id = Some((value.span(), identifier(document, value))),
            "reason" => reason = Some(reason_of(document, value)),
            "binary" => conditions.binary = path(document),
            "script" => conditions.script = path(document),
            "parent" => conditions.parent = path(document),
            "ancestor" => conditions.ancestor = path(document),
            "relay" => conditions.relay = path(document),
            "peer" => conditions.peer = document.list(key, value, "networks such as \"10.0.0.0/8\"", network),
            "port" => {
                conditions.port = document.list(key, value, "ports such as 443, or a range \"8000-8099\"", port);
            }
            "user" => {
                let expected = "names or numbers of users";
                conditions.user = document.list(key, value, expected, |document, value| user(document, value, users));
            }
            "container" => conditions.container = container(document, key, value),
            "image" => conditions.image = globs(document, key, value, GlobKind::Name),
            "direction" => {
                conditions.direction = document.list(key, value, "\"outbound\" or \"inbound\"", direction);
            }
            top if FILE_FIELDS.contains(&top) => document.problem(
                key.span(),
                format!("`{top}` is a field of the file, not of an exception"),
                "move it to the top of the file, above the first [[exception]]",
            ),
            unknown => document.unknown_field(key.span(), unknown, EXCEPTION, FIELDS),
        }
    }
    if id.is_none() {
        let remedy = "name it, id = \"nightly-backup\" for example: findings and `disable_exceptions` go by that";
        document.missing(span.clone(), "the exception has no id", remedy);
    }
    if reason.is_none() {
        let remedy = "say in `reason` why this is no attack, for whoever reads it in a year";
        document.missing(span.clone(), "the exception has no reason", remedy);
    }
    // With a mistake in a condition, what is left of them proves nothing.
    if document.count() == problems && !conditions.narrow() {
        let (what, remedy) = if conditions == Conditions::default() {
            (
                "the exception has no conditions and would silence everything",
                "say what it is about",
            )
        } else {
            (
                "the exception's conditions hold for anything and would silence everything",
                "say what it is about",
            )
        };
        document.missing(
            span,
            what,
            format!("{remedy}: the program (binary, script), what started it (parent, ancestor), who carries its streams (relay), or the peer's network (peer, port)"),
        );
    }
    let (id_span, id) = id?;
    Some(Read {
        exception: Exception {
            id: id?,
            reason: reason??,
            origin,
            disabled: false,
            conditions,
        },
        id_span,
    })
}

fn identifier(document: &mut Document<'_>, value: &Value<'_>) -> Option<String> {
    let remedy = "write lower-case letters and digits with single hyphens between them, id = \"nightly-backup\"";
    let Some(id) = value.get_ref().as_str() else {
        document.problem(value.span(), format!("`id` can't be {}", kind(value)), remedy);
        return None;
    };
    let word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    if id.len() > ID_MAX {
        document.problem(
            value.span(),
            format!("the id is longer than {ID_MAX} characters"),
            "shorten it",
        );
        return None;
    }
    if !id.split('-').all(word) {
        document.problem(value.span(), format!("`{id}` is no id"), remedy);
        return None;
    }
    Some(id.to_owned())
}

fn reason_of(document: &mut Document<'_>, value: &Value<'_>) -> Option<String> {
    match value.get_ref().as_str().map(str::trim) {
        Some("") => {
            document.problem(value.span(), "the reason is empty", "say why this is no attack");
            None
        }
        Some(reason) => Some(reason.to_owned()),
        None => {
            document.problem(
                value.span(),
                format!("`reason` can't be {}", kind(value)),
                "write a sentence between quotes",
            );
            None
        }
    }
}

fn globs(document: &mut Document<'_>, key: &Key<'_>, value: &Value<'_>, kind: GlobKind) -> Vec<Glob> {
    let expected = match kind {
        GlobKind::Path => "absolute paths such as \"/usr/bin/rsync\"",
        GlobKind::Name => "names such as \"registry.example.com/backup:*\"",
    };
    document.list(key, value, expected, |document, value| {
        let text = value.get_ref().as_str()?;
        Some(glob(document, value, text, kind))
    })
}

fn glob(document: &mut Document<'_>, value: &Value<'_>, text: &str, kind: GlobKind) -> Option<Glob> {
    match Glob::new(text, kind) {
        Ok(glob) => Some(glob),
        Err(error) => {
            document.problem(value.span(), format!("`{text}` {}", error.what), error.remedy);
            None
        }
    }
}

fn network(document: &mut Document<'_>, value: &Value<'_>) -> Option<Option<IpNet>> {
    let text = value.get_ref().as_str()?;
    let network = text
        .parse::<IpNet>()
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let Some(network) = network else {
        document.problem(
            value.span(),
            format!("`{text}` is not a network"),
            "write an address and the number of its leading bits, \"10.0.0.0/8\" or \"2001:db8::/32\"; names are not looked up",
        );
        return Some(None);
    };
    if network != network.trunc() {
        let remedy = format!(
            "write \"{}\" for the network, \"{}\" for the address",
            network.trunc(),
            network.addr()
        );
        document.problem(
            value.span(),
            format!("`{text}` has bits behind its /{}", network.prefix_len()),
            remedy,
        );
        return Some(None);
    }
    if let IpAddr::V6(address) = network.addr()
        && let Some(mapped) = address.to_ipv4_mapped()
    {
        let remedy = format!(
            "write \"{mapped}/{}\": such peers are seen as IPv4",
            network.prefix_len().saturating_sub(96)
        );
        document.problem(value.span(), format!("`{text}` is IPv4 in IPv6's form"), remedy);
        return Some(None);
    }
    Some(Some(network))
}

fn port(document: &mut Document<'_>, value: &Value<'_>) -> Option<Option<RangeInclusive<u16>>> {
    let (text, range) = match value.get_ref() {
        DeValue::Integer(number) => {
            let port = unsigned(number).and_then(|port| u16::try_from(port).ok());
            (number.to_string(), port.map(|port| port..=port))
        }
        DeValue::String(text) => {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let range = first.trim().parse().ok().zip(last.trim().parse().ok());
            (text.to_string(), range.map(|(first, last): (u16, u16)| first..=last))
        }
        _ => return None,
    };
    let range = range.filter(|range| *range.start() != 0 && !range.is_empty());
    if range.is_none() {
        let remedy = "ports go from 1 to 65535, a range is \"8000-8099\"";
        document.problem(value.span(), format!("`{text}` is not a port"), remedy);
    }
    Some(range)
}

fn user(document: &mut Document<'_>, value: &Value<'_>, users: &dyn Users) -> Option<Option<User>> {
    match value.get_ref() {
        DeValue::Integer(number) => {
            let uid = unsigned(number)
                .and_then(|uid| u32::try_from(uid).ok())
                .filter(|&uid| uid != u32::MAX);
            if uid.is_none() {
                let remedy = "numbers of users go from 0 to 4294967294";
                document.problem(value.span(), format!("`{number}` is nobody's number"), remedy);
            }
            Some(uid.map(|uid| User { uid, name: None }))
        }
        DeValue::String(name) => {
            let uid = users.uid(name);
            if uid.is_none() {
                let remedy =
                    "`getent passwd` lists those there are; a user that only a container knows is written as a number";
                document.problem(value.span(), format!("this host has no user `{name}`"), remedy);
            }
            Some(uid.map(|uid| User {
                uid,
                name: Some(name.to_string()),
            }))
        }
        _ => None,
    }
}

fn container(document: &mut Document<'_>, key: &Key<'_>, value: &Value<'_>) -> Option<ContainerCondition> {
    if let DeValue::Boolean(wanted) = value.get_ref() {
        return Some(ContainerCondition::Is(*wanted));
    }
    let expected = "ids or names of containers; true for any, false for none";
    let names = document.list(key, value, expected, |document, value| {
        let text = value.get_ref().as_str()?;
        let digits = text
            .bytes()
            .take_while(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            .count();
        // On Fargate, a hyphen and a number follow.
        let rest = text[digits..].strip_prefix('-').unwrap_or(&text[digits..]);
        Some(
            if digits >= CONTAINER_ID_MIN && rest.bytes().all(|byte| byte.is_ascii_digit()) {
                Some(ContainerName::Id(text.to_owned()))
            } else {
                glob(document, value, text, GlobKind::Name).map(ContainerName::Name)
            },
        )
    });
    (!names.is_empty()).then_some(ContainerCondition::Named(names))
}

fn direction(document: &mut Document<'_>, value: &Value<'_>) -> Option<Option<Direction>> {
    let text = value.get_ref().as_str()?;
    let direction = match text {
        "outbound" => Some(Direction::Outbound),
        "inbound" => Some(Direction::Inbound),
        _ => None,
    };
    if direction.is_none() {
        let remedy = "write \"outbound\" if this host connects, \"inbound\" if it accepts";
        document.problem(value.span(), format!("there is no direction `{text}`"), remedy);
    }
    Some(direction)
}

fn unsigned(number: &DeInteger<'_>) -> Option<u64> {
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}
