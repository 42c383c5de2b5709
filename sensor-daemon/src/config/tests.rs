//! What a configuration file can say, and everything that can be wrong with it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::*;

struct Table;

impl Users for Table {
    fn uid(&self, name: &str) -> Option<u32> {
        Some(
            ["root", "backup", "jupyter", "www-data"]
                .iter()
                .position(|known| *known == name)? as u32,
        )
    }
}

fn read(text: &str) -> Result<Config, Problems> {
    parse("config.toml", text, &Table)
}

/// The problems, a line each.
fn problems(text: &str) -> Vec<String> {
    let problems = read(text).err().unwrap_or_else(|| panic!("accepted: {text}"));
    problems.to_string().lines().map(str::to_owned).collect()
}

/// An exception that is fine but for `field`, which is on line 4.
fn exception(field: &str) -> String {
    format!("[[exception]]\nid = \"x\"\nreason = \"test\"\n{field}\n")
}

#[test]
fn says_what_it_says() {
    let text = r#"
min_severity = "high"
disable_exceptions = ["openssh", "nightly"]

[[exception]]
id = "nightly"
reason = "The backup server pulls."
binary = "/usr/bin/rsync"
script = ["/opt/backup/*.sh", "/opt/backup/**/run"]
parent = "/usr/sbin/cron"
ancestor = "/usr/lib/systemd/systemd"
relay = "/usr/bin/stunnel4"
peer = ["10.1.0.0/16", "2001:db8::/32", "192.0.2.1"]
port = [873, "8000-8099", 0x1bb]
user = ["backup", 1000]
container = ["0a1b2c3d4e5f", "backup-*"]
image = "backup:*"
direction = "inbound"

[[exception]]
id = "second"
reason = "Anything here."
image = "lab:*"
container = true
"#;
    let config = read(text).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.min_severity, Some(Severity::High));
    let find = |id: &str| config.exceptions.iter().find(|exception| exception.id == id).unwrap();
    assert!(find("openssh").disabled && find("openssh").origin == Origin::BuiltIn);
    assert!(find("nightly").disabled && find("nightly").origin == Origin::User);
    assert!(!find("second").disabled && !find("dropbear").disabled);
    assert_eq!(find("nightly").reason, "The backup server pulls.");
    let described: Vec<String> = find("nightly")
        .conditions
        .describe()
        .into_iter()
        .map(|(field, values)| format!("{field}={}", values.join(",")))
        .collect();
    assert_eq!(
        described,
        [
            "binary=/usr/bin/rsync",
            "script=/opt/backup/*.sh,/opt/backup/**/run",
            "parent=/usr/sbin/cron",
            "ancestor=/usr/lib/systemd/systemd",
            "relay=/usr/bin/stunnel4",
            "peer=10.1.0.0/16,2001:db8::/32,192.0.2.1/32",
            "port=873,8000-8099,443",
            "user=backup (1),1000",
            "container=0a1b2c3d4e5f,backup-*",
            "image=backup:*",
            "direction=inbound",
        ]
    );
}

#[test]
fn an_empty_file_changes_nothing() {
    let config = read("# nothing yet\n").unwrap();
    assert_eq!(config.min_severity, None);
    let built_in = built_in().unwrap();
    assert!(config.exceptions.iter().eq(&built_in));
    assert!(built_in.len() > 5 && built_in.iter().all(|exception| !exception.disabled));
}

#[test]
fn built_in_exceptions_are_distinct_and_explained() {
    let mut ids: Vec<String> = built_in().unwrap().into_iter().map(|exception| exception.id).collect();
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count);
    for exception in built_in().unwrap() {
        assert!(
            exception.reason.len() > 20 && exception.conditions.narrow(),
            "{}",
            exception.id
        );
        assert!(
            exception.conditions.ancestor.is_empty(),
            "{}: an ancestor excuses too much",
            exception.id
        );
    }
}

/// Each mistake, the line it is on, and words of what is said of it.
#[test]
fn every_mistake_is_named_with_line_and_remedy() {
    for (text, line, words) in [
        (
            "min_severity = \"hihg\"".into(),
            1,
            &["`hihg`", "did you mean \"high\"?"][..],
        ),
        (
            "min_severity = \"urgent\"".into(),
            1,
            &["`urgent`", "\"low\", \"medium\""],
        ),
        ("\nmin_severity = 3".into(), 2, &["whole number", "\"medium\""]),
        (
            "min_severty = \"high\"".into(),
            1,
            &["`min_severty`", "did you mean `min_severity`?"],
        ),
        (
            "colour = \"blue\"".into(),
            1,
            &[
                "`colour`",
                "min_severity, disable_exceptions, output, format, cloud_logging, store, exception",
            ],
        ),
        (
            "disable_exceptions = [\n\"opensh\"]".into(),
            2,
            &["`opensh`", "did you mean `openssh`?"],
        ),
        (
            "disable_exceptions = [\"zzz\"]".into(),
            1,
            &["`zzz`", "sensor-daemon exceptions"],
        ),
        (
            "disable_exceptions = 1".into(),
            1,
            &["can't be a whole number", "list of strings"],
        ),
        (
            "[exception]\nid = \"x\"".into(),
            1,
            &["not a list of tables", "[[exception]]"],
        ),
        ("exception = [1]".into(), 1, &["a whole number", "[[exception]]"]),
        (
            "id = \"x\"".into(),
            1,
            &["`id` is a field of an exception", "[[exception]]"],
        ),
        (exception("binry = \"/x\""), 4, &["`binry`", "did you mean `binary`?"]),
        (exception("path = 1"), 4, &["`path`", "binary, script"]),
        (
            exception("port = 1\ndisable_exceptions = []"),
            5,
            &["`disable_exceptions`", "above the first"],
        ),
        (
            exception("binary = 7"),
            4,
            &["`binary` can't be a whole number", "absolute path"],
        ),
        (exception("binary = ['/a', false]"), 4, &["true or false"]),
        (exception("binary = []"), 4, &["empty list", "remove the field"]),
        (exception("binary = ''"), 4, &["is empty"]),
        (exception("binary = 'bash'"), 4, &["not an absolute path", "`/`"]),
        (exception("binary = '/usr/bin/[ab]sh'"), 4, &["bracket", "`?`"]),
        (exception("relay = '/usr/../tmp/x'"), 4, &["not a plain path", "`..`"]),
        (exception("relay = '/usr/bin/'"), 4, &["directory", "`**`"]),
        (
            exception("binary = '**'"),
            4,
            &["matches anything", "leave the field out"],
        ),
        (exception("image = '*'"), 4, &["matches anything"]),
        (exception("container = '*'"), 4, &["matches anything"]),
        (
            exception("peer = 'example.com'"),
            4,
            &["`example.com` is not a network", "10.0.0.0/8"],
        ),
        (exception("peer = '10.0.0.0/33'"), 4, &["not a network"]),
        (
            exception("peer = '10.0.0.5/8'"),
            4,
            &["bits behind its /8", "\"10.0.0.0/8\"", "\"10.0.0.5\""],
        ),
        (
            exception("peer = '::ffff:10.0.0.0/104'"),
            4,
            &["IPv4", "\"10.0.0.0/8\""],
        ),
        (exception("peer = 10"), 4, &["can't be a whole number", "networks"]),
        (exception("port = 70000"), 4, &["`70000` is not a port", "65535"]),
        (exception("port = 0"), 4, &["not a port"]),
        (exception("port = -1"), 4, &["not a port"]),
        (exception("port = 'https'"), 4, &["`https` is not a port"]),
        (exception("port = '9-8'"), 4, &["not a port"]),
        (exception("port = 1.5"), 4, &["a fraction"]),
        (exception("user = 'bakcup'"), 4, &["no user `bakcup`", "getent passwd"]),
        (exception("user = -1"), 4, &["nobody's number"]),
        (exception("user = true"), 4, &["true or false", "users"]),
        (exception("direction = 'out'"), 4, &["`out`", "\"outbound\""]),
        (exception("container = 5"), 4, &["a whole number", "true for any"]),
        (exception(""), 1, &["no conditions", "would silence everything"]),
        (
            exception("peer = ['0.0.0.0/0', '::/0']"),
            1,
            &["hold for anything", "silence everything"],
        ),
        (
            exception("peer = ['0.0.0.0/1', '128.0.0.0/1']"),
            1,
            &["hold for anything"],
        ),
        (exception("direction = 'outbound'"), 1, &["hold for anything"]),
        (
            exception("direction = ['outbound', 'inbound']"),
            1,
            &["hold for anything"],
        ),
        (
            exception("port = ['1-30000', '20000-65535']"),
            1,
            &["hold for anything"],
        ),
        (exception("container = false"), 1, &["hold for anything"]),
        (
            "[[exception]]\nreason = 'r'\nport = 1".into(),
            1,
            &["no id", "nightly-backup"],
        ),
        (
            "[[exception]]\nid = 'x'\nport = 1".into(),
            1,
            &["no reason", "no attack"],
        ),
        (
            "[[exception]]\nid = 'x'\nreason = ' '\nport = 1".into(),
            3,
            &["reason is empty"],
        ),
        (
            "[[exception]]\nid = 'x'\nreason = 4\nport = 1".into(),
            3,
            &["`reason` can't be a whole number"],
        ),
        (
            "[[exception]]\nid = 'My Job'\nreason = 'r'\nport = 1".into(),
            2,
            &["`My Job` is no id", "hyphens"],
        ),
        (
            "[[exception]]\nid = 'a--b'\nreason = 'r'\nport = 1".into(),
            2,
            &["is no id"],
        ),
        (
            "[[exception]]\nid = 7\nreason = 'r'\nport = 1".into(),
            2,
            &["`id` can't be a whole number"],
        ),
        (
            "[[exception]]\nid = 'openssh'\nreason = 'r'\nport = 1".into(),
            2,
            &["built-in", "another id"],
        ),
        (
            exception("port = 1") + &exception("port = 2"),
            6,
            &["line 2", "`x`", "another id"],
        ),
        (
            exception("port = 1\nport = 2"),
            5,
            &["not TOML", "duplicate key", "[[exception]]"],
        ),
        ("min_severity = \"high".into(), 1, &["not TOML"]),
        ("\n\n[[exception\nid = 1".into(), 3, &["not TOML"]),
    ] {
        let said = problems(&text);
        assert_eq!(said.len(), 1, "{text}: {said:?}");
        assert!(
            said[0].starts_with(&format!("config.toml:{line}: ")),
            "{text}: {said:?}"
        );
        assert!(said[0].contains("; "), "{text}: no remedy: {said:?}");
        for word in words {
            assert!(said[0].contains(word), "{text}: {word} is missing: {said:?}");
        }
    }
}

#[test]
fn all_problems_are_reported_in_the_order_of_lines() {
    let text = "\
min_severity = \"loud\"
disable_exceptions = [\"nope\"]
[[exception]]
id = \"a\"
prot = 1
peer = [\"10.0.0.0/8\", \"here\", \"there\"]
[[exception]]
reason = \"r\"
user = \"nobody-knows\"
broken = = 1
";
    let said = problems(text);
    let lines: Vec<&str> = said.iter().map(|line| line.split(": ").next().unwrap()).collect();
    let expected = [1, 2, 5, 6, 6, 9, 10].map(|line| format!("config.toml:{line}"));
    assert_eq!(lines, expected, "{said:#?}");
}

#[test]
fn a_redundant_condition_beside_a_narrow_one_is_fine() {
    for fields in [
        "direction = 'outbound'\nport = 443",
        "peer = '0.0.0.0/0'\nbinary = '/usr/bin/rsync'",
        "user = 'backup'",
    ] {
        assert!(read(&exception(fields)).is_ok(), "{fields}");
    }
}

#[test]
fn files_that_can_not_be_right_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    let refused = |bytes: &[u8], mode: u32, word: &str| {
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = format!("{:#}", load(Some(&path)).expect_err("it is accepted"));
        assert!(error.contains(word) && error.contains("config.toml"), "{error}");
    };
    refused(&b"#".repeat(SIZE_MAX + 1), 0o644, "larger than");
    refused(b"# fine\n# caf\xe9\n", 0o644, "config.toml:2: the text is not UTF-8");
    refused(b"# fine\n", 0o646, "chmod o-w");
    let fifo = dir.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    for other in [fifo.as_path(), dir.path()] {
        let error = format!("{:#}", load(Some(other)).expect_err("it is accepted"));
        assert!(error.contains("not a regular file"), "{error}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(load(Some(&path)).unwrap().path.as_deref(), Some(path.as_path()));
    fs::remove_file(&path).unwrap();
    let error = format!("{:#}", load(Some(&path)).expect_err("nothing is there"));
    assert!(
        error.contains("config.toml") && error.contains("No such file"),
        "{error}"
    );
}

#[test]
fn this_host_knows_root() {
    assert_eq!(HostUsers.uid("root"), Some(0));
    assert_eq!(HostUsers.uid("no such user"), None);
}

#[test]
fn the_documentation_is_true() {
    const CONFIGURATION: &str = include_str!("../../../docs/configuration.md");
    const EXCEPTIONS: &str = include_str!("../../../docs/exceptions.md");
    let examples = |page: &'static str| -> Vec<&str> {
        let rest = page.split("```toml\n").skip(1);
        rest.map(|rest| rest.split("```").next().unwrap()).collect()
    };
    for example in examples(CONFIGURATION).into_iter().chain(examples(EXCEPTIONS)) {
        read(example).unwrap_or_else(|problems| panic!("{problems}\n{example}"));
    }
    let whole = examples(CONFIGURATION)[0];
    let is_described = |page: &str, field: &str| page.contains(&format!("\n| `{field}` | "));
    for field in FIELDS.iter().chain(store::FIELDS).chain(enrichment::RESOURCE) {
        let is_table = ["store", "resource", "exception"].contains(field);
        let is_in_example =
            |line: &str| line.starts_with(&format!("{field} = ")) || line.trim_matches(['[', ']']) == *field;
        assert!(whole.lines().any(is_in_example), "{field} is not in the example");
        assert!(
            is_table || is_described(CONFIGURATION, field),
            "{field} is not described"
        );
    }
    for field in exception::FIELDS {
        assert!(is_described(EXCEPTIONS, field), "{field} is not described");
        assert!(CONFIGURATION.contains(&format!("`{field}`")), "{field} is not named");
    }
}
